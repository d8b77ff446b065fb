"""Verification of a model on this machine: the reference, ASE and LAMMPS on several ranks must agree."""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.compilation import compiled_model
from mlip_lammps.compilation.cache import require_device, require_head
from mlip_lammps.core.errors import CloseAtomsWarning, UserInputError
from mlip_lammps.core.limits import BETWEEN_ENGINES, DERIVATIVES, DYNAMICS, ROTATION, TO_REFERENCE
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import TrainedModel, family_of, read_model, select_head
from mlip_lammps.model_file.archive import is_archive, read_metadata
from mlip_lammps.models import shipped_models
from mlip_lammps.models.installed import installed_models
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.files import read_structure
from mlip_lammps.structure.global_inputs import other_values
from mlip_lammps.structure.graph import build_graph, centroid_virials_from_moments
from mlip_lammps.structure.probes import BASE, CHARGED, CLUSTER, MOLECULE, SHEARED, USER, large_probes
from mlip_lammps.verify.checks import QUANTITIES, Check, Comparison, Verification
from mlip_lammps.verify.lammps_checks import LammpsPlan, parity_checks, rank_text, setting_checks, symmetry_checks
from mlip_lammps.verify.physics_checks import MOST_ATOMS, Derivatives, LmpRun, derivative_checks, dynamics_checks
from mlip_lammps.verify.symmetries import has_known_moments, isolated_atoms, make_symmetries

REFERENCE_GROUP = "ASE = reference"
_ATOMS_OF_A_RANK = 64
MOST_REFERENCE_EDGES = 100_000
"""Largest structure for the reference, which keeps all messages of an edge (tens of kilobytes) for the gradient."""


_MOST_ELEMENTS = 8
"""Largest number of elements in structures for models that make radial tables of each pair of elements."""

Progress = Callable[[str, str], None]
"""Progress callback; its arguments are the stage and a detail."""


def _silent(stage: str, detail: str) -> None:
    pass


@dataclass(frozen=True)
class Subject:
    """A model to verify.

    Attributes
    ----------
    compiled
        Compiled file.
    trained
        Trained model that the file was exported from; None if it was not found.
    source
        File of ``trained``.
    """

    compiled: Path
    trained: TrainedModel | None
    source: Path | None


def find_subject(
    model: Path,
    source: Path | None = None,
    dtype: str = "float64",
    progress: Progress = _silent,
    device: str | None = None,
    head: str | None = None,
) -> Subject:
    """Compile a trained model, or find the trained model of a compiled file.

    Parameters
    ----------
    model
        mace-torch file, portable file or compiled file.
    source
        Trained model that a compiled file was exported from. If None, it is searched for beside the compiled file, in
        the current folder and among the shipped models.
    dtype
        Precision of the compilation; ignored for a compiled file.
    device
        Device of the compilation, see ``export_model``; ``cpu`` if None. A compiled file must be for this device.
    head
        Head of a model that has several. A compiled file must have this head.

    Raises
    ------
    UserInputError
        If ``source`` is not the file that ``model`` was exported from, if ``source`` is given although ``model`` is not
        compiled, if a compiled file is for another device or head, or if a model has several heads and none is chosen.
    """
    if not is_archive(model):
        if source is not None:
            raise UserInputError(f"{model} is not a compiled model, so it has no separate source; omit --source")
        trained = select_head(read_model(model), head)
        compiled = compiled_model(
            model, dtype=dtype, device=device or "cpu", head=head, progress=lambda line: progress("compiling", line)
        )
        return Subject(compiled, trained, model)
    require_device(model, device)
    require_head(model, head)
    metadata = read_metadata(model)
    recorded, head = metadata["source"], metadata.get("head")
    if source is not None:
        trained = read_model(source)
        if trained.source_sha256 != recorded["sha256"]:
            raise UserInputError(
                f"{source} has sha256 {trained.source_sha256[:12]}, but {model} was exported from {recorded['name']} "
                f"with sha256 {recorded['sha256'][:12]}; give that file"
            )
        return Subject(model, select_head(trained, head), source)
    beside = [model.parent / recorded["name"], Path(recorded["name"]), model.with_suffix(".safetensors")]
    installed = [path for path in installed_models().values() if path.name == recorded["name"]]
    for candidate in dict.fromkeys([*beside, *shipped_models().values(), *installed]):
        if candidate.is_file():
            try:
                trained = read_model(candidate)
            except UserInputError:
                continue
            if trained.source_sha256 == recorded["sha256"]:
                return Subject(model, select_head(trained, head), candidate)
    return Subject(model, None, None)


