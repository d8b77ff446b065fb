"""The numbers of a comparison, by quantity and unit."""

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.workflows.comparisons.models import Crystal, ModelResults
from mlip_lammps.workflows.crystals.elastic import ElasticTensor
from mlip_lammps.workflows.symmetry import standard_cell

_SAME_LENGTH, _SAME_ANGLE, _SAME_THZ, _SMALLEST_CONSTANT_GPA = 1e-3, 1e-2, 0.05, 0.1
_FIRST_CUBIC_GROUP = 195


def numbers_of(results: ModelResults, first: ModelResults, n_atoms: int) -> dict[str, float | None]:
    """Return the numbers of a model that a table shows, by quantity and unit; None for the difference of the first.

    Parameters
    ----------
    first
        Results of the model that differences refer to.
    n_atoms
        Number of atoms of the structure.
    """
    found: dict[str, float | None] = {}
    if results.forces is not None:
        found["energy, eV/atom"] = results.energy / n_atoms
        found["largest force, eV/Å"] = float(np.linalg.norm(results.forces, axis=1).max())
        if first.forces is not None:
            difference = float(np.sqrt(np.mean((results.forces - first.forces) ** 2)))
            found["force difference, eV/Å"] = None if first is results else difference
    if results.stress_gpa is not None:
        found["pressure, GPa"] = float(-results.stress_gpa[:3].mean())
    if results.crystal is not None:
        found |= _lattice_numbers(results.crystal)
    if results.elastic is not None:
        found |= _elastic_numbers(results.elastic)
    if results.phonons is not None:
        for label, frequencies in zip(results.phonons.labels, results.phonons.freq_thz, strict=True):
            found |= {f"phonon {label} {k}, THz": value for k, value in enumerate(_levels(frequencies), start=1)}
    if results.microseconds_per_atom is not None:
        found["time, µs/atom"] = results.microseconds_per_atom
    return found


def _lattice_numbers(crystal: Crystal) -> dict[str, float]:
    """Return the lengths and angles of the conventional cell that are not fixed by symmetry, and the volume."""
    cell = (standard_cell(crystal.atoms, is_primitive=False) or crystal.atoms).cell.cellpar()
    found = {f"{name}, Å": cell[k] for k, name in enumerate("abc") if k == 0 or abs(cell[k] - cell[0]) > _SAME_LENGTH}
    found |= {
        f"{name}, °": cell[k]
        for k, name in zip(range(3, 6), ("alpha", "beta", "gamma"), strict=True)
        if min(abs(cell[k] - right) for right in (90.0, 120.0)) > _SAME_ANGLE
    }
    return {key: float(value) for key, value in found.items()} | {
        "volume, Å³/atom": crystal.volume_per_atom,
        "energy at rest, eV/atom": crystal.energy_per_atom,
    }


def _elastic_numbers(elastic: ElasticTensor) -> dict[str, float]:
    """Return the bulk modulus and the independent constants of a cubic crystal, or all that are not zero."""
    c = elastic.voigt_gpa
    number = int(elastic.space_group.split("(")[1].rstrip(")")) if elastic.space_group else 1
    is_cubic = number >= _FIRST_CUBIC_GROUP
    pairs = ((0, 0), (0, 1), (3, 3)) if is_cubic else [(i, j) for i in range(6) for j in range(i, 6)]
    shown = [(i, j) for i, j in pairs if abs(c[i, j]) > _SMALLEST_CONSTANT_GPA]
    return {"bulk modulus, GPa": elastic.bulk_modulus_hill_gpa} | {
        f"C{i + 1}{j + 1}, GPa": float(c[i, j]) for i, j in shown
    }


def _levels(frequencies: NDArray[np.float64]) -> list[float]:
    """Return the different frequencies of a point, without the three acoustic ones of Gamma."""
    levels: list[float] = []
    for frequency in frequencies:
        if abs(frequency) > _SAME_THZ and (not levels or frequency - levels[-1] > _SAME_THZ):
            levels.append(float(frequency))
    return levels
