"""Runs of a LAMMPS input script on several ranks that take about a given time on any machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.lammps.process import LammpsProcess, LoopTime, input_word

WARM_UP_STEPS = 40
WARM_UP_SECONDS = 2.0
WARM_UP_GROWTH = 8
STEP_MULTIPLE = 100


@dataclass(frozen=True)
class LammpsInput:
    """A LAMMPS input script with index variables ``steps`` and ``out``, and its number of ranks.

    Attributes
    ----------
    path
        The input script. It ends with ``run ${steps}`` and writes its files into the folder ``${out}``.
    variables
        Values of the other index variables.
    n_ranks
        Number of MPI ranks.
    """

    path: Path
    variables: Mapping[str, object]
    n_ranks: int

    @property
    def values(self) -> dict[str, object]:
        """The other index variables as arguments of ``-var``; paths are quoted if necessary."""
        return {
            name: input_word(value) if isinstance(value, Path) else value for name, value in self.variables.items()
        }

    def run(
        self,
        n_steps: int,
        folder: Path,
        on_row: Callable[[dict[str, float]], None] = lambda row: None,
    ) -> LoopTime:
        """Run ``n_steps`` steps and return the loop time of the last run of the input script.

        Parameters
        ----------
        n_steps
            Value of ``steps``.
        folder
            Value of ``out``, created if it does not exist; the log is ``log.lammps`` in it.
        on_row
            Called with each row of thermo output during the run.

        Raises
        ------
        UserInputError
            If the input script is missing or ends without a run.
        MpiRunError
            If LAMMPS fails.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="mlip-lammps-") as scratch:
            # input scripts append names to ${out}, where a path with a blank cannot be quoted
            out = folder
            if input_word(folder) != str(folder):
                out = Path(scratch, "out")
                out.symlink_to(folder.resolve())
            variables = {**self.values, "steps": n_steps, "out": out}
            with LammpsProcess(self.path, self.n_ranks, variables, folder / "log.lammps") as process:
                for row in process.rows():
                    on_row(row)
        if not process.loop_times:
            raise UserInputError(f"{self.path} has no run; end it with: run ${{steps}}")
        return process.loop_times[-1]

    def warm_up(self, folder: Path) -> LoopTime:
        """Return the loop time of a run that is just long enough to predict a longer run."""
        n_steps = WARM_UP_STEPS
        loop_time = self.run(n_steps, folder)
        if loop_time.seconds < WARM_UP_SECONDS:
            loop_time = self.run(WARM_UP_GROWTH * n_steps, folder)
        return loop_time


def steps_for(minutes: float, warm_up: LoopTime) -> int:
    """Return the multiple of ``STEP_MULTIPLE`` that takes about ``minutes`` at the speed of ``warm_up``."""
    n_steps = 60.0 * minutes * warm_up.n_steps / max(warm_up.seconds, 1e-9)
    return max(1, round(n_steps / STEP_MULTIPLE)) * STEP_MULTIPLE