class AseEngine:
    """The ASE calculator with a cache of its results."""

    def __init__(self, model: Path):
        self.calculator = MlipCalculator(model, n_threads=1)
        self._known: dict[bytes, Evaluation] = {}

    def evaluate(self, atoms: Atoms) -> Evaluation:
        """Return energies, forces, the virial if there is a cell, and per-atom virials of small clusters."""
        arrays = (atoms.numbers, atoms.positions, atoms.cell[:], atoms.pbc)
        key = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        key += repr(self.calculator.model.global_values(atoms.info)).encode()
        if key not in self._known:
            copy = atoms.copy()
            copy.calc = self.calculator
            has_volume = atoms.pbc.any() and atoms.cell.rank == 3
            with warnings.catch_warnings():
                # some structures of the checks are close on purpose
                warnings.simplefilter("ignore", CloseAtomsWarning)
                self._known[key] = Evaluation(
                    energy=copy.get_potential_energy(),
                    node_energies=copy.get_potential_energies(),
                    forces=copy.get_forces(),
                    virial=copy.get_volume() * copy.get_stress() if has_volume else None,
                    centroid_virials=self._centroid_virials(atoms) if self._has_moments(atoms) else None,
                )
        return self._known[key]

    def _has_moments(self, atoms: Atoms) -> bool:
        return has_known_moments(atoms) and self.calculator.model.latent_ewald is None

    def _centroid_virials(self, atoms: Atoms) -> NDArray[np.float64]:
        model = self.calculator.model
        graph = build_graph(atoms, model.cutoff)
        results = model.evaluate(graph, atoms.positions)
        return centroid_virials_from_moments(graph, results.edge_gradients, results.edge_moments)


def verify_model(
    subject: Subject,
    *,
    structure: Path | None = None,
    n_ranks: Sequence[int] = (1, 2, 4),
    silence_seconds: float = 120.0,
    progress: Progress = _silent,
) -> Verification:
    """Check that the reference, ASE and LAMMPS agree on a model.

    Parameters
    ----------
    subject
        Result of ``find_subject``.
    structure
        Structure file of the user, checked in addition to the built-in structures.
    n_ranks
        Numbers of MPI ranks.
    silence_seconds
        Time limit in s of one LAMMPS evaluation; longer evaluations count as hangs.
    progress
        Callback for each step.

    Raises
    ------
    UserInputError
        If the structure has elements that the model does not know, or if a number of ranks is not positive.
    """
    started = time.monotonic()
    if not n_ranks or min(n_ranks) < 1:
        raise UserInputError(
            f"--ranks {','.join(map(str, n_ranks))} must list integers of at least 1; give for example --ranks 1,2,4"
        )
    engine = AseEngine(subject.compiled)
    metadata = engine.calculator.model.metadata
    elements, cutoff, dtype = _compared_elements(metadata), metadata["cutoff"], metadata["dtype"]
    structures = large_probes(elements, cutoff)
    has_sum = engine.calculator.model.latent_ewald is not None
    if has_sum:  # defined for periods in all directions or in none
        structures = {name: atoms for name, atoms in structures.items() if len(set(atoms.pbc.tolist())) == 1}
    # every rank processes several chunks of the supercell; a GPU processes all atoms at once
    inputs = engine.calculator.model.global_inputs
    n_supercell = int(1.5 * max(n_ranks) * metadata.get("chunk_atoms", _ATOMS_OF_A_RANK))
    symmetries = make_symmetries(structures, n_supercell, CLUSTER if has_sum else MOLECULE)
    if inputs:
        structures[CHARGED] = structures[BASE].copy()
        structures[CHARGED].info |= other_values(inputs)
    if structure is not None:
        structures[USER] = read_structure(structure, tuple(metadata["elements"]))
    file_dtype = subject.trained.dtype if subject.trained else "float32"
    limits, rotation = BETWEEN_ENGINES[dtype], ROTATION[file_dtype]
    plan = LammpsPlan(
        subject.compiled, elements, cutoff, structures, symmetries, silence_seconds, limits, rotation, not has_sum
    )
    checks = list(_reference_checks(subject, engine, {**structures, **isolated_atoms(elements)}, dtype, progress))
    checks += _lammps_checks(plan, engine, sorted(set(n_ranks)), dtype, progress)
    facts = {
        "model": str(subject.compiled),
        "source": str(subject.source) if subject.source else None,
        "source_sha256": metadata["source"]["sha256"],
        "dtype": dtype,
        "device": metadata["device"],
        "elements": list(elements),
        "is_smooth_at_cutoff": metadata.get("is_smooth_at_cutoff"),
        "remark": metadata.get("remark"),
        "n_atoms": {name: len(atoms) for name, atoms in structures.items()},
        "n_ranks": sorted(set(n_ranks)),
        "package_version": version("mlip-lammps"),
        "torch_version": torch.__version__,
        "lammps_version": version("lammps"),
    }
    return Verification(facts, tuple(checks), time.monotonic() - started)


