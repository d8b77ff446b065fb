"""The ``mlip-lammps`` program: every module of this folder is a subcommand, except this one, ``options`` and modules
with a leading underscore.

A subcommand module defines ``NAME``, ``HELP``, ``configure(parser)`` and ``run(arguments) -> exit code``. Slow imports
belong inside ``run`` or in a module with a leading underscore, so that ``--help`` is instant.
"""

import argparse
import errno
import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

from mlip_lammps import cli
from mlip_lammps.cli.options import read_config
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.models import is_model_name

if TYPE_CHECKING:
    from mlip_lammps.workflows.ranks import Ranks

EXIT_FAILURE = 1
EXIT_USER_INPUT = 2
EXIT_INTERRUPTED = 130

_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk or an exhausted quota."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code: 0 for success, 1 for a failure, 2 for invalid user input."""
    parser = build_parser()
    arguments = _parse(parser, argv)
    try:
        if getattr(arguments, "config", None) is not None:
            configured = read_config(arguments.config, arguments.parser)
            arguments.parser.set_defaults(**configured)
            arguments = _parse(parser, argv)
            _recognise_structure(arguments, configured.get("model"))
        with _early_ranks(arguments) as arguments.early_ranks:
            return arguments.run(arguments)
    except UserInputError as error:
        return _complain(error, EXIT_USER_INPUT)
    except MlipError as error:
        return _complain(error, EXIT_FAILURE)
    except OSError as error:
        place = error.filename or getattr(arguments, "out", None) or "a file"
        if error.errno in _FULL:
            return _complain(f"{place}: {error.strerror}; free some space and repeat the command", EXIT_FAILURE)
        return _complain(f"{place}: {error.strerror or error}", EXIT_USER_INPUT)
    except KeyboardInterrupt:
        return _complain("interrupted", EXIT_INTERRUPTED)


@contextmanager
def _early_ranks(arguments: argparse.Namespace) -> Iterator["Ranks | None"]:
    """Start the ranks of a command with independent tasks, so that they import while this process does."""
    # ranks on other devices are counted differently, and LAMMPS starts ranks of its own
    uses_tasks = getattr(arguments, "has_tasks", False) and getattr(arguments, "engine", "ase") == "ase"
    if not uses_tasks or arguments.ranks == 1 or arguments.device is not None:
        yield None
        return
    from mlip_lammps.workflows.ranks import start_before

    ranks = start_before(arguments.out / "tasks", arguments.ranks - 1)
    try:
        yield ranks
    finally:
        if ranks is not None:
            ranks.close()


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments; structure files may also follow options, which argparse does not allow."""
    arguments, rest = parser.parse_known_args(argv)
    if rest and (not hasattr(arguments, "structures") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        is_given = arguments.structures is not arguments.parser.get_default("structures")
        arguments.structures = [*(arguments.structures if is_given else []), *rest]
    return arguments


def _recognise_structure(arguments: argparse.Namespace, model: str | None) -> None:
    """Take the first word as a structure if the configuration names a model and the word is none."""
    if model in (None, arguments.model) or not hasattr(arguments, "structures") or is_model_name(arguments.model):
        return
    is_given = arguments.structures is not arguments.parser.get_default("structures")
    arguments.structures = [arguments.model, *(arguments.structures if is_given else [])]
    arguments.model = model


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the program with every subcommand."""
    parser = argparse.ArgumentParser(prog="mlip-lammps", description="Machine-learned potentials in stock LAMMPS.")
    parser.add_argument("--version", action="version", version=f"mlip-lammps {version('mlip-lammps')}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in find_subcommands():
        subparser = subparsers.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        module.configure(subparser)
        subparser.set_defaults(run=module.run, parser=subparser)
    return parser


def find_subcommands() -> list[ModuleType]:
    """Return the subcommand modules of this folder, sorted by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(cli.__path__))
    return [
        importlib.import_module(f"{cli.__name__}.{name}")
        for name in names
        if name not in ("main", "options") and not name.startswith("_")
    ]


def _complain(error: object, code: int) -> int:
    print(f"mlip-lammps: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
