"""``export_model``: from a trained file to a compiled one that has been held to the reference."""

import importlib.metadata
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from ase.data import atomic_numbers as number_of_symbol
from ase.data import chemical_symbols

from mlip_lammps.checkpoint import TrainedModel, read_model
from mlip_lammps.core.errors import TableError, UserInputError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.export.archive import add_member, add_metadata
from mlip_lammps.export.check import Differences, check_compiled
from mlip_lammps.export.compilation import compile_programs
from mlip_lammps.export.contract import DEVICES, DTYPES, FORMAT_VERSION, RADIAL_FORMS
from mlip_lammps.export.gpu_compilation import ARCHITECTURES, EMULATED_PATH, compile_for_gpu
from mlip_lammps.export.gpu_model import with_padded_channels
from mlip_lammps.export.layers import PRECISIONS
from mlip_lammps.export.lowered import LoweredModel
from mlip_lammps.export.lowering import lower
from mlip_lammps.export.machine import compiler_version, machine_record
from mlip_lammps.export.min_distances import min_distances
from mlip_lammps.export.runtime import CompiledModel


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes
    ----------
    compile_seconds
        Wall time of tracing and compilation.
    differences
        From the reference, as measured with the finished file.
    """

    path: Path
    metadata: dict[str, Any]
    compile_seconds: float
    file_bytes: int
    differences: Differences


def export_model(
    source: Path | str,
    output: Path | str,
    *,
    dtype: str = DEFAULT_DTYPE,
    device: str = "cpu",
    radial: str = "table",
    elements: Sequence[str] | None = None,
    smallest: Mapping[str, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ExportReport:
    """Compile a trained MACE model for this machine.

    Parameters
    ----------
    source
        File of mace-torch, portable file, or name of a shipped model.
    output
        Model file to write; an older one is replaced only when the new one has passed the check.
    dtype
        ``float64``, ``float32``, or ``mixed``: geometry and energies in float64, features in float32.
    device
        ``cpu``, ``cuda``, or ``emulated``: the kernels and the engine of a GPU, slowly on this CPU, for tests.
    radial
        ``table``: radial functions are polynomials with the error that the metadata states, and the C++ kernels run.
        ``exact``: the network on every edge, in plain torch, many times slower; on a CPU alone.
    elements
        Symbols to keep, in the order of species rows; all if None.
    smallest
        Distances (angstrom) below which LAMMPS tells of two atoms, as ``min_distances`` takes them.
    progress
        Is called with a line at each step.

    Raises
    ------
    UserInputError
        If an option, the file, or the machine does not fit.
    MlipError
        If compilation fails or the compiled model differs from the reference.
    """
    tell = progress or (lambda line: None)
    output = Path(output)
    _require_options(dtype, device, radial, output)
    tell(f"reading {source}")
    trained = read_model(source)
    chosen = _chosen_elements(trained, elements)
    distances = min_distances([chemical_symbols[z] for z in chosen], smallest)
    request = _Request(trained, chosen, dtype, device, radial, {"min_distances": distances}, output, tell)
    try:
        return _export(request)
    except TableError:
        if device == "cpu":
            raise
        tell("the radial tables are too coarse for this model: once more with finer ones")
        return _export(request, has_fine_tables=True)


@dataclass(frozen=True)
class _Request:
    """What is to be exported, once it has been checked."""

    trained: TrainedModel
    atomic_numbers: tuple[int, ...]
    dtype: str
    device: str
    radial: str
    watched: dict[str, list[list[float]]]
    output: Path
    tell: Callable[[str], None]


def _export(request: _Request, has_fine_tables: bool = False) -> ExportReport:
    output, device = request.output, request.device
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.stem}-") as folder:
        programs, draft = Path(folder, "programs.pt2"), Path(folder, "model.pt2")
        started = time.monotonic()
        lowered = lower(request.trained, request.atomic_numbers)
        if device == "cpu":
            options = request.dtype, request.radial, programs, request.tell
            compiled = compile_programs(request.trained, request.atomic_numbers, *options)
        else:
            features, distances = PRECISIONS[request.dtype].features, request.watched["min_distances"]
            architectures = ARCHITECTURES if device == "cuda" else ()
            is_checked_here = device == "emulated" or not torch.cuda.is_available()
            arguments = lowered, features, distances, architectures, programs, Path(folder), request.tell
            compiled = compile_for_gpu(*arguments, has_emulated=is_checked_here, has_fine_tables=has_fine_tables)
            lowered = with_padded_channels(lowered)
        compile_seconds = time.monotonic() - started
        metadata = _metadata(request.trained, lowered, request.dtype, device) | request.watched | compiled.record
        metadata["compile_seconds"] = round(compile_seconds, 1)
        if device == "emulated":
            add_member(programs, EMULATED_PATH, compiled.emulated.read_bytes())
        shutil.copy(programs, draft)
        add_metadata(draft, metadata)
        if device == "cuda" and compiled.emulated is not None:
            add_member(draft, EMULATED_PATH, compiled.emulated.read_bytes())
        request.tell("comparing with the reference")
        differences = check_compiled(CompiledModel(draft), request.trained, compiled.radial_functions)
        metadata = metadata | {"differences": differences.as_dict()}
        add_metadata(programs, metadata)
        programs.replace(output)
    return ExportReport(output, metadata, compile_seconds, output.stat().st_size, differences)


def _require_options(dtype: str, device: str, radial: str, output: Path) -> None:
    if dtype not in DTYPES:
        raise UserInputError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if radial not in RADIAL_FORMS:
        raise UserInputError(f"radial {radial!r} is not one of {', '.join(RADIAL_FORMS)}")
    if device not in DEVICES:
        raise UserInputError(f"device {device!r} is not one of {', '.join(DEVICES)}")
    if device != "cpu" and radial == "exact":
        raise UserInputError("--radial exact is for a CPU; a file for a GPU has tables of the radial functions")
    if output.suffix != ".pt2":
        raise UserInputError(f"{output} does not end in .pt2, as a compiled model must")
    if not output.parent.is_dir():
        raise UserInputError(f"there is no folder {output.parent}; make it first")


def _chosen_elements(trained: TrainedModel, elements: Sequence[str] | None) -> tuple[int, ...]:
    known = trained.spec.atomic_numbers
    if elements is None:
        return known
    known_symbols = [chemical_symbols[z] for z in known]
    for symbol in elements:
        if symbol not in known_symbols:
            raise UserInputError(f"the model does not know element {symbol}; it knows {', '.join(known_symbols)}")
    if len(set(elements)) != len(elements) or not elements:
        raise UserInputError(f"--elements {','.join(elements)} must name each element once")
    return tuple(number_of_symbol[symbol] for symbol in elements)


def _metadata(trained: TrainedModel, lowered: LoweredModel, dtype: str, device: str) -> dict[str, Any]:
    spec = trained.spec
    metadata = {
        "format_version": FORMAT_VERSION,
        "build_id": uuid.uuid4().hex,
        "package_version": importlib.metadata.version("mlip-lammps"),
        "source": {"name": trained.source_name, "sha256": trained.source_sha256},
        "model_class": spec.model_class,
        "heads": list(spec.heads),
        "head": spec.heads[0],
        "elements": [chemical_symbols[z] for z in lowered.atomic_numbers],
        "cutoff": spec.cutoff,
        "n_layers": spec.n_layers,
        "hidden_irreps": [layer.irreps_out for layer in spec.layers],
        "feature_widths": list(lowered.feature_widths),
        "skip_widths": list(lowered.skip_widths),
        "message_widths": list(lowered.message_widths),
        "dtype": dtype,
        "device": "cpu" if device == "cpu" else "cuda",
    }
    if device != "cpu":
        return metadata
    return metadata | {
        "chunk_atoms": lowered.chunk_atoms(),
        "programs": [
            {"name": program.name, "inputs": list(program.inputs), "outputs": list(program.outputs)}
            for program in lowered.programs
        ],
        "torch_version": torch.__version__,
        "compiler": compiler_version(),
        "machine": machine_record(),
    }