def _reference_checks(
    subject: Subject,
    engine: AseEngine,
    structures: dict[str, Atoms],
    dtype: str,
    progress: Progress,
) -> Iterator[Check]:
    """Compare the ASE calculator with the reference in float64."""
    if subject.trained is None:
        recorded = engine.calculator.model.metadata["source"]
        note = f"{recorded['name']} with sha256 {recorded['sha256'][:12]} was not found; give it with --source"
        for quantity, unit in QUANTITIES.items():
            yield Check(REFERENCE_GROUP, quantity, None, None, None, unit, "", "skipped", note)
        return
    reference = family_of(subject.trained).reference(subject.trained)
    comparison = Comparison(REFERENCE_GROUP)
    for number, (name, atoms) in enumerate(structures.items(), 1):
        progress("reference", f"{number}/{len(structures)}: {name}")
        n_edges = build_graph(atoms, reference.cutoff).n_edges
        if n_edges > MOST_REFERENCE_EDGES:
            note = f"{n_edges} edges; the reference evaluates at most {MOST_REFERENCE_EDGES}"
            yield Check(REFERENCE_GROUP, name, None, None, None, "", name, "skipped", note)
            continue
        found = reference.evaluate(atoms)
        has_moments = has_known_moments(atoms) and reference.latent_ewald is None
        virials = reference.centroid_virials(atoms) if has_moments else None
        expected = replace(found, centroid_virials=virials)
        comparison.add(name, engine.evaluate(atoms), expected, TO_REFERENCE[dtype])
    yield from comparison.checks()


def _lammps_checks(
    plan: LammpsPlan,
    engine: AseEngine,
    n_ranks: Sequence[int],
    dtype: str,
    progress: Progress,
) -> Iterator[Check]:
    """Compare LAMMPS with the ASE calculator, then check symmetries and derivatives in LAMMPS."""
    small = {name: plan.structures[name] for name in (SHEARED, USER) if name in plan.structures}
    small = {name: atoms for name, atoms in small.items() if len(atoms) <= MOST_ATOMS and atoms.pbc.all()}
    derivatives = [Derivatives(name, atoms, DERIVATIVES[dtype], plan.cutoff) for name, atoms in small.items()]
    n_for_many = _ranks_for_many_steps(n_ranks)
    found = {}
    for n in n_ranks:
        displaced = [case for one in derivatives for case in one.cases()] if n == n_for_many else []
        found[n] = plan.run(n, _case_counter(n, len(plan.cases()) + len(displaced), progress), displaced)
        yield from parity_checks(plan, n, found[n], engine.evaluate)
    yield from setting_checks(plan, found, engine.evaluate)
    yield from symmetry_checks(plan, found)
    yield from derivative_checks(derivatives, found[n_for_many])
    progress(f"constant energy on {rank_text(n_for_many)}", "lmp")
    name = list(small)[-1]
    lmp = LmpRun(plan.model, name, small[name], n_for_many, plan.silence_seconds)
    yield from dynamics_checks(lmp, engine.evaluate, DYNAMICS[dtype], plan.limits_of(name))


def _ranks_for_many_steps(n_ranks: Sequence[int]) -> int:
    """Return the largest number of ranks with one core per rank; oversubscribed ranks wait at every step."""
    n_cores = len(os.sched_getaffinity(0))
    return max((n for n in n_ranks if n <= n_cores), default=min(n_ranks))


def _case_counter(n_ranks: int, n_cases: int, progress: Progress) -> Callable[[str], None]:
    """Return a callback that reports each case by name when it starts."""
    numbers = count(1)
    return lambda name: progress(f"LAMMPS on {rank_text(n_ranks)}", f"{next(numbers)}/{n_cases}: {name}")


def _compared_elements(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the elements of the structures: all, or a spread of them if each pair of elements has tables."""
    elements = tuple(metadata["elements"])
    if "pair_tables" not in metadata or len(elements) <= _MOST_ELEMENTS:
        return elements
    return tuple(elements[round(k * (len(elements) - 1) / (_MOST_ELEMENTS - 1))] for k in range(_MOST_ELEMENTS))
