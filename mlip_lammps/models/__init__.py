"""The shipped models: one folder each, with ``model.safetensors`` (portable form), ``card.md`` and ``LICENSE``."""

from pathlib import Path

from mlip_lammps.core.errors import UserInputError

_FOLDER = Path(__file__).parent


def shipped_models() -> dict[str, Path]:
    """Return the portable file of each shipped model by name."""
    return {file.parent.name: file for file in sorted(_FOLDER.glob("*/model.safetensors"))}


def resolve_model(name: str) -> Path:
    """Return the path of a model file: ``name`` itself if there is such a file, else the shipped model of that name.

    Raises
    ------
    UserInputError
        If there is neither.
    """
    path = Path(name)
    if path.exists():
        return path
    shipped = shipped_models()
    if name not in shipped:
        raise UserInputError(f"there is no file {name}, nor a shipped model of that name ({', '.join(shipped)})")
    return shipped[name]


def model_card(name: str) -> Path:
    """Return the path of a shipped model's card, whose first paragraph says in one line what the model is."""
    return shipped_models()[name].with_name("card.md")


def one_line_card(name: str) -> str:
    """Return the first paragraph of a shipped model's card."""
    _heading, paragraph, *_ = model_card(name).read_text(encoding="utf-8").split("\n\n")
    return " ".join(paragraph.split())
