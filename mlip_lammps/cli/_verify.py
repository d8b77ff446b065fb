"""Output of a verification: progress, a table, a verdict and JSON."""

import argparse
import json
import signal
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mlip_lammps.cli._console import open_console
from mlip_lammps.cli.options import check_json_file, read_rank_list
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.models import resolve_model
from mlip_lammps.verify.checks import QUANTITIES, Check, Verification
from mlip_lammps.verify.physics_checks import GROUP
from mlip_lammps.verify.verify import find_subject, verify_model

_STYLES = {"pass": "green", "fail": "bold red", "skipped": "yellow"}


def run_verify(arguments: argparse.Namespace) -> int:
    """Verify a model; return 0 if all checks passed, 1 if one failed.

    Raises
    ------
    UserInputError
        If an argument is invalid, or if the reference is missing and ``--no-reference`` was not given.
    """
    # SIGTERM must also end the MPI ranks, as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    n_ranks = read_rank_list(arguments.ranks)
    if not arguments.time_limit > 0:
        raise UserInputError(f"--time-limit is {arguments.time_limit:g} s, but must be larger than 0; give seconds")
    check_json_file(arguments.json)
    console = open_console()
    with _Progress(console) as progress:
        given = resolve_model(arguments.model), arguments.source, arguments.dtype, progress.show, arguments.device
        subject = find_subject(*given, head=arguments.head)
        verification = verify_model(
            subject,
            structure=arguments.structure,
            n_ranks=n_ranks,
            silence_seconds=arguments.time_limit,
            progress=progress.show,
        )
    show(verification, console)
    needs_reference = not arguments.no_reference
    if arguments.json is not None:
        table = verification.as_dict(needs_reference=needs_reference)
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")
    verdict = verification.verdict(needs_reference=needs_reference)
    if verdict == "incomplete":
        raise UserInputError(
            "the model was not compared with the reference; give the trained model that it was exported from with "
            "--source, or skip the comparison with --no-reference"
        )
    return 0 if verdict == "pass" else 1


class _Progress:
    """Progress display: a status line on a terminal, otherwise one line per stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting")
        self._stage = ""

    def __enter__(self) -> "_Progress":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, stage: str, detail: str) -> None:
        """Show the current stage and detail."""
        self._status.update(f"{stage} {detail}")
        if stage == "compiling":
            self._console.print(f"compiling: {detail}")
        elif stage != self._stage and not self._console.is_terminal:
            self._console.print(stage)
        self._stage = stage


def show(verification: Verification, console: Console) -> None:
    """Print the table, the failed and skipped checks, and the verdict."""
    facts = verification.facts
    console.print(f"[bold]{escape(facts['model'])}[/bold]  {facts['dtype']}, {' '.join(facts['elements'])}")
    console.print(f"reference: {facts['source'] or 'none'}", markup=False)
    for number, (group, checks) in enumerate(groupby(verification.checks, key=lambda check: check.group)):
        console.print(_table(group, list(checks), has_header=number == 0), soft_wrap=False)
    for check in verification.checks:
        if check.verdict != "pass" and check.note:
            console.print(f"{check.group}, {check.name}: {check.note}", style=_STYLES[check.verdict], markup=False)
    failed = {check.group for check in verification.checks if check.verdict == "fail"}
    if failed and facts["remark"]:
        console.print(f"remark on the trained model: {facts['remark']}", style="yellow", markup=False)
    elif facts["is_smooth_at_cutoff"] is False and GROUP in failed:
        console.print(
            "the trained model has steps in its energies or forces where an atom crosses the cutoff; checks of "
            "derivatives can fail for this reason alone",
            style="yellow",
        )
    n_failed, n_skipped = len(verification.with_verdict("fail")), len(verification.with_verdict("skipped"))
    text = f"{len(verification.checks) - n_failed - n_skipped} checks passed, {n_failed} failed"
    text += f", {n_skipped} skipped" if n_skipped else ""
    style = "bold red" if n_failed else "bold yellow" if n_skipped else "bold green"
    console.print(f"{text} in {verification.seconds:.0f} s", style=style)


def _table(group: str, checks: list[Check], has_header: bool) -> Table:
    """Return the table of one group; all groups have the same column widths."""
    table = Table(box=None, pad_edge=False, show_header=has_header)
    widths = {"": 36, "found": 9, "limit": 11, "verdict": 7, "worst at": None}
    for heading, width in widths.items():
        table.add_column(heading, width=width, justify="right" if heading in ("found", "limit") else "left")
    table.add_row(Text(group, style="bold"))
    for check in checks:
        # A line that covers several quantities names the worst one in its last column.
        name = f"  {check.name}, {check.unit}" if check.unit == QUANTITIES.get(check.name) else f"  {check.name}"
        digits = ".2g" if check.low is None else ".4g"
        found = "" if check.number is None else f"{check.number:{digits}}"
        verdict = Text(check.verdict, style=_STYLES[check.verdict])
        table.add_row(name, found, _bounds(check), verdict, check.where)
    return table


def _bounds(check: Check) -> str:
    if check.limit is None:
        return "" if check.low is None else f"from {check.low:.2g}"
    return f"{check.limit:.2g}" if check.low is None else f"{check.low:.2g} to {check.limit:.2g}"
