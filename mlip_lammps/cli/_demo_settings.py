"""Settings of a demo, read from a TOML file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlip_lammps
from mlip_lammps.analysis.plots import RdfReference
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.models import resolve_model


@dataclass(frozen=True)
class DemoSettings:
    """An input script, its model and reference values for its results.

    Attributes
    ----------
    title
        Heading of the picture.
    input, data
        LAMMPS input script and its data file.
    model
        Trained model to compile; None if the input script does not use one.
    dtype
        Precision of the compiled model.
    target_temperature
        Temperature of the thermostat.
    rdf_file, rdf_pair, rdf_reference
        File with g(r) that the input script writes into ``${out}``, the pair of elements, and reference points.
    """

    title: str
    input: Path
    data: Path
    model: Path | None
    dtype: str
    target_temperature: float
    rdf_file: str
    rdf_pair: str
    rdf_reference: RdfReference | None


def shipped_settings() -> Path:
    """Return the settings of the demo: in a subpackage when installed, beside the package in a checkout."""
    package = Path(mlip_lammps.__file__).parent
    installed = package / "inputs"
    return (installed if installed.is_dir() else package.parent / "inputs") / "demo.toml"


def read_demo_settings(path: Path) -> DemoSettings:
    """Return the settings in a TOML file. Paths of input script and data are relative to the folder of the file.

    Raises
    ------
    UserInputError
        If the file is missing, is not valid TOML, lacks a key, has a value of the wrong type, or names a missing file.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = _from_table(table, path.parent)
    except OSError as error:
        raise UserInputError(
            f"cannot read {path} ({error.strerror}); check the path, or omit it to run the installed demo"
        ) from None
    except KeyError as error:
        raise UserInputError(f"{path} lacks the key {error}; compare with {shipped_settings()}") from None
    except (TypeError, ValueError) as error:
        raise UserInputError(f"{path} is not valid: {error}; compare with {shipped_settings()}") from None
    for file in (settings.input, settings.data):
        if not file.is_file():
            raise UserInputError(f"{path} names {file}, which does not exist; correct the path")
    return settings


def _from_table(table: dict[str, Any], folder: Path) -> DemoSettings:
    rdf = table["rdf"]
    reference = rdf.get("reference")
    return DemoSettings(
        title=table["title"],
        input=_beside(folder, table["input"]),
        data=_beside(folder, table["data"]),
        model=resolve_model(table["model"]) if "model" in table else None,
        dtype=table.get("dtype", DEFAULT_DTYPE),
        target_temperature=float(table["target_temperature"]),
        rdf_file=rdf["file"],
        rdf_pair=rdf["pair"],
        rdf_reference=reference and RdfReference(reference["label"], tuple(reference["r"]), tuple(reference["g"])),
    )


def _beside(folder: Path, name: str) -> Path:
    """Return ``folder / name``, relative to the current folder if it is inside."""
    path = (folder / name).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
