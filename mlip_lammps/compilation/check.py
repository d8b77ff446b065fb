"""Comparison of a compiled model with the reference, at sizes other than those of tracing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from mlip_lammps.core.errors import MlipError, TableError
from mlip_lammps.core.limits import TABLE_FORCE, TO_REFERENCE
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.global_inputs import other_values
from mlip_lammps.structure.graph import Graph
from mlip_lammps.structure.probes import close_pairs, small_probes


@dataclass(frozen=True)
class Differences:
    """Largest differences between the compiled file and the float64 reference.

    Attributes
    ----------
    table_force_ev_per_angstrom
        Difference between reference forces with radial tables and with the trained radial functions; None without
        tables.
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
    """Compare energies and gradients on structures of the model's elements, including zero atoms and one atom.

    Parameters
    ----------
    radial_functions
        Tabulated radial functions of ``compiled`` for each layer; None if it has no tables.

    Raises
    ------
    MlipError
        If a difference exceeds the tolerance of the model's precision, or if a result is not finite.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several threads are slower on small structures
    try:
        return _compare(compiled, reference, radial_functions)
    finally:
        torch.set_num_threads(n_threads)


def _compare(
    compiled: CompiledModel, reference: ReferenceModel, radial_functions: Sequence[Callable[[Tensor], Tensor]] | None
) -> Differences:
    dtype = compiled.metadata["dtype"]
    tolerance, table_limit = TO_REFERENCE[dtype], TABLE_FORCE[dtype]
    on_tables = None
    if radial_functions is not None:
        on_tables = reference.with_radial_functions(radial_functions)
    energy = gradient = relative = table_force = 0.0
    count = 0
    _check_empty(compiled)
    probes = small_probes(compiled.elements, compiled.cutoff)
    structures = ((atoms, table_limit) for one in probes for atoms in _with_inputs(one, compiled))
    if reference.has_repulsion:
        limit = max(table_limit, tolerance.force)
        structures = chain(structures, ((atoms, limit) for atoms in close_pairs(compiled.elements)))
    for atoms, limit_of_tables in structures:
        expected = reference.evaluate(atoms)
        results = compiled.evaluate(expected.graph)
        properties = results.node_properties
        found = np.concatenate([results.node_energies, results.edge_gradients.ravel(), *properties.values()])
        if not np.isfinite(found).all():
            raise MlipError(
                f"the compiled model gives results that are not finite for {atoms.symbols}; the file was not written; "
                "check that the trained model gives finite energies"
            )
        energy = max(energy, np.abs(results.node_energies - expected.node_energies).max(initial=0.0))
        _check_properties(properties, expected.node_properties, tolerance.force, str(atoms.symbols))
        difference = np.abs(results.edge_gradients - expected.edge_gradients).max(initial=0.0)
        gradient = max(gradient, difference)
        relative = max(relative, difference / max(1.0, np.abs(expected.edge_gradients).max(initial=0.0)))
        count += 1
        if energy > tolerance.energy or relative > tolerance.force:
            raise MlipError(
                f"the compiled model differs from the reference for {atoms.symbols} by {energy:.1e} eV per atom "
                f"(limit {tolerance.energy:.0e}) and {relative:.1e} in relative gradients (limit "
                f"{tolerance.force:.0e}); the file was not written; export with --dtype float64 or report the model"
            )
        if on_tables is not None and expected.graph.n_edges:
            table_force = max(table_force, _force_error(on_tables.evaluate(atoms), expected, limit_of_tables, atoms))
    return Differences(float(energy), float(gradient), float(relative), table_force if on_tables else None, count)


def _check_properties(
    found: Mapping[str, NDArray[np.float64]], expected: Mapping[str, NDArray[np.float64]], limit: float, symbols: str
) -> None:
    """Raise unless further results for each atom are those of the reference."""
    for name, values in found.items():
        scale = max(1.0, np.abs(expected[name]).max(initial=0.0))
        difference = np.abs(values - expected[name]).max(initial=0.0) / scale
        if difference > limit:
            raise MlipError(
                f"{name} of the compiled model differ from the reference for {symbols} by {difference:.1e} (limit "
                f"{limit:.0e}); the file was not written; export with --dtype float64 or report the model"
            )


def _with_inputs(atoms: Atoms, compiled: CompiledModel) -> Iterator[Atoms]:
    """Yield a structure with the default charge and spin, and if it has several atoms also with others."""
    yield atoms
    if compiled.global_inputs and len(atoms) > 1:
        charged = atoms.copy()
        charged.info |= other_values(compiled.global_inputs)
        yield charged


def _force_error(on_tables: Evaluation, exact: Evaluation, tolerance: float, atoms: Atoms) -> float:
    """Return the largest force change due to radial tables, in eV/angstrom."""
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
        raise MlipError(
            f"the compiled model gives {results.node_energies.size} energies and {results.edge_gradients.size} "
            "gradient components without atoms, expected none; report the model"
        )
