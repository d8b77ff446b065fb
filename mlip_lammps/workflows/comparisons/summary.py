"""Several models on several structures: relative energies, forces and stresses of all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.comparisons.models import ModelResults


@dataclass(frozen=True)
class Summary:
    """What several models say of several structures; nan where a model has no result.

    Attributes
    ----------
    structures
        Names of the structures, in the order of all arrays.
    relative_energies
        By model: energy per atom minus that of the first structure, eV/atom, shape (n_structures,); nan for structures
        whose composition differs from that of the first.
    forces
        By model: force components of all structures, eV/angstrom, shape (n_components,).
    stresses_gpa
        By model: stress components of all structures that have one, GPa, shape (n_stresses, 6), Voigt order
        xx yy zz yz xz xy.
    """

    structures: tuple[str, ...]
    relative_energies: dict[str, NDArray[np.float64]] = field(repr=False)
    forces: dict[str, NDArray[np.float64]] = field(repr=False)
    stresses_gpa: dict[str, NDArray[np.float64]] = field(repr=False)

    def reference(self) -> str:
        """Return the first model with a result, or the first one if none has."""
        found = (name for name, values in self.forces.items() if not np.isnan(values).all())
        return next(found, next(iter(self.forces)))

    def rows(self) -> dict[str, list[float | None]]:
        """Return the differences of all models from the `reference`, by quantity and unit; None for the reference.

        Each is over what both models have: relative energies without the first structure, force components, atoms and
        stress components.
        """
        first, found = self.reference(), {}
        energies = _differences({name: values[1:] for name, values in self.relative_energies.items()}, first)
        found["RMS relative energy difference, eV/atom"] = [_rms(one) for one in energies]
        forces = _differences(self.forces, first)
        found["RMS force difference, eV/Å"] = [_rms(one) for one in forces]
        lengths = [None if one is None else np.linalg.norm(one.reshape(-1, 3), axis=1) for one in forces]
        found["largest force difference, eV/Å"] = [_largest(one) for one in lengths]
        stresses = _differences(self.stresses_gpa, first)
        found["RMS stress difference, GPa"] = [_rms(one) for one in stresses]
        found["largest stress difference, GPa"] = [_largest(one) for one in stresses]
        return {quantity: row for quantity, row in found.items() if any(value is not None for value in row)}


def summarize(structures: Mapping[str, Atoms], found: Mapping[str, Mapping[str, ModelResults]]) -> Summary:
    """Return what models say of all structures together.

    Parameters
    ----------
    structures
        Structures by name.
    found
        For each structure the results of `compare`, with the same models.

    Raises
    ------
    UserInputError
        If there is no structure, or structures and results have different names.
    """
    if not structures or list(structures) != list(found):
        raise UserInputError(
            f"there are structures {', '.join(structures)} and results for {', '.join(found)}; give one or more "
            "structures, and the results of compare for each of them in the same order"
        )
    models = list(next(iter(found.values())))
    has_stress = [name for name in found if any(one.stress_gpa is not None for one in found[name].values())]

    def joined(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.concatenate(values) if values else np.zeros(0)

    forces = {
        model: joined([_or_nan(found[name][model].forces, 3 * len(atoms)) for name, atoms in structures.items()])
        for model in models
    }
    stresses = {
        model: joined([_or_nan(found[name][model].stress_gpa, 6) for name in has_stress]).reshape(-1, 6)
        for model in models
    }
    energies = {model: _relative_energies(structures, {n: found[n][model] for n in found}) for model in models}
    return Summary(tuple(structures), energies, forces, stresses)


def _relative_energies(structures: Mapping[str, Atoms], results: Mapping[str, ModelResults]) -> NDArray[np.float64]:
    first = next(iter(structures.values()))
    energies = [
        one.energy / len(atoms) if one.energy is not None and _composition(atoms) == _composition(first) else np.nan
        for atoms, one in zip(structures.values(), results.values(), strict=True)
    ]
    return np.array(energies) - energies[0]


def _composition(atoms: Atoms) -> dict[str, int]:
    return atoms.symbols.formula.reduce()[0].count()


def _or_nan(values: NDArray[np.float64] | None, length: int) -> NDArray[np.float64]:
    return np.full(length, np.nan) if values is None else values.ravel()


def _differences(values: Mapping[str, NDArray[np.float64]], first: str) -> list[NDArray[np.float64] | None]:
    """Return the differences of each model from the first; None for the first itself."""
    return [None if name == first else one - values[first] for name, one in values.items()]


def _rms(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None or np.isnan(values).all() else float(np.sqrt(np.nanmean(values**2)))


def _largest(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None or np.isnan(values).all() else float(np.nanmax(np.abs(values)))
