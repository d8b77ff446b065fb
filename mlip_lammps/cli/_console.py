"""Output of the commands: no line is wrapped where no terminal shows it."""

from collections.abc import Iterable

from rich.console import Console

_NO_LIMIT = 100_000


def open_console() -> Console:
    """Return the console of a command. A terminal wraps long lines itself; a file or a pipe gets them whole."""
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        return console
    return Console(highlight=False, soft_wrap=True, width=_NO_LIMIT)


def print_rows(rows: Iterable[tuple[str, str]], console: Console | None = None) -> None:
    """Print names and values in two columns."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        (console or open_console()).print(f"{name:{width}}  {value}", markup=False)
