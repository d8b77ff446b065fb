"""Campaigns: one command with many combinations of options, each in its own run folder."""

import json
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from mlip_lammps.core.arguments import require_count
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.processes import end_with_parent, python_module
from mlip_lammps.workflows.run_folder import RECORD, RESULTS, checksum, read_record
from mlip_lammps.workflows.tasks import write_csv, write_text

_OPTIONS, _OUTPUT = "options.json", "output.txt"
_OWN = ("command", "vary", "table")
_LONGEST_NAME = 200
_SHOWN_PATHS = 12


@dataclass(frozen=True)
class PlannedRun:
    """One run of a campaign.

    Attributes
    ----------
    name
        Name of its folder, from the options that vary.
    varied
        These options and their values.
    options
        All options of the run.
    """

    name: str
    varied: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Campaign:
    """Runs of one command.

    Attributes
    ----------
    command
        Name of the command, for example ``md``.
    runs
        All combinations of the options that vary.
    table
        Paths of results for the table by heading, for example ``{"D": "diffusion.O.coefficient"}``; empty for all
        averages and numbers at the top of ``results.json``.
    """

    command: str
    runs: tuple[PlannedRun, ...]
    table: Mapping[str, str]


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended, and its results.

    Attributes
    ----------
    error
        Last line that the command printed if it failed; None if it succeeded.
    results
        Numbers of the table by heading, each with its error or None.
    """

    run: PlannedRun
    error: str | None
    results: Mapping[str, tuple[float, float | None]]


def read_campaign(file: Path) -> Campaign:
    """Read a campaign from a TOML file.

    The file contains ``command``, options of the command by their long names, a table ``[vary]`` with a list of values
    for each option that varies, and, if wanted, a table ``[table]`` with paths of results by heading.

    Raises
    ------
    UserInputError
        If the file cannot be read, or an entry is missing or not valid.
    """
    try:
        found = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserInputError(f"{file}: {error}; give a TOML file") from error
    command, vary, table = found.get("command"), found.get("vary"), found.get("table", {})
    if not isinstance(command, str):
        raise UserInputError(f'{file} has no command; add for example: command = "md"')
    if not isinstance(vary, dict) or not vary or not all(isinstance(one, list) and one for one in vary.values()):
        raise UserInputError(f"{file} needs a table [vary] with a list of values for each option: seed = [1, 2, 3]")
    if not isinstance(table, dict) or not all(isinstance(path, str) for path in table.values()):
        raise UserInputError(f'{file}: [table] must contain paths of results by heading: D = "diffusion.O.coefficient"')
    common = {name: value for name, value in found.items() if name not in _OWN}
    twice = sorted(set(common) & set(vary))
    if twice:
        raise UserInputError(f"{file} gives {', '.join(twice)} twice: as an option and in [vary]; remove one of them")
    if clash := sorted(set(table) & set(vary)):
        raise UserInputError(f"{file}: {', '.join(clash)} is in [table] and in [vary]; give the result another heading")
    runs = []
    for values in product(*vary.values()):
        varied = dict(zip(vary, values, strict=True))
        runs.append(PlannedRun(_name(varied), varied, {**common, **varied}))
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise UserInputError(f"{file}: two runs have the same options; remove the repeated value in [vary]")
    return Campaign(command, tuple(runs), table)


def _name(varied: Mapping[str, Any]) -> str:
    def word(value: Any) -> str:
        text = "-".join(word(item) for item in value) if isinstance(value, list) else str(value)
        return "".join(letter if letter.isalnum() or letter in "+-.," else "_" for letter in text)

    return ",".join(f"{name}={word(value)}" for name, value in varied.items())[-_LONGEST_NAME:]


def write_options(campaign: Campaign, folder: Path) -> list[Path]:
    """Write the options of each run to a file that ``--config`` reads, unless it is there, and return the files."""
    files = []
    for run in campaign.runs:
        file = folder / run.name / _OPTIONS
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"settings": dict(run.options)}, indent=1)
        if not file.is_file() or file.read_text() != text:
            write_text(file, text)
            (file.parent / RESULTS).unlink(missing_ok=True)  # of other options
        files.append(file)
    return files


def run_campaign(
    campaign: Campaign,
    folder: Path,
    *,
    n_jobs: int = 1,
    report: Callable[[str, int, int], None] = lambda stage, n_done, n_runs: None,
) -> list[RunOutcome]:
    """Run what is not finished, several runs at the same time, and return all outcomes in the order of the campaign.

    Parameters
    ----------
    folder
        Folder for the run folders; `write_options` has been called for it.
    n_jobs
        Number of runs at the same time.
    report
        Called with a stage, finished runs and all runs.
    """
    require_count("n_jobs", n_jobs)
    waiting = [run for run in campaign.runs if not _is_finished(folder / run.name)]
    n_done, errors, processes = len(campaign.runs) - len(waiting), {}, []
    report("runs", n_done, len(campaign.runs))
    with ThreadPoolExecutor(n_jobs) as pool:
        futures = {pool.submit(_run, campaign.command, folder / run.name, processes): run for run in waiting}
        try:
            for future in as_completed(futures):
                errors[futures[future].name] = future.result()
                n_done += 1
                report("runs", n_done, len(campaign.runs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.send_signal(signal.SIGTERM)
            raise
    return [
        RunOutcome(run, errors.get(run.name), _results(folder / run.name, campaign.table, run.varied))
        for run in campaign.runs
    ]


def _is_finished(folder: Path) -> bool:
    """Return whether the run has results of its input files as they are now."""
    if not ((folder / RECORD).is_file() and (folder / RESULTS).is_file()):
        return False
    record = read_record(folder)
    inputs = [(Path(one["path"]), one["sha256"]) for one in record.get("inputs", {}).values()]
    is_same = all(file.is_file() and checksum(file) == known for file, known in inputs)
    return is_same and record.get("status") == "finished"


def _run(command: str, folder: Path, processes: list[subprocess.Popen]) -> str | None:
    """Run the command, and return the last line of its output if it failed."""
    options = ["--config", str(folder / _OPTIONS), "--out", str(folder)]
    program = [*python_module("mlip_lammps.cli.main"), command, *options]
    with (folder / _OUTPUT).open("w") as output:
        process = subprocess.Popen(program, stdout=output, stderr=subprocess.STDOUT, preexec_fn=end_with_parent)
        processes.append(process)
        code = process.wait()
    if code == 0:
        return None
    lines = (folder / _OUTPUT).read_text(errors="replace").split("\n")
    return next((line.removeprefix("mlip-lammps: ") for line in reversed(lines) if line.strip()), f"exit code {code}")


def _results(
    folder: Path, table: Mapping[str, str], varied: Mapping[str, Any]
) -> dict[str, tuple[float, float | None]]:
    if not (folder / RESULTS).is_file():
        return {}
    results = json.loads((folder / RESULTS).read_text())
    numbers = [name for name, value in results.items() if _number(value) is not None]
    paths = table or {f"mean {name}" if name in varied else name: name for name in numbers}
    found = {heading: _number(_item(results, path.split("."))) for heading, path in paths.items()}
    return {heading: number for heading, number in found.items() if number is not None}


def missing_results(campaign: Campaign, outcomes: Sequence[RunOutcome], folder: Path) -> str | None:
    """Return which results of the table no finished run has, and what the first one has; None if nothing is missing."""
    finished = [folder / one.run.name / RESULTS for one in outcomes if one.error is None]
    finished = [file for file in finished if file.is_file()]
    found = {heading for one in outcomes for heading in one.results}
    missing = [path for heading, path in campaign.table.items() if heading not in found]
    if not finished or (found and not missing):
        return None
    paths = list(_paths(json.loads(finished[0].read_text())))
    shown = ", ".join(paths[:_SHOWN_PATHS]) + (", ..." if len(paths) > _SHOWN_PATHS else "")
    where = ", ".join(missing) or "the top of its results"
    return f"no run has a number at {where}; name some of these in [table]: {shown or 'there are none'}"


def _paths(results: Any, start: str = "") -> Iterator[str]:
    """Yield the path of each number in results, those of lists left out."""
    for name, value in results.items() if isinstance(results, dict) else ():
        if _number(value) is not None:
            yield f"{start}{name}"
        else:
            yield from _paths(value, f"{start}{name}.")


def _item(results: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(results, list) and name.lstrip("-").isdigit() and -len(results) <= int(name) < len(results):
            results = results[int(name)]
        else:
            results = results.get(name) if isinstance(results, dict) else None
    return results


def _number(value: Any) -> tuple[float, float | None] | None:
    """Return a number and its error, if a result is a number or an average."""
    if isinstance(value, dict) and {"mean", "error"} <= set(value):
        return value["mean"], value["error"]
    return (float(value), None) if isinstance(value, int | float) and not isinstance(value, bool) else None


def write_table(file: Path, campaign: Campaign, outcomes: Sequence[RunOutcome]) -> None:
    """Write the options that vary and the results, with their errors, as CSV."""
    headings = list(dict.fromkeys(heading for one in outcomes for heading in one.results))
    columns = [*campaign.runs[0].varied, *(name for heading in headings for name in (heading, f"{heading} error"))]
    rows = []
    for one in outcomes:
        found = [one.results.get(heading, ("", "")) for heading in headings]
        rows.append([*one.run.varied.values(), *("" if item is None else item for pair in found for item in pair)])
    write_csv(file, [columns, *rows])


def slurm_script(campaign: Campaign, file: Path, folder: Path, n_ranks: int) -> str:
    """Return a Slurm job array with one task for each run; submit it with ``sbatch``."""
    command = shlex.join(["mlip-lammps", "sweep", str(file), "--out", str(folder), "--only"])
    return f"""\
#!/bin/bash
#SBATCH --job-name=mlip-{campaign.command}
#SBATCH --array=0-{len(campaign.runs) - 1}
#SBATCH --nodes=1
#SBATCH --ntasks={n_ranks}
#SBATCH --cpus-per-task=1
#SBATCH --time=24:00:00

{command} "$SLURM_ARRAY_TASK_ID"
"""
