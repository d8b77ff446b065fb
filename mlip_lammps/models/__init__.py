"""The shipped models: one folder each, with ``model.safetensors`` (portable form), ``card.md`` and ``LICENSE``."""

from pathlib import Path

from mlip_lammps.core.errors import ModelFileError

_FOLDER = Path(__file__).parent


def shipped_models() -> dict[str, Path]:
    """Return the portable file of each shipped model by name."""
    return {file.parent.name: file for file in sorted(_FOLDER.glob("*/model.safetensors"))}


def resolve_model(model: str | Path) -> Path:
    """Return the path of a model file: ``model`` itself if there is such a file, else the shipped model of that name.

    Everything that takes a model, commands and functions, finds it here.

    Raises
    ------
    ModelFileError
        If there is neither.
    """
    path, shipped = Path(model), shipped_models()
    if path.exists():
        return path
    if str(model) not in shipped:
        raise ModelFileError(
            f"{model} does not exist, nor a shipped model of that name; give a file or one of {', '.join(shipped)}"
        )
    return shipped[str(model)]


def model_card(name: str) -> Path:
    """Return the path of a shipped model's card, whose first paragraph says in one line what the model is."""
    return shipped_models()[name].with_name("card.md")


def one_line_card(name: str) -> str:
    """Return the first paragraph of a shipped model's card."""
    _heading, paragraph, *_ = model_card(name).read_text(encoding="utf-8").split("\n\n")
    return " ".join(paragraph.split())
