"""Comparison of a compiled model with the reference, at sizes other than those of tracing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from mlip_lammps.structure.global_inputs import GlobalInput, other_values
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


@dataclass(frozen=True)
class ExpectedResults:
    """Results of the reference for one structure.

    Attributes
    ----------
    table_force_ev_per_angstrom
        Largest change of a force component by radial tables; None without tables.
    splits_gradients
        See ``ReferenceModel``.
    """

    atoms: Atoms
    exact: Evaluation
    table_force_ev_per_angstrom: float | None
    splits_gradients: bool = True

    def gradients(self, results: Evaluation) -> NDArray[np.float64]:
        """Return what is compared besides energies: gradients of edges, or forces."""
        return results.edge_gradients if self.splits_gradients else results.forces


def expected_results(
    reference: ReferenceModel,
    elements: Sequence[str],
    dtype: str,
    radial_functions: Sequence[Callable[[Tensor], Tensor]] | None = None,
    largest_table_error: float | None = None,
) -> list[ExpectedResults]:
    """Evaluate the reference on structures of some elements: small probes, and close pairs if it has a repulsion.

    Parameters
    ----------
    dtype
        Precision of the compiled model, which limits the error of its tables.
    radial_functions
        Tabulated radial functions of the compiled model for each layer; None if it has no tables.
    largest_table_error
        Of forces, relative to the largest; ``TABLE_FORCE`` if None.

    Raises
    ------
    TableError
        If the tables change a force too much.
    """
    with _one_thread():
        limit = TABLE_FORCE[dtype] if largest_table_error is None else largest_table_error
        return list(_expected(reference, elements, dtype, radial_functions, limit))


def _expected(
    reference: ReferenceModel,
    elements: Sequence[str],
    dtype: str,
    radial_functions: Sequence[Callable[[Tensor], Tensor]] | None,
    limit: float,
) -> Iterator[ExpectedResults]:
    on_tables = None if radial_functions is None else reference.with_radial_functions(radial_functions)
    probes = small_probes(elements, reference.cutoff)
    structures = ((atoms, limit) for one in probes for atoms in _with_inputs(one, reference.global_inputs))
    if reference.has_repulsion:
        limit_when_close = max(limit, TO_REFERENCE[dtype].force)
        structures = chain(structures, ((atoms, limit_when_close) for atoms in close_pairs(elements)))
    for atoms, limit_of_tables in structures:
        exact, table_force = reference.evaluate(atoms), None
        if on_tables is not None:
            has_edges = exact.graph.n_edges > 0
            table_force = _force_error(on_tables.evaluate(atoms), exact, limit_of_tables, atoms) if has_edges else 0.0
        yield ExpectedResults(atoms, exact, table_force, reference.splits_gradients)


def check_compiled(compiled: CompiledModel, expected: Sequence[ExpectedResults]) -> Differences:
    """Compare energies and gradients with those of the reference, including zero atoms and one atom.

    Raises
    ------
    MlipError
        If a difference exceeds the tolerance of the model's precision, or if a result is not finite.
    """
    with _one_thread():
        return _compare(compiled, expected)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: several are slower on small structures."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _compare(compiled: CompiledModel, expected: Sequence[ExpectedResults]) -> Differences:
    tolerance = TO_REFERENCE[compiled.metadata["dtype"]]
    energy = gradient = relative = 0.0
    _check_empty(compiled)
    for one in expected:
        results = compiled.evaluate(one.exact.graph)
        properties = results.node_properties
        found = np.concatenate([results.node_energies, results.edge_gradients.ravel(), *properties.values()])
        if not np.isfinite(found).all():
            raise MlipError(
                f"the compiled model gives results that are not finite for {one.atoms.symbols}; the file was not "
                "written; check that the trained model gives finite energies"
            )
        off = np.abs(results.node_energies - one.exact.node_energies).max(initial=0.0)
        energy = max(energy, off)
        _check_forces(results, one.exact, tolerance.force, str(one.atoms.symbols))
        _check_properties(properties, one.exact.node_properties, tolerance.force, str(one.atoms.symbols))
        difference = np.abs(one.gradients(results) - one.gradients(one.exact)).max(initial=0.0)
        gradient = max(gradient, difference)
        # atoms of a check may be very close: energies of hundreds of eV have as many more digits than the tables
        scale = max(1.0, np.abs(one.gradients(one.exact)).max(initial=0.0))
        relative = max(relative, difference / scale)
        if off > scale * tolerance.energy or difference > scale * tolerance.force:
            is_exact = compiled.metadata["dtype"] == "float64" and compiled.metadata.get("radial") == "exact"
            other = "--radial exact" if compiled.metadata["dtype"] == "float64" else "--dtype float64"
            advice = "report the model" if is_exact else f"export with {other} or report the model"
            raise MlipError(
                f"the compiled model differs from the reference for {one.atoms.symbols} by {off:.1e} eV per atom "
                f"(limit {scale * tolerance.energy:.0e}) and {difference:.1e} eV/angstrom in gradients (limit "
                f"{scale * tolerance.force:.0e}); the file was not written; {advice}"
            )
    on_tables = [x for one in expected if (x := one.table_force_ev_per_angstrom) is not None]
    return Differences(float(energy), float(gradient), float(relative), max(on_tables, default=None), len(expected))


def _check_forces(found: Evaluation, expected: Evaluation, limit: float, symbols: str) -> None:
    """Raise unless a sum over all atoms adds the forces and the virial of the reference."""
    if expected.long_range is None:
        return
    for what, ours, theirs in (
        ("forces", found.long_range.forces, expected.long_range.forces),
        ("virial", found.long_range.virial, expected.long_range.virial),
    ):
        difference = np.abs(ours - theirs).max(initial=0.0) / max(1.0, np.abs(theirs).max(initial=0.0))
        if difference > limit:
            raise MlipError(
                f"{what} of the sum over all atoms differ from the reference for {symbols} by {difference:.1e} (limit "
                f"{limit:.0e}); the file was not written; export with --dtype float64 or report the model"
            )


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


def _with_inputs(atoms: Atoms, global_inputs: Sequence[GlobalInput]) -> Iterator[Atoms]:
    """Yield a structure with the default charge and spin, and if it has several atoms also with others."""
    yield atoms
    if global_inputs and len(atoms) > 1:
        charged = atoms.copy()
        charged.info |= other_values(global_inputs)
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
