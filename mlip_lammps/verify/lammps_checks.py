"""LAMMPS held to the ASE calculator: on every number of ranks, in every setting, over symmetries of a structure."""

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

# Atoms drift freely, all of one mass and hence of like speed: 0.3 angstrom in MOVED, within half the skin.
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
    """Return whether a periodic box is as long as ``reach``, which ``comm_style tiled`` asks for."""
    if atoms.cell.rank < 3:
        return not atoms.pbc.any()
    heights = atoms.get_volume() / np.linalg.norm(np.cross(atoms.cell[[1, 2, 0]], atoms.cell[[2, 0, 1]]), axis=1)
    return bool((heights[atoms.pbc] > reach).all())


def settings_of(atoms: Atoms, elements: Sequence[str], cutoff: float) -> dict[str, Case]:
    """Return cases of ``atoms`` that differ in what a user may choose of LAMMPS, by the name of the choice."""
    plain = Case("", atoms)
    others = tuple(sorted(set(atoms.get_chemical_symbols()), reverse=True))
    # a type that no atom has: of an element that the structure lacks, else of one that another type has too
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
    """What LAMMPS is asked on every number of ranks.

    Attributes
    ----------
    structures
        By name; the first carries the settings, and so does the user's.
    symmetries
        Structures whose results follow from those of another.
    limits
        Of LAMMPS from the ASE calculator, and of a symmetry.
    rotation
        The same for structures that one of the two has turned; taken where it is wider.
    """

    model: Path
    elements: tuple[str, ...]
    cutoff: float
    structures: Mapping[str, Atoms]
    symmetries: Mapping[str, Symmetry]
    silence_seconds: float
    limits: Limits
    rotation: Limits

    def limits_of(self, name: str) -> Limits:
        """Return the limits for a structure or a symmetry; LAMMPS turns cells that do not lie as it holds them."""
        atoms = self.structures[name] if name in self.structures else self.symmetries[name].atoms
        turned = name == ROTATION or is_turned(atoms)
        return self.limits.widened_to(self.rotation) if turned else self.limits

    def settings(self) -> dict[str, Case]:
        """Return the cases of all settings by a unique name."""
        cases = {}
        for name in (BASE, USER):
            if name in self.structures:
                for setting, case in settings_of(self.structures[name], self.elements, self.cutoff).items():
                    cases[f"{setting} ({name})"] = replace(case, name=f"{setting} ({name})")
        return cases

    def cases(self) -> list[Case]:
        """Return every case, plain ones first."""
        plain = [
            Case(name, atoms, has_centroid_virials=has_known_moments(atoms)) for name, atoms in self.structures.items()
        ]
        symmetries = [Case(name, symmetry.atoms) for name, symmetry in self.symmetries.items()]
        return [*plain, *symmetries, *self.settings().values()]

    def run(self, n_ranks: int, on_case: Callable[[str], None], further: Sequence[Case] = ()) -> CaseResults:
        """Evaluate every case, and ``further`` ones, on ``n_ranks`` ranks."""
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
    """Compare plain structures with ``evaluate``, the ASE calculator; edges come first."""
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
    """Return whether a rank really had nothing where one should."""
    name, case = "ranks without atoms", found.results.get(MOLECULE)
    if case is None:
        return Check(group, name, None, None, 1.0, "", MOLECULE, "fail", found.faults[MOLECULE])
    n_idle = sum(n == 0 for n in case.n_owned)
    return Check(group, name, n_idle, None, 1.0, "", MOLECULE, "pass" if n_idle else "fail")


def setting_checks(
    plan: LammpsPlan, found: Mapping[int, CaseResults], evaluate: Callable[[Atoms], Evaluation]
) -> Iterator[Check]:
    """Compare every setting, over all numbers of ranks, with the ASE calculator: one line for each."""
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
    """Compare symmetric copies with the structures that they are made from, both in LAMMPS, on all numbers of ranks."""
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
    """Return how many edges of LAMMPS or of Python have no partner of the same atoms and vector in the other.

    An edge of just the cutoff's length may be in either list or not: its weight is zero.
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
    """Return points in five dimensions that are close only for edges of the same atoms with like vectors."""
    return np.concatenate([np.asarray(atoms, dtype=np.float64).reshape(-1, 2), vectors.reshape(-1, 3)], axis=1)


def _count_alone(
    points: NDArray[np.float64],
    others: NDArray[np.float64],
    vectors: NDArray[np.float64],
    cutoff: float,
    tolerance: float,
) -> int:
    """Return how many ``points`` have no point of ``others`` to themselves."""
    is_at_cutoff = np.abs(np.linalg.norm(vectors.reshape(-1, 3), axis=1) - cutoff) < tolerance
    if len(others) == 0:
        return int((~is_at_cutoff).sum())
    distances, partners = cKDTree(others).query(points, distance_upper_bound=2 * tolerance)
    is_found = np.isfinite(distances)
    _, first = np.unique(partners[is_found], return_index=True)
    is_alone = ~is_found
    is_alone[np.delete(np.flatnonzero(is_found), first)] = True
    return int((is_alone & ~is_at_cutoff).sum())



