"""Comparison of LAMMPS with the ASE calculator for each number of ranks, LAMMPS setting and symmetry operation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mlip_lammps.core.limits import EDGE_VECTOR, SUM, Limits
from mlip_lammps.engines.lammps.box import BoxSettings, is_turned
from mlip_lammps.engines.lammps.cases import Case, CaseResult, CaseResults, run_cases
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.probes import BASE, MOLECULE, USER
from mlip_lammps.verify.checks import QUANTITIES, Check, Comparison, Worst, differences
from mlip_lammps.verify.symmetries import ROTATION, Symmetry, has_known_moments

MOVED, MIGRATED = "moved since the list was built", "moved between ranks"

# Atoms drift freely with equal masses and hence similar speeds: 0.3 angstrom in MOVED, within half the skin.
_DRIFT = """mass * 20.0
velocity all create 300 7 loop geom
fix drift all nve/noforce
timestep 0.005
"""
_BONDS = """bond_style zero
bond_coeff 1
create_bonds single/bond 1 1 2 special yes
special_bonds lj 1 1 1 coul 0.5 0.3 0.2"""
_TILED_SKIN = 0.1


def _has_room(atoms: Atoms, reach: float) -> bool:
    """Return whether each periodic direction is longer than ``reach``, as ``comm_style tiled`` requires."""
    if atoms.cell.rank < 3:
        return not atoms.pbc.any()
    heights = atoms.get_volume() / np.linalg.norm(np.cross(atoms.cell[[1, 2, 0]], atoms.cell[[2, 0, 1]]), axis=1)
    return bool((heights[atoms.pbc] > reach).all())


def settings_of(atoms: Atoms, elements: Sequence[str], cutoff: float) -> dict[str, Case]:
    """Return evaluations of ``atoms`` with different LAMMPS settings, by the name of the setting."""
    plain = Case("", atoms)
    others = tuple(sorted(set(atoms.get_chemical_symbols()), reverse=True))
    # a type without atoms: an element that the structure lacks, otherwise an element that has another type already
    lacking = tuple(symbol for symbol in elements if symbol not in others)[:1]
    one_too_many = (*lacking, *others) if lacking else (*others, others[-1])
    cases = {
        "two threads": replace(plain, options="threads 2"),
        MOVED: replace(
            plain, before_run=_DRIFT + "neigh_modify every 1000 delay 1000 check no", n_steps=10
        ),
        MIGRATED: replace(plain, before_run=_DRIFT + "neigh_modify every 10 delay 0 check no", n_steps=45),
    }
    boxes = {
        "processors 1 1 *": BoxSettings(before_box="processors 1 1 *"),
        "processors * 1 1": BoxSettings(before_box="processors * 1 1"),
        "newton on off": BoxSettings(before_box="newton on off"),
        "comm_modify cutoff, longer": BoxSettings(after_atoms=f"comm_modify cutoff {cutoff + 5.0:.6g}"),
        "comm_modify mode multi": BoxSettings(after_atoms="neighbor 1.0 multi\ncomm_modify mode multi"),
        "neighbor 3.0": BoxSettings(after_atoms="neighbor 3.0 bin"),
        "no atom map": BoxSettings(has_map=False),
        "types in another order": BoxSettings(elements=one_too_many),
    }
    if _has_room(atoms, cutoff + _TILED_SKIN):
        tiled = f"neighbor {_TILED_SKIN} bin\ncomm_style tiled\nbalance 1.0 rcb"
        boxes["comm_style tiled"] = BoxSettings(after_atoms=tiled)
    if len(atoms) > 1:
        boxes["bits of special bonds"] = BoxSettings(
            before_box="atom_style full",
            box_options="bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 8",
            after_atoms=_BONDS,
        )
    cases |= {name: replace(plain, box=box) for name, box in boxes.items()}
    return {name: replace(case, name=name) for name, case in cases.items()}


@dataclass(frozen=True)
class LammpsPlan:
    """Evaluations that LAMMPS makes on each number of ranks.

    Attributes
    ----------
    structures
        Structures by name; the first one and the user's are also evaluated with every setting.
    symmetries
        Structures whose results follow from those of another structure.
    limits
        Limits between LAMMPS and the ASE calculator, and between a structure and its symmetric copy.
    rotation
        Limits for structures that LAMMPS or the symmetry rotates; they apply where they are wider.
    has_moments
        Whether the model has per-atom virials with nine components, which a sum over all atoms has not.
    """

    model: Path
    elements: tuple[str, ...]
    cutoff: float
    structures: Mapping[str, Atoms]
    symmetries: Mapping[str, Symmetry]
    silence_seconds: float
    limits: Limits
    rotation: Limits
    has_moments: bool = True

    def limits_of(self, name: str) -> Limits:
        """Return the limits for a structure or a symmetry; LAMMPS rotates cells that are not in its orientation."""
        atoms = self.structures[name] if name in self.structures else self.symmetries[name].atoms
        turned = name == ROTATION or is_turned(atoms)
        return self.limits.widened_to(self.rotation) if turned else self.limits

    def settings(self) -> dict[str, Case]:
        """Return the cases of all settings by unique name."""
        cases = {}
        for name in (BASE, USER):
            if name in self.structures:
                for setting, case in settings_of(self.structures[name], self.elements, self.cutoff).items():
                    cases[f"{setting} ({name})"] = replace(case, name=f"{setting} ({name})")
        return cases

    def cases(self) -> list[Case]:
        """Return all cases, those with default settings first."""
        plain = [
            Case(name, atoms, has_centroid_virials=self.has_moments and has_known_moments(atoms))
            for name, atoms in self.structures.items()
        ]
        symmetries = [Case(name, symmetry.atoms) for name, symmetry in self.symmetries.items()]
        return [*plain, *symmetries, *self.settings().values()]

    def run(self, n_ranks: int, on_case: Callable[[str], None], further: Sequence[Case] = ()) -> CaseResults:
        """Evaluate all cases and the ``further`` ones on ``n_ranks`` ranks."""
        return run_cases(
            [*self.cases(), *further],
            self.model,
            n_ranks,
            silence_seconds=self.silence_seconds,
            on_case=on_case,
        )


def rank_text(n_ranks: int) -> str:
    return f"{n_ranks} rank{'s' if n_ranks > 1 else ''}"


def parity_checks(
    plan: LammpsPlan, n_ranks: int, found: CaseResults, evaluate: Callable[[Atoms], Evaluation]
) -> Iterator[Check]:
    """Compare LAMMPS with default settings with ``evaluate``, the ASE calculator; edges come first."""
    group = f"LAMMPS on {rank_text(n_ranks)} = ASE"
    edges, energies, virials = Worst(), Worst(), Worst()
    comparison = Comparison(group)
    for name, atoms in plan.structures.items():
        if name in found.faults:
            edges.fail(name, found.faults[name])
            continue
        case = found.results[name]
        edges.add(count_wrong_edges(case, atoms, plan.cutoff), 0.0, name)
        comparison.add(name, case.evaluation, evaluate(atoms), plan.limits_of(name))
        energy, forces = case.evaluation.energy, case.evaluation.forces
        total = max(1.0, float(np.abs(case.evaluation.node_energies).sum()))
        energies.add(abs(case.node_energy_sum - energy) / total, SUM, name)
        total = max(1.0, float(np.abs(case.lammps_virial).max()), len(atoms) * float(np.abs(forces).max()))
        virials.add(float(np.abs(case.atom_virial_sum - case.lammps_virial).max()) / total, SUM, name)
    yield edges.check(group, "edges that differ", "edges")
    yield from comparison.checks()
    yield energies.check(group, "sum of atomic energies", "relative")
    yield virials.check(group, "sum of atomic virials", "relative")
    if n_ranks > 1:
        yield _idle_ranks(group, found)


def _idle_ranks(group: str, found: CaseResults) -> Check:
    """Check that at least one rank had no atoms in the structure that is made for this."""
    name, case = "ranks without atoms", found.results.get(MOLECULE)
    if case is None:
        return Check(group, name, None, None, 1.0, "", MOLECULE, "fail", found.faults[MOLECULE])
    n_idle = sum(n == 0 for n in case.n_owned)
    return Check(group, name, n_idle, None, 1.0, "", MOLECULE, "pass" if n_idle else "fail")


def setting_checks(
    plan: LammpsPlan, found: Mapping[int, CaseResults], evaluate: Callable[[Atoms], Evaluation]
) -> Iterator[Check]:
    """Compare each setting on all numbers of ranks with the ASE calculator: one check per setting."""
    group = "settings of LAMMPS = ASE"
    lines: dict[str, Worst] = {}
    for name, case in plan.settings().items():
        setting, _, structure = name.removesuffix(")").rpartition(" (")
        line = lines.setdefault(setting, Worst())
        for n_ranks, outcome in found.items():
            where = rank_text(n_ranks)
            if name in outcome.faults:
                line.fail(where, outcome.faults[name])
                continue
            result = outcome.results[name]
            atoms = case.atoms.copy()
            if case.n_steps:
                atoms.positions = result.positions
            line.add(count_wrong_edges(result, atoms, plan.cutoff), 0.0, f"edges, {where}", "edges")
            compared = differences(result.evaluation, evaluate(atoms), plan.limits_of(structure))
            for quantity, (number, limit) in compared.items():
                line.add(number, limit, f"{quantity}, {where}", QUANTITIES[quantity])
    for name, line in lines.items():
        yield line.check(group, name)


def symmetry_checks(plan: LammpsPlan, found: Mapping[int, CaseResults]) -> Iterator[Check]:
    """Compare symmetric copies with their original structures, both evaluated in LAMMPS, on all numbers of ranks."""
    group = "symmetries, in LAMMPS"
    for name, symmetry in plan.symmetries.items():
        line = Worst()
        for n_ranks, outcome in found.items():
            where = rank_text(n_ranks)
            if faults := [outcome.faults[key] for key in (symmetry.of, name) if key in outcome.faults]:
                line.fail(where, faults[0])
                continue
            original = outcome.results[symmetry.of].evaluation
            found_differences = differences(
                outcome.results[name].evaluation, symmetry.expect(original), plan.limits_of(name)
            )
            for quantity, (number, limit) in found_differences.items():
                line.add(number, limit, f"{quantity}, {where}", QUANTITIES[quantity])
        yield line.check(group, name)


def count_wrong_edges(case: CaseResult, atoms: Atoms, cutoff: float) -> float:
    """Return the number of edges that only LAMMPS or only Python has; edges match by their atoms and vector.

    An edge whose length equals the cutoff may be missing from either list, because its weight is zero.
    """
    graph = build_graph(atoms, cutoff)
    tolerance = EDGE_VECTOR * max(1.0, float(np.abs(atoms.cell[:]).max()) / 100.0)
    ours = _edge_points(np.stack([graph.edge_centre, graph.edge_neighbour], axis=1), graph.edge_vectors)
    theirs = _edge_points(case.edge_atoms, case.edge_vectors)
    return float(
        _count_alone(ours, theirs, graph.edge_vectors, cutoff, tolerance)
        + _count_alone(theirs, ours, case.edge_vectors, cutoff, tolerance)
    )


def _edge_points(atoms: NDArray[np.int64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return five-dimensional points that are close only for edges with the same atoms and similar vectors."""
    return np.concatenate([np.asarray(atoms, dtype=np.float64).reshape(-1, 2), vectors.reshape(-1, 3)], axis=1)


def _count_alone(
    points: NDArray[np.float64],
    others: NDArray[np.float64],
    vectors: NDArray[np.float64],
    cutoff: float,
    tolerance: float,
) -> int:
    """Return the number of ``points`` without a one-to-one partner in ``others``."""
    is_at_cutoff = np.abs(np.linalg.norm(vectors.reshape(-1, 3), axis=1) - cutoff) < tolerance
    if len(others) == 0:
        return int((~is_at_cutoff).sum())
    distances, partners = cKDTree(others).query(points, distance_upper_bound=2 * tolerance)
    is_found = np.isfinite(distances)
    _, first = np.unique(partners[is_found], return_index=True)
    is_alone = ~is_found
    is_alone[np.delete(np.flatnonzero(is_found), first)] = True
    return int((is_alone & ~is_at_cutoff).sum())



