"""The numbers of a comparison, by quantity and unit."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.workflows.comparisons.models import Crystal, ModelResults
from mlip_lammps.workflows.crystals.elastic import ElasticTensor
from mlip_lammps.workflows.crystals.frequencies import PhononFrequencies
from mlip_lammps.workflows.symmetry import standard_cell

_SAME_LENGTH, _SAME_ANGLE, _SAME_THZ, _SMALLEST_CONSTANT_GPA = 1e-3, 1e-2, 0.05, 0.1
_FIRST_CUBIC_GROUP = 195
_HYDROSTATIC_GPA = 5e-3
"""Below, the pressure says all about a stress."""
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
_STRESSES = tuple(f"stress {name}, GPa" for name in COMPONENTS)


def rows_of(results: Mapping[str, ModelResults], n_atoms: int) -> dict[str, list[float | None]]:
    """Return the rows of a table: the values of all models, by quantity and unit; None where a model has none.

    Differences refer to the model of `first_with_results`. Stress components are left out if all models have the same
    stress in all directions.

    Parameters
    ----------
    results
        Results by model.
    n_atoms
        Number of atoms of the structure.
    """
    first = results[first_with_results(results)]
    columns = [numbers_of(one, first, n_atoms) for one in results.values()]
    quantities = dict.fromkeys(quantity for column in columns for quantity in column)
    if all(one.stress_gpa is None or _is_hydrostatic(one.stress_gpa) for one in results.values()):
        quantities = [quantity for quantity in quantities if quantity not in _STRESSES]
    rows = {quantity: [column.get(quantity) for column in columns] for quantity in quantities}
    return {quantity: row for quantity, row in rows.items() if any(value is not None for value in row)}


def first_with_results(results: Mapping[str, ModelResults]) -> str:
    """Return the first model that could compute anything, or the first one if none could."""
    found = (
        name
        for name, one in results.items()
        if one.forces is not None or one.crystal is not None or one.microseconds_per_atom is not None
    )
    return next(found, next(iter(results)))


def _is_hydrostatic(stress_gpa: NDArray[np.float64]) -> bool:
    mean = stress_gpa[:3].mean()
    return bool(np.abs(stress_gpa - np.array([mean, mean, mean, 0, 0, 0])).max() < _HYDROSTATIC_GPA)


def numbers_of(results: ModelResults, first: ModelResults, n_atoms: int) -> dict[str, float | None]:
    """Return the numbers of a model that a table shows, by quantity and unit; None for the difference of the first.

    The RMS force difference is the root mean square over components; the largest is the length of the difference for
    one atom. The stress difference is the largest of the six components.

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
            change = results.forces - first.forces
            found["RMS force difference, eV/Å"] = None if first is results else float(np.sqrt(np.mean(change**2)))
            largest = float(np.linalg.norm(change, axis=1).max())
            found["largest force difference, eV/Å"] = None if first is results else largest
    if results.stress_gpa is not None:
        found["pressure, GPa"] = float(-results.stress_gpa[:3].mean())
        found |= dict(zip(_STRESSES, map(float, results.stress_gpa), strict=True))
        if first.stress_gpa is not None:
            largest = float(np.abs(results.stress_gpa - first.stress_gpa).max())
            found["largest stress difference, GPa"] = None if first is results else largest
    if results.crystal is not None:
        found |= _lattice_numbers(results.crystal)
    if results.elastic is not None:
        found |= _elastic_numbers(results.elastic)
    if results.phonons is not None:
        found |= _phonon_numbers(results.phonons, first.phonons or results.phonons)
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


def _phonon_numbers(phonons: PhononFrequencies, first: PhononFrequencies) -> dict[str, float]:
    """Return the different frequencies at each point: the modes that have one frequency in the first model."""
    found: dict[str, float] = {}
    of_first = dict(zip(first.labels, first.freq_thz, strict=True))
    for label, frequencies in zip(phonons.labels, phonons.freq_thz, strict=True):
        model = of_first.get(label, frequencies)
        levels = _levels(model if len(model) == len(frequencies) else frequencies)  # crystals may differ in symmetry
        found |= {f"phonon {label} {k}, THz": float(frequencies[one].mean()) for k, one in enumerate(levels, start=1)}
    return found


def _levels(frequencies: NDArray[np.float64]) -> list[slice]:
    """Return the modes of each different frequency of a point, without the three acoustic ones of Gamma."""
    starts = [0]
    for k, frequency in enumerate(frequencies):
        if frequency - frequencies[starts[-1]] > _SAME_THZ:
            starts.append(k)
    levels = [slice(*ends) for ends in zip(starts, [*starts[1:], len(frequencies)], strict=True)]
    return [one for one in levels if abs(frequencies[one].mean()) > _SAME_THZ]
