"""Options that several subcommands share; each is defined once."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from mlip_lammps.core.arguments import Number
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.workflows.settings import NUMBERS

TRAINED_MODEL = (
    "mace-torch .model file, checkpoint of SevenNet, NequIP, CHGNet or fairchem (eSEN), folder of a potential of n2p2, "
    "RuNNer or MatGL, ANI potential of TorchANI or NeuroChem, .yace or .ace file of the PACE library, portable "
    ".safetensors file, or name that mlip-lammps models lists"
)
ANY_MODEL = f"compiled .pt2 file, {TRAINED_MODEL}"


def add_model(parser: argparse.ArgumentParser, help: str = ANY_MODEL) -> None:
    """Add the positional argument MODEL."""
    parser.add_argument("model", metavar="MODEL", help=help)


def add_run(
    parser: argparse.ArgumentParser,
    command: str,
    structures: str | None = "STRUCTURE",
    dtype: str = "float64",
    has_tasks: bool = True,
) -> None:
    """Add what every command with a run folder takes: MODEL, structures, ``--out``, ``--config``, ranks and precision.

    Parameters
    ----------
    command
        Name of the command; results go to ``out/COMMAND``.
    structures
        Name of the structure files in the help; None if the command takes none.
    dtype
        Default of ``--dtype``.
    has_tasks
        See `add_run_options`.
    """
    # optional for the parser, because --config may contain them; open_run checks them
    parser.add_argument("model", metavar="MODEL", nargs="?", help=ANY_MODEL)
    if structures is not None:
        parser.add_argument(
            "structures", metavar=structures, nargs="*", default=[], help="structure files, any format that ASE reads"
        )
    add_run_options(parser, command, dtype, has_tasks)


def add_run_options(
    parser: argparse.ArgumentParser, command: str, dtype: str = "float64", has_tasks: bool = True
) -> None:
    """Add ``--out``, ``--config``, ranks, precision, device and head of a command with a run folder.

    Parameters
    ----------
    has_tasks
        Whether ``--ranks`` are those of ``Tasks``, which then start while the command imports what it needs.
    """
    parser.set_defaults(has_tasks=has_tasks)
    add_out(parser, f"out/{command}")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file with options by their long names, or the run.json of an earlier run; options of the command "
        "line take precedence",
    )
    add_ranks(parser, 1)
    add_dtype(parser, dtype, is_for_any_model=True)
    add_device(parser, is_for_any_model=True)
    add_head(parser, is_for_any_model=True)


class Repeated(argparse.Action):
    """Action of an option that may be repeated. Its uses replace the default, which may come from ``--config``."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [values] if given is self.default else [*given, values])


def number(setting: str | Number) -> Callable[[str], float]:
    """Return the type of an option: a number of `NUMBERS`, by its name, or another one."""
    allowed = setting if isinstance(setting, Number) else NUMBERS[setting]

    def convert(text: str) -> float:
        try:
            value = int(text) if allowed.is_whole else float(text)
        except ValueError:
            value = None
        if value is None or not allowed.accepts(value):
            raise argparse.ArgumentTypeError(f"{text} is not {allowed}")
        return value

    return convert


def add_relaxation(parser: argparse.ArgumentParser, force_tolerance: float, max_steps: int = 1000) -> None:
    """Add ``--force-tolerance``, ``--optimizer`` and ``--max-steps``; `relaxation_of` returns them."""
    parser.add_argument(
        "--force-tolerance",
        type=number("force_tolerance"),
        default=force_tolerance,
        metavar="FORCE",
        help=f"largest force of a relaxed structure, eV/angstrom (default: {force_tolerance:g})",
    )
    parser.add_argument(
        "--optimizer",
        choices=("lbfgs", "bfgs", "fire"),
        default="lbfgs",
        help="lbfgs: with line search, then bfgs if it fails; bfgs: without, for noisy forces; fire: far from a "
        "minimum (default: lbfgs)",
    )
    parser.add_argument(
        "--max-steps",
        type=number("max_steps"),
        default=max_steps,
        metavar="N",
        help=f"largest number of steps (default: {max_steps})",
    )


