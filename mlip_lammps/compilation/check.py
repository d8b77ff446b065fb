"""Holds a compiled model to the reference, at sizes that were not used in tracing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from torch import Tensor

from mlip_lammps.core.errors import MlipError, TableError
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.graph import Graph


@dataclass(frozen=True)
class Tolerance:
    """Largest difference that an export accepts.

    Attributes
    ----------
    table_force
        Of a component of a force because of the radial tables alone, eV/angstrom, or relative to the largest component
        in the structure if that is more than 1 eV/angstrom. For two atoms closer than a bond ``gradient`` if that is
        more: where no data were, radial functions may be large and cancel, and a table is in the type of the features.
    energy
        Of the energy of one atom, eV.
    gradient
        Of a component of dE/dr_ij, relative to the largest component in the structure or to 1 eV/angstrom,
        whichever is more.
    """

    energy: float
    gradient: float
    table_force: float


TOLERANCES = {
    # Radial tables (slopes to 1e-9 of the steepest), and sums in another order.
    "float64": Tolerance(energy=1e-9, gradient=1e-8, table_force=1e-7),
    # Features in float32: 6e-8 an operation, grown by products of the correlation order.
    "mixed": Tolerance(energy=2e-4, gradient=1e-4, table_force=1e-6),
    "float32": Tolerance(energy=2e-3, gradient=2e-4, table_force=1e-6),
}


@dataclass(frozen=True)
class Differences:
    """Largest differences found between the compiled file and the float64 reference.

    Attributes
    ----------
    table_force_ev_per_angstrom
        Between forces of the reference on the radial tables and on the trained radial functions; None without tables.
    """

    energy_per_atom_ev: float
    gradient_ev_per_angstrom: float
    gradient_relative: float
    table_force_ev_per_angstrom: float | None
    n_structures: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def check_compiled(
    compiled: CompiledModel,
    reference: ReferenceModel,
    radial_functions: Sequence[Callable[[Tensor], Tensor]] | None = None,
) -> Differences:
    """Compare energies and gradients on structures of the model's elements, from none and one atom up.

    Parameters
    ----------
    radial_functions
        What the radial tables of ``compiled`` hold, for each layer; None where it has none.

    Raises
    ------
    MlipError
        If a difference is above the tolerance of the model's precision, or a number is not finite.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other on small structures cost more than they give
    try:
        return _compare(compiled, reference, radial_functions)
    finally:
        torch.set_num_threads(n_threads)


def _compare(
    compiled: CompiledModel, reference: ReferenceModel, radial_functions: Sequence[Callable[[Tensor], Tensor]] | None
) -> Differences:
    tolerance = TOLERANCES[compiled.metadata["dtype"]]
    on_tables = None
    if radial_functions is not None:
        on_tables = reference.with_radial_functions(radial_functions)
    energy = gradient = relative = table_force = 0.0
    count = 0
    _check_empty(compiled)
    structures = ((atoms, tolerance.table_force) for atoms in _structures(compiled.elements, compiled.cutoff))
    if reference.has_repulsion:
        limit = max(tolerance.table_force, tolerance.gradient)
        structures = chain(structures, ((atoms, limit) for atoms in _close_pairs(compiled.elements)))
    for atoms, table_limit in structures:
        expected = reference.evaluate(atoms)
        results = compiled.evaluate(expected.graph)
        found = np.concatenate([results.node_energies, results.edge_gradients.ravel()])
        if not np.isfinite(found).all():
            raise MlipError(f"the compiled model gives numbers that are not finite for {atoms.symbols}")
        energy = max(energy, np.abs(results.node_energies - expected.node_energies).max(initial=0.0))
        difference = np.abs(results.edge_gradients - expected.edge_gradients).max(initial=0.0)
        gradient = max(gradient, difference)
        relative = max(relative, difference / max(1.0, np.abs(expected.edge_gradients).max(initial=0.0)))
        count += 1
        if energy > tolerance.energy or relative > tolerance.gradient:
            raise MlipError(
                f"the compiled model differs from the reference for {atoms.symbols} by {energy:.1e} eV per atom "
                f"(limit {tolerance.energy:.0e}) and {relative:.1e} in relative gradients (limit "
                f"{tolerance.gradient:.0e}); the file was not written"
            )
        if on_tables is not None:
            table_force = max(table_force, _force_error(on_tables.evaluate(atoms), expected, table_limit, atoms))
    return Differences(float(energy), float(gradient), float(relative), table_force if on_tables else None, count)


def _force_error(on_tables: Evaluation, exact: Evaluation, tolerance: float, atoms: Atoms) -> float:
    """Return how far radial tables change a force, eV/angstrom."""
    error = float(np.abs(on_tables.forces - exact.forces).max())
    limit = tolerance * max(1.0, float(np.abs(exact.forces).max()))
    if error > limit:
        raise TableError(
            f"the radial tables change a force for {atoms.symbols} by {error:.1e} eV/angstrom (limit {limit:.0e}); "
            "the file was not written; export with --radial exact"
        )
    return error


def _check_empty(compiled: CompiledModel) -> None:
    none = np.zeros(0, dtype=np.int64)
    results = compiled.evaluate(Graph(none, np.zeros((0, 3)), none, none))
    if results.node_energies.size or results.edge_gradients.size:
        raise MlipError("the compiled model gives energies where there are no atoms")


def _structures(elements: tuple[str, ...], cutoff: float) -> Iterator[Atoms]:
    """Yield isolated atoms, pairs in and out of reach, a chain, and rattled triclinic cells, seeded."""
    rng = np.random.default_rng(7)
    symbols = [symbol for symbol in elements if symbol in chemical_symbols]
    for symbol in symbols:
        yield Atoms([symbol])
    first, last = symbols[0], symbols[-1]
    yield Atoms([first, last], positions=[[0, 0, 0], [0.3 * cutoff, 0.2 * cutoff, 0.1 * cutoff]])
    yield Atoms([first, last], positions=[[0, 0, 0], [1.2 * cutoff, 0, 0]])
    yield Atoms([first, last, first], positions=[[0, 0, 0], [0.6 * cutoff, 0, 0], [1.2 * cutoff, 0.1, 0]])
    for n in (2, 3):
        grid = np.array(list(np.ndindex(n, n, n))) / n
        cell = 0.42 * cutoff * n * np.array([[1.0, 0, 0], [0.2, 1.05, 0], [-0.1, 0.15, 0.95]])
        positions = grid @ cell + rng.normal(scale=0.02 * cutoff, size=grid.shape)
        yield Atoms(list(rng.choice(symbols, size=len(grid))), positions=positions, cell=cell, pbc=True)


def _close_pairs(elements: tuple[str, ...]) -> Iterator[Atoms]:
    """Yield two atoms of each element, and of each with the next, closer than the sum of their covalent radii."""
    for first, following in zip(elements, (*elements[1:], elements[0]), strict=True):
        for second in sorted({first, following}):
            reach = covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]
            yield Atoms([first, second], positions=[[0, 0, 0], [0.48 * reach, 0.36 * reach, 0]])
