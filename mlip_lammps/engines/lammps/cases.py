"""Many small evaluations in one LAMMPS on several ranks, in separate processes.

They share one start, because starting processes and opening a model take longer than an evaluation. Each rank runs the
module ``worker``.
"""

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.processes import python_module
from mlip_lammps.engines.lammps.box import NO_SETTINGS, BoxSettings
from mlip_lammps.engines.mpi_process import MpiProcess, MpiRunError
from mlip_lammps.structure.evaluation import Evaluation

CASES_FILE = "cases.pickle"
STARTED = "@case"
"""First word of the line that announces a case."""

_WORKER = "mlip_lammps.engines.lammps.worker"
SET_BY_THE_PACKAGE = ("LAMMPS_PLUGIN_PATH", "MLIP_LAMMPS_TORCH")
"""Set by importing lammps in this process; ranks must set both themselves, as in a new shell."""


@dataclass(frozen=True)
class Case:
    """A structure, its LAMMPS settings and the number of steps.

    Attributes
    ----------
    name
        Unique among the cases of one start.
    box
        Settings of LAMMPS for the structure.
    options
        Keywords of ``pair_style mlip/torch``.
    before_run
        Commands after the model is set and before the run.
    n_steps
        Time steps before the evaluation.
    has_centroid_virials
        Whether to compute all nine components of per-atom virials.
    """

    name: str
    atoms: Atoms
    box: BoxSettings = NO_SETTINGS
    options: str = ""
    before_run: str = ""
    n_steps: int = 0
    has_centroid_virials: bool = False


@dataclass(frozen=True)
class CaseResult:
    """Results of LAMMPS for a case, with atoms in the order and frame of its structure.

    Attributes
    ----------
    evaluation
        Energies, forces, virial and, if requested, centroid virials.
    positions
        Positions after the last step in angstrom, up to a common shift of all atoms.
    node_energy_sum
        Sum of the atomic energies in LAMMPS, eV.
    lammps_virial, atom_virial_sum
        Global virial and sum of per-atom virials, eV, in the frame of LAMMPS: xx yy zz xy xz yz.
    edge_atoms, edge_vectors
        Edges of all ranks: atom indices from 0, shape (n_edges, 2), and vectors in angstrom, shape (n_edges, 3).
    n_owned
        Number of owned atoms of each rank.
    """

    evaluation: Evaluation
    positions: NDArray[np.float64]
    node_energy_sum: float
    lammps_virial: NDArray[np.float64]
    atom_virial_sum: NDArray[np.float64]
    edge_atoms: NDArray[np.int64]
    edge_vectors: NDArray[np.float64]
    n_owned: tuple[int, ...]


@dataclass
class CaseResults:
    """Outcome of the cases of one start: for each name a result or an error message."""

    results: dict[str, CaseResult] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def run_cases(
    cases: Sequence[Case],
    model: Path,
    n_ranks: int,
    *,
    silence_seconds: float,
    on_case: Callable[[str], None] = lambda name: None,
) -> CaseResults:
    """Evaluate ``cases`` in order on ``n_ranks`` ranks; record an error for its case, a crash also for later cases.

    Parameters
    ----------
    model
        Compiled model.
    silence_seconds
        Time limit for one case and for the start, in seconds.
    on_case
        Called with the name of each case when it starts.
    """
    found = CaseResults()
    running: str | None = None
    with TemporaryDirectory(prefix="mlip-lammps-") as scratch:
        folder = Path(scratch)
        with (folder / CASES_FILE).open("wb") as stream:
            pickle.dump((str(Path(model).resolve()), list(cases)), stream)
        program = [*python_module(_WORKER), folder]
        process = MpiProcess(
            program, n_ranks, name="LAMMPS", silence_seconds=silence_seconds, environment=rank_environment()
        )
        crash = "LAMMPS ended before its last case"
        try:
            with process:
                for line in process.lines():
                    kind, _, rest = line.rstrip("\n").partition(" ")
                    if kind == STARTED:
                        running = cases[int(rest)].name
                        on_case(running)
        except MpiRunError as error:
            crash = str(error)
        for number, case in enumerate(cases):
            file = folder / f"{number}.pickle"
            if not file.is_file():
                is_first = running in (None, case.name)
                found.faults[case.name] = crash if is_first else f"not reached: LAMMPS ended in {running}"
                continue
            with file.open("rb") as stream:
                outcome = pickle.load(stream)
            where = found.faults if isinstance(outcome, str) else found.results
            where[case.name] = outcome
    return found


def rank_environment() -> dict[str, str]:
    """Return the environment for ranks: that of this process with one thread, without variables set by an import."""
    kept = {name: value for name, value in os.environ.items() if name not in SET_BY_THE_PACKAGE}
    return {**kept, "OMP_NUM_THREADS": "1"}