def relaxation_of(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the options of `add_relaxation` by their names in ``relax``."""
    return {name: getattr(arguments, name) for name in ("force_tolerance", "optimizer", "max_steps")}


def add_cell(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--cell``."""
    parser.add_argument(
        "--cell",
        choices=("fixed", "free", "isotropic", "shape"),
        default=default,
        help=f"fixed; free: all strains; isotropic: only the volume; shape: at constant volume (default: {default})",
    )


def add_no_relax(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-relax``."""
    parser.add_argument(
        "--no-relax", action="store_true", help="use the structure as it is; without this option it is relaxed first"
    )


def read_config(path: Path, parser: argparse.ArgumentParser) -> dict[str, object]:
    """Return the options in a TOML file or in the record of a run, by their names in the parser.

    Raises
    ------
    UserInputError
        If the file cannot be read, or an option does not exist or has a wrong type or value.
    """
    import json
    import tomllib

    try:
        text = path.read_text()
        found = json.loads(text)["settings"] if path.suffix == ".json" else tomllib.loads(text)
        if not isinstance(found, dict):
            raise TypeError("the settings are no table")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserInputError(f"--config {path}: {error}; give a TOML file or the run.json of a run") from error
    return check_settings(found, f"--config {path}", parser)


def check_settings(found: Mapping[str, object], source: str, parser: argparse.ArgumentParser) -> dict[str, object]:
    """Return options by their names in the parser; ``source`` names their file in errors.

    Raises
    ------
    UserInputError
        If an option does not exist or has a wrong type or value.
    """
    skipped = ("help", "config")
    actions = {action.dest: action for action in parser._actions if action.dest not in skipped}
    options = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name not in actions:
            known = ", ".join(sorted(name.replace("_", "-") for name in actions))
            raise UserInputError(f"{source}: {key} is not an option of this command; give some of {known}")
        if value is not None:
            options[name] = _checked(source, key, value, actions[name])
    return options


def _checked(source: str, key: str, value: object, action: argparse.Action) -> object:
    """Return a value of a configuration file in the type of its option."""
    if isinstance(action, Repeated):
        if not isinstance(value, list):
            raise UserInputError(f"{source}: {key} is {value!r}, expected a list with one item for each use")
        return [_checked_once(source, key, item, action) for item in value]
    return _checked_once(source, key, value, action)


def _checked_once(source: str, key: str, value: object, action: argparse.Action) -> object:
    convert = action.type or str
    if action.nargs in ("*", "+") and not isinstance(value, list | dict | bool):
        value = [value]
    if action.nargs == 0:
        expected, is_right = "true or false", isinstance(value, bool)
    elif action.nargs in ("*", "+") or isinstance(action.nargs, int):
        expected = f"a list of {action.nargs}" if isinstance(action.nargs, int) else "a list"
        is_right = isinstance(value, list) and action.nargs in ("*", "+", len(value))
    else:
        expected = f"one of {', '.join(action.choices)}" if action.choices else "one value"
        is_right = not isinstance(value, list | dict) and (action.choices is None or value in action.choices)
    if is_right and action.nargs != 0:
        try:
            value = [convert(str(item)) for item in value] if isinstance(value, list) else convert(str(value))
        except argparse.ArgumentTypeError as error:
            raise UserInputError(f"{source}: {key}: {error}") from error
    if not is_right:
        raise UserInputError(f"{source}: {key} is {value!r}, expected {expected}")
    return value


def add_dtype(parser: argparse.ArgumentParser, default: str = DEFAULT_DTYPE, is_for_any_model: bool = False) -> None:
    """Add ``--dtype``.

    Parameters
    ----------
    is_for_any_model
        Whether MODEL may be a compiled file, for which the option is ignored.
    """
    condition = "; ignored for a compiled MODEL" if is_for_any_model else ""
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32", "mixed"),
        default=default,
        help=f"precision; mixed: geometry and energies in float64, features in float32 (default: {default}){condition}",
    )


def add_device(parser: argparse.ArgumentParser, is_for_any_model: bool = False) -> None:
    """Add ``--device``; the default is None if MODEL may be a compiled file, which is for one device already."""
    text = "cpu: this machine's processor; cuda: NVIDIA GPUs of several generations (compiling needs no GPU)"
    if is_for_any_model:
        text += "; a compiled MODEL must match"
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default=None if is_for_any_model else "cpu",
        help=f"{text} (default: {'the device of a compiled MODEL, otherwise cpu' if is_for_any_model else 'cpu'})",
    )


def add_head(parser: argparse.ArgumentParser, is_for_any_model: bool = False) -> None:
    """Add ``--head``."""
    condition = "; a compiled MODEL must match" if is_for_any_model else ""
    parser.add_argument(
        "--head",
        metavar="NAME",
        help=f"head of a model that was trained with several; mlip-lammps info lists them{condition}",
    )


def add_ranks(parser: argparse.ArgumentParser, default: int) -> None:
    """Add ``--ranks`` with one number."""
    parser.add_argument(
        "--ranks",
        type=number("n_ranks"),
        default=default,
        metavar="N",
        help=f"number of MPI ranks (default: {default})",
    )


def add_rank_list(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--ranks`` with a list of numbers; parse it with `read_rank_list`."""
    parser.add_argument(
        "--ranks", default=default, metavar="N,N,...", help=f"numbers of MPI ranks to test (default: {default})"
    )


def read_rank_list(text: str) -> tuple[int, ...]:
    """Return the numbers of ``--ranks``.

    Raises
    ------
    UserInputError
        If the text is not a list of numbers.
    """
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UserInputError(f"--ranks {text} is not a list of integers; give for example --ranks 1,2,4") from None


def add_structure(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--structure``."""
    parser.add_argument("--structure", type=Path, metavar="FILE", help=f"{help} (any format that ASE reads)")


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--out``, the folder for results."""
    parser.add_argument(
        "--out", type=Path, default=Path(default), metavar="FOLDER", help=f"folder for the results (default: {default})"
    )


def add_output(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``-o``, the file to write."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=help)


def add_json_file(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``; check it with `check_json_file` before the work starts."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE as JSON")


def check_json_file(path: Path | None) -> None:
    """Raise ``UserInputError`` if ``--json`` names a file that cannot be written."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise UserInputError(f"the folder {path.parent} of --json {path} does not exist; create it first")
    if path.is_dir():
        raise UserInputError(f"--json {path} is a folder; give a file name")
