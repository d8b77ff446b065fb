"""The shipped models: one folder each, with ``model.safetensors`` (portable form), ``card.md`` and ``LICENSE``."""

from pathlib import Path

from mlip_lammps.core.arguments import require_path
from mlip_lammps.core.errors import ModelFileError

_FOLDER = Path(__file__).parent


def shipped_models() -> dict[str, Path]:
    """Return a dictionary from the name of each shipped model to its portable file."""
    return {file.parent.name: file for file in sorted(_FOLDER.glob("*/model.safetensors"))}


def resolve_model(model: str | Path) -> Path:
    """Return the path of a model: ``model`` itself if the file exists, otherwise the shipped model of that name.

    Every command and function that takes a model resolves it here.

    Raises
    ------
    ModelFileError
        If there is neither such a file nor such a shipped model.
    UserInputError
        If ``model`` is neither a path nor a string.
    """
    require_path("model", model, "the path of a file or the name of a shipped model")
    path, shipped = Path(model), shipped_models()
    if path.exists():
        return path
    if str(model) not in shipped:
        raise ModelFileError(
            f"{model} is neither a file nor the name of a shipped model; give a file or one of {', '.join(shipped)}"
        )
    return shipped[str(model)]


def model_card(name: str) -> Path:
    """Return the path of a shipped model's card; its first paragraph describes the model in one line."""
    return shipped_models()[name].with_name("card.md")


def one_line_card(name: str) -> str:
    """Return the first paragraph of a shipped model's card."""
    _heading, paragraph, *_ = model_card(name).read_text(encoding="utf-8").split("\n\n")
    return " ".join(paragraph.split())
