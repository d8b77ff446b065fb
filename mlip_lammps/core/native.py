"""Locations of the package's shared libraries and of the torch libraries that they load."""

import importlib.util
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
    raise MlipError("the plugin is not built; run: mlip-lammps build-plugin")


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
