"""LAMMPS in processes of its own: ``mpiexec -n N lmp -in ...``, followed while it runs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.mpi_process import MpiProcess, find_program

_LOOP_TIME = re.compile(r"Loop time of (\S+) on (\d+) procs for (\d+) steps with (\d+) atoms")
_PLAIN = re.compile(r"""[^\s"'$#&]+""")
_PEAK = re.compile(r"Maximum resident set size: (\S+) Mbyte")


def read_peak_bytes(output: str) -> int | None:
    """Return the largest memory of the first rank as ``info memory`` wrote it last; None if it stands nowhere."""
    found = _PEAK.findall(output)
    return round(float(found[-1]) * 2**20) if found else None


@dataclass(frozen=True)
class LoopTime:
    """What LAMMPS says at the end of a run.

    Attributes
    ----------
    seconds
        Wall time of the time steps alone: no set-up, no start of processes.
    n_ranks, n_steps, n_atoms
        What the time was spent on.
    """

    seconds: float
    n_ranks: int
    n_steps: int
    n_atoms: int

    @property
    def atom_steps_per_second(self) -> float:
        return self.n_atoms * self.n_steps / self.seconds if self.seconds > 0 else 0.0


class ThermoReader:
    """Turns LAMMPS screen output, line by line, into rows of thermo output and loop times."""

    def __init__(self) -> None:
        self.loop_times: list[LoopTime] = []
        self._columns: list[str] = []

    def read(self, line: str) -> dict[str, float] | None:
        """Return the row that ``line`` holds, keyed by column name, or None if it holds none."""
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
    """Return a path as the value of a variable that an input uses as a word: ``read_data ${data}``.

    Raises
    ------
    UserInputError
        If the path has both kinds of quotes.

    Notes
    -----
    Paths reach LAMMPS in variables: in the line of an input it drops what is not ASCII, and does so before it puts in
    the values of variables.
    """
    text = str(path)
    if _PLAIN.fullmatch(text):
        return text
    for quote in ('"', "'"):
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise UserInputError(f"{text} has both kinds of quotes, which no LAMMPS input can name; rename it")


class LammpsProcess(MpiProcess):
    """One LAMMPS run on ``n_ranks`` MPI ranks; leaving the ``with`` block ends every process of it.

    Parameters
    ----------
    input_file
        LAMMPS input; relative paths in it start at the current folder.
    n_ranks
        MPI ranks.
    variables
        Values for index variables of the input (``-var name value``).
    log_file
        Where LAMMPS writes its log.
    silence_seconds
        A LAMMPS that writes nothing for so long hangs and is ended; None to wait for ever.
    environment
        Of the ranks; None for that of this process.

    Raises
    ------
    UserInputError
        If the input or one of the two programs is missing.
    """

    def __init__(
        self,
        input_file: Path,
        n_ranks: int,
        variables: Mapping[str, object],
        log_file: Path,
        *,
        silence_seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if not input_file.is_file():
            raise UserInputError(f"{input_file} is not there; give the path of a LAMMPS input")
        # Without buffers a row arrives when LAMMPS writes it, and the log is whole if LAMMPS is killed.
        program = [find_program("lmp"), "-nonbuf", "-in", input_file, "-log", log_file]
        for name, value in variables.items():
            program += ["-var", name, value]
        super().__init__(
            program, n_ranks, name="LAMMPS", silence_seconds=silence_seconds, environment=environment
        )
        self._thermo = ThermoReader()

    @property
    def loop_times(self) -> list[LoopTime]:
        """One for each run or minimisation that came to its end."""
        return self._thermo.loop_times

    def rows(self) -> Iterator[dict[str, float]]:
        """Yield rows of thermo output as LAMMPS writes them, to the end of the input.

        Raises
        ------
        MpiRunError
            If LAMMPS ends with another exit code than 0, or hangs.
        """
        for line in self.lines():
            if row := self._thermo.read(line):
                yield row
