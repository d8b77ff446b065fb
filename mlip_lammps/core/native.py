"""Locations of the package's shared libraries and of the torch libraries that they load."""

import importlib.util
import os
import sys
from pathlib import Path

from mlip_lammps.core.errors import MlipError

MODEL_LIBRARY = "libmlip_model.so"
PLUGIN_LIBRARY = "mliptorchplugin.so"


def native_folder() -> Path:
    """Return the folder that contains the built libraries.

    Raises
    ------
    MlipError
        If the libraries have not been built.
    """
    spec = importlib.util.find_spec("mlip_lammps.pair_style")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in map(Path, folders):
        if (folder / MODEL_LIBRARY).is_file():
            return folder
    raise MlipError(why_not_built())


def why_not_built() -> str:
    """Return why this package has no libraries: they are not built, or it hides an installed package that has them."""
    package = Path(__file__).resolve().parents[1]
    for entry in sys.path:
        other = Path(entry or os.curdir, package.name).resolve()
        if other != package and (other / "pair_style" / MODEL_LIBRARY).is_file():
            return (
                f"Python imported the source tree {package}, which is not built, instead of the installed package "
                f"{other}; start Python in another folder or with -P, and keep {package.parent} out of PYTHONPATH"
            )
    return f"the plugin of {package} is not built; run: mlip-lammps build-plugin"


def torch_folder() -> Path:
    """Return the folder of the torch package without importing it.

    Raises
    ------
    MlipError
        If torch is not installed.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise MlipError("torch is not installed; run: pip install torch")
    return Path(spec.origin).parent
