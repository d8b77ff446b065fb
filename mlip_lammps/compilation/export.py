"""``export_model``: compile a trained model and check it against the reference."""

import importlib.metadata
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ase.data import atomic_numbers as number_of_symbol
from ase.data import chemical_symbols
from torch import Tensor

from mlip_lammps.compilation.check import Differences, ExpectedResults, check_compiled, expected_results
from mlip_lammps.compilation.consistency import check_edges, check_ranks
from mlip_lammps.compilation.programs import compile_programs
from mlip_lammps.core.arguments import require_choice, require_path, require_words
from mlip_lammps.core.errors import TableError, UserInputError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.families import TrainedModel, family_of, read_model, select_head
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.backend import Backend, CompileRequest, backend_of
from mlip_lammps.model_file.archive import add_member, add_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.model_file.contract import DTYPES, FORMAT_VERSION, RADIAL_FORMS
from mlip_lammps.structure.min_distances import min_distances


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Attributes
    ----------
    compile_seconds
        Wall time of tracing and compilation in s.
    differences
        Differences between the finished file and the reference.
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
    head: str | None = None,
    smallest: Mapping[str, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ExportReport:
    """Compile a trained model of any family for this machine.

    Parameters
    ----------
    source
        mace-torch file, portable file, or name of a shipped model.
    output
        Model file to write; an existing file is replaced only after the new one has passed the check.
    dtype
        ``float64``, ``float32``, or ``mixed``: geometry and energies in float64, features in float32.
    device
        ``cpu``, ``cuda``, or ``emulated``: the GPU kernels and the GPU engine run slowly on this CPU, for tests.
    radial
        ``table``: tabulated radial functions; the metadata states their error.
        ``exact``: the trained network on every edge, 2 to 6 times as long; CPU only.
    elements
        Symbols to keep, in species order; None for all.
    head
        Head of a model that has several.
    smallest
        Distances (angstrom) below which LAMMPS warns about two atoms, see ``min_distances``.
    progress
        Callback for progress messages.

    Raises
    ------
    UserInputError
        If an option or the file is invalid, or if the machine does not support them.
    MlipError
        If compilation fails or the compiled model differs from the reference.
    """
    tell = progress or (lambda line: None)
    tell(f"reading {source}")
    options = {"dtype": dtype, "device": device, "radial": radial, "elements": elements, "smallest": smallest}
    require_path("output", output, "the path of the .pt2 file to write")
    _check_options(dtype, device, radial, Path(output))
    return export_trained(select_head(read_model(source), head), output, progress=progress, **options)


def export_trained(
    trained: TrainedModel,
    output: Path | str,
    *,
    dtype: str = DEFAULT_DTYPE,
    device: str = "cpu",
    radial: str = "table",
    elements: Sequence[str] | None = None,
    smallest: Mapping[str, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ExportReport:
    """Compile a model with one head that has been read; see ``export_model`` for the parameters and errors."""
    tell = progress or (lambda line: None)
    output = Path(output)
    _check_options(dtype, device, radial, output)
    chosen = _chosen_elements(trained, elements)
    layers = family_of(trained).layers(trained, chosen)
    if layers.is_in_float64:
        dtype = "float64"
    distances = min_distances([chemical_symbols[z] for z in chosen], smallest)
    job = _Job(trained, layers, dtype, radial, distances, output, tell)
    backend = backend_of(device)
    try:
        return job.export(backend)
    except TableError:
        if (finer := backend.retry()) is None:
            raise
        tell("the radial tables are too coarse for this model; compiling again with finer tables")
        return job.export(finer)


@dataclass(frozen=True)
class _Job:
    """An export with validated options."""

    trained: TrainedModel
    layers: LayeredModel
    dtype: str
    radial: str
    min_distances: list[list[float]]
    output: Path
    tell: Callable[[str], None]

    def _scratch(self) -> TemporaryDirectory:
        """Return a folder beside the output, on the same disk."""
        try:
            return TemporaryDirectory(dir=self.output.parent, prefix=f".{self.output.stem}-")
        except OSError as error:
            raise UserInputError(
                f"the folder {self.output.parent} cannot be written to ({error.strerror}); choose another output"
            ) from error

    def export(self, backend: Backend) -> ExportReport:
        with self._scratch() as folder:
            programs, draft = Path(folder, "programs.pt2"), Path(folder, "model.pt2")
            check_ranks(self.layers, Path(folder))
            started = time.monotonic()
            compiled = backend.compile(self._request(programs, Path(folder)))
            compile_seconds = time.monotonic() - started
            metadata = self._metadata(backend) | compiled.record | {"compile_seconds": round(compile_seconds, 1)}
            shutil.copy(programs, draft)
            for name, content in compiled.check_members.items():
                add_member(draft, name, content)
            add_metadata(draft, metadata)
            self.tell("comparing with the reference")
            expected = self._expected(compiled.radial_functions, backend.largest_table_error(self.dtype))
            model = CompiledModel(draft)
            differences = check_compiled(model, expected)
            if backend.runs_on == "cpu":  # a GPU finds its own edges
                check_edges(model, self.layers.is_smooth_at_cutoff)
            metadata = metadata | {"differences": differences.as_dict()}
            add_metadata(programs, metadata)
            programs.replace(self.output)
        return ExportReport(self.output, metadata, compile_seconds, self.output.stat().st_size, differences)

    def _request(self, programs: Path, folder: Path) -> CompileRequest:
        return CompileRequest(
            lowered=self.layers.lowered,
            has_operators=self.layers.has_operators,
            family=self.trained.family,
            dtype=self.dtype,
            radial=self.radial,
            smallest=self.min_distances,
            output=programs,
            scratch=folder,
            progress=self.tell,
            compile_programs=lambda operators, radial: compile_programs(
                self.layers, self.dtype, radial, operators, programs, self.tell
            ),
        )

    def _expected(
        self, radial_functions: Sequence[Callable[[Tensor], Tensor]] | None, largest_table_error: float
    ) -> list[ExpectedResults]:
        """Return the reference's results; the reference itself, which may be large, is gone before the file opens."""
        elements = [chemical_symbols[z] for z in self.layers.atomic_numbers]
        reference = family_of(self.trained).reference(self.trained)
        return expected_results(reference, elements, self.dtype, radial_functions, largest_table_error)

    def _metadata(self, backend: Backend) -> dict[str, Any]:
        trained, layers = self.trained, self.layers
        return {
            "format_version": FORMAT_VERSION,
            "build_id": uuid.uuid4().hex,
            "package_version": importlib.metadata.version("mlip-lammps"),
            "source": {"name": trained.source_name, "sha256": trained.source_sha256},
            "family": trained.family,
            **trained.describe(),
            "elements": [chemical_symbols[z] for z in layers.atomic_numbers],
            "cutoff": layers.cutoff,
            **({"angle_cutoff": layers.angle_cutoff} if layers.angle_cutoff > 0.0 else {}),
            **({"max_bonds": layers.max_bonds} if layers.max_bonds else {}),
            **({"node_properties": list(layers.node_properties)} if layers.node_properties else {}),
            **({"latent_ewald": layers.latent_ewald.as_dict()} if layers.latent_ewald is not None else {}),
            "is_smooth_at_cutoff": layers.is_smooth_at_cutoff,
            "n_layers": layers.n_layers,
            "feature_widths": list(layers.feature_widths),
            "skip_widths": list(layers.skip_widths),
            "message_widths": list(layers.message_widths),
            "dtype": self.dtype,
            "device": backend.runs_on,
            "min_distances": self.min_distances,
            "global_inputs": [one.as_dict() for one in layers.global_inputs],
        }


def _check_options(dtype: str, device: str, radial: str, output: Path) -> None:
    require_choice("dtype", dtype, DTYPES)
    require_choice("radial", radial, RADIAL_FORMS)
    backend_of(device).check_options(radial)
    if output.suffix != ".pt2":
        raise UserInputError(f"the name {output} of the compiled model must end in .pt2; change it")
    if not output.parent.is_dir():
        raise UserInputError(f"the folder {output.parent} does not exist; create it first")
    if output.is_dir():
        raise UserInputError(f"{output} is a folder; give the name of a file that ends in .pt2")


def _chosen_elements(trained: TrainedModel, elements: Sequence[str] | None) -> tuple[int, ...]:
    known = trained.atomic_numbers
    if elements is None:
        return known
    require_words("elements", elements)
    known_symbols = [chemical_symbols[z] for z in known]
    for symbol in elements:
        if symbol not in known_symbols:
            raise UserInputError(
                f"the model does not know element {symbol}; it knows {', '.join(known_symbols)}; choose among these"
            )
    if len(set(elements)) != len(elements) or not elements:
        raise UserInputError(
            f"--elements {','.join(elements)} must name at least one element, each once; correct the list"
        )
    return tuple(number_of_symbol[symbol] for symbol in elements)
