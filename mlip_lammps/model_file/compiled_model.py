"""Evaluation of a compiled model from Python, through the same library as the pair style."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_count, require_instance, require_path
from mlip_lammps.core.errors import MlipError, ModelFileError, UserInputError
from mlip_lammps.core.native import MODEL_LIBRARY, native_folder, torch_folder
from mlip_lammps.model_file.archive import is_for_gpu, read_metadata
from mlip_lammps.structure.evaluation import Evaluation, LongRange
from mlip_lammps.structure.global_inputs import GlobalInput, global_inputs_in, values_of
from mlip_lammps.structure.graph import Graph, join_graphs
from mlip_lammps.structure.latent_ewald import LatentEwald, require_place

_ERROR_BYTES = 4096
_NAME_BYTES = 256
EMULATED_NAME = "emulated GPU"
"""Must equal the name in ``pair_style/model/gpu/emulated_device.h``."""
_SAME_PLACE = 1e-6
_VOIGT_OF_LAMMPS = [0, 1, 2, 5, 4, 3]
"""Components xx yy zz xy xz yz of LAMMPS in Voigt order; its virial has the other sign."""


@dataclass(frozen=True)
class Gpu:
    """The GPU that a model runs on.

    Attributes
    ----------
    free_bytes, total_bytes
        Free and total memory in bytes; other processes may use the rest.
    """

    name: str
    free_bytes: int
    total_bytes: int

    @property
    def is_emulated(self) -> bool:
        return self.name == EMULATED_NAME


def gpu_of(library: ctypes.CDLL, handle: int | ctypes.c_void_p) -> Gpu | None:
    """Return the GPU of an open model, or None if the model runs on a CPU.

    Raises
    ------
    MlipError
        If the GPU does not respond.
    """
    name, error = ctypes.create_string_buffer(_NAME_BYTES), ctypes.create_string_buffer(_ERROR_BYTES)
    memory = (ctypes.c_int64 * 2)()
    status = library.mlip_model_gpu(
        handle, name, ctypes.c_int64(_NAME_BYTES), memory, error, ctypes.c_int64(_ERROR_BYTES)
    )
    if status != 0:
        raise MlipError(error.value.decode(errors="replace"))
    return Gpu(name.value.decode(), memory[0], memory[1]) if name.value else None


class CompiledModel:
    """A compiled model on this machine.

    Parameters
    ----------
    path
        A ``.pt2`` file written by ``mlip-lammps export``.
    n_threads
        Number of threads of an evaluation; 0 for torch's number of threads.

    Raises
    ------
    ModelFileError
        If the file is missing, is not a model, or was compiled for another machine or torch version.
    UserInputError
        If an argument is invalid, or if the model is for a GPU and this process was forked from one that used it.

    Notes
    -----
    A copy, deep or not, is this object. A pickle holds the absolute path and ``n_threads``. Unpickling returns the
    model that the process has open, or opens the file again.

    OpenMP's threads do not survive a fork, and a process that waits for them hangs. A forked process of one that has
    opened a model or imported torch therefore evaluates with one thread. A GPU cannot be used after a fork.
    """

    def __init__(self, path: Path | str, n_threads: int = 0):
        require_path("path", path)
        require_count("n_threads", n_threads, 0)
        self._path, self._n_threads = Path(path).absolute(), n_threads
        self._lock = threading.Lock()  # copies may be used by several threads, and the library has one work space
        self.metadata = read_metadata(path)
        self.global_inputs = tuple(GlobalInput(**one) for one in self.metadata.get("global_inputs", ()))
        self.node_properties = tuple(self.metadata.get("node_properties", ()))
        self.latent_ewald = LatentEwald.in_metadata(self.metadata)
        self._rows = {atomic_numbers[symbol]: row for row, symbol in enumerate(self.metadata["elements"])}
        self._is_lost = _forked.has_gpu and self._is_for_gpu
        self._require_gpu()
        self._library = _library()
        self._error = ctypes.create_string_buffer(_ERROR_BYTES)
        n_threads_now = 1 if _forked.has_threads else n_threads
        self._handle = self._library.mlip_model_open(
            os.fsencode(path), os.fsencode(torch_folder()), n_threads_now, self._error, _ERROR_BYTES
        )
        if not self._handle:
            raise ModelFileError(self._error.value.decode(errors="replace"))
        if self._is_for_gpu:
            _used_gpu.set()
        _open_models[self._path, n_threads, _stamp(self._path)] = self

    @property
    def path(self) -> Path:
        """The compiled file."""
        return self._path

    def __copy__(self) -> "CompiledModel":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "CompiledModel":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return _opened, (self._path, self._n_threads)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) and not self._is_lost:
            self._library.mlip_model_close(self._handle)

    @property
    def _is_for_gpu(self) -> bool:
        return is_for_gpu(self.metadata)

    def _require_gpu(self) -> None:
        if self._is_lost:
            raise UserInputError(
                f"{self._path} runs on a GPU, which this forked process cannot use because its parent did; start the "
                'processes with: multiprocessing.get_context("spawn")'
            )

    def _continue_after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held the lock
        self._is_lost = self._is_for_gpu
        if not self._is_lost:
            self._library.mlip_model_set_threads(self._handle, 1)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Evaluate with one thread inside the ``with`` block, beside other processes."""
        before = self._library.mlip_model_set_threads(self._handle, 1)
        try:
            yield
        finally:
            self._library.mlip_model_set_threads(self._handle, before)

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""
        return self.metadata["cutoff"]

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(self.metadata["elements"])

    @property
    def gpu(self) -> Gpu | None:
        """The GPU that the model runs on, or None if it runs on a CPU."""
        self._require_gpu()
        return gpu_of(self._library, self._handle)

    def species(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the model's species index of each atomic number, shape (n_atoms,).

        Raises
        ------
        UserInputError
            If the model does not know an element.
        """
        try:
            return np.array([self._rows[int(z)] for z in numbers], dtype=np.int64)
        except KeyError as error:
            raise UserInputError(
                f"the model does not know {_symbol(error.args[0])}; it knows {', '.join(self.elements)}; remove "
                "these atoms or use another model"
            ) from None

    def global_values(self, given: Mapping[str, Any]) -> tuple[float, ...]:
        """Return the global inputs, such as the total charge, for a structure with ``atoms.info`` ``given``.

        Raises
        ------
        UserInputError
            If the model does not take one of them.
        """
        return values_of(self.global_inputs, global_inputs_in(given), self._path.name)

    def evaluate(
        self,
        graph: Graph,
        positions: NDArray[np.float64] | None = None,
        has_atom_virials: bool = False,
        charge_weights: NDArray[np.float64] | None = None,
    ) -> Evaluation:
        """Return energies and gradients of a graph without ghost atoms.

        Parameters
        ----------
        positions
            Positions in angstrom, shape (n_atoms, 3). If given, also return edge moments, which requires that no atom
            has a periodic image within the cutoff.
        has_atom_virials
            Whether to compute ``LongRange.atom_virials`` of a model with latent charges.
        charge_weights
            Only for a model with latent charges, shape (n_atoms,): ``edge_gradients`` are then those of the short-range
            energy plus the weighted sum of the charges. Energies and all that contains the long-range energy have no
            meaning.

        Raises
        ------
        UserInputError
            If the model does not know an element or does not take the charge or spin, if an edge does not connect two
            of the positions, if a model with latent charges is asked for edge moments or the structure is periodic in
            one or two directions only, or if the model is for a GPU and was opened before this process was forked.
        MlipError
            If a compiled program fails.
        """
        require_instance("graph", graph, Graph, "what build_graph returns")
        self._require_gpu()
        species = self.species(graph.atomic_numbers)
        global_values = np.array(self.global_values(graph.global_inputs), dtype=np.float64)
        node_energies = np.empty(graph.n_atoms)
        edge_gradients = np.empty((graph.n_edges, 3))
        properties = np.empty((graph.n_atoms, len(self.node_properties)))
        edge_moments = cell = long_range = None
        if self.latent_ewald is not None:
            if positions is not None:
                raise UserInputError(
                    f"{self._path.name} has latent charges, whose energy has no moments of edges; per-atom virials "
                    "with nine components and the heat flux need another model"
                )
            long_range = _LongRangeArrays(graph.n_atoms, has_atom_virials)
        if positions is not None:
            edge_moments = np.empty((graph.n_edges, 3, 3))
            positions = np.ascontiguousarray(positions, dtype=np.float64)
            if positions.shape != (graph.n_atoms, 3):
                raise UserInputError(f"positions have the shape {positions.shape}; give ({graph.n_atoms}, 3)")
            across = positions[graph.edge_neighbour] - positions[graph.edge_centre] - graph.edge_vectors
            if np.abs(across).max(initial=0.0) > _SAME_PLACE:
                raise UserInputError(
                    "edge moments need a structure with no periodic image within the cutoff; use an isolated cluster, "
                    "or LAMMPS, where images are separate ghost atoms"
                )
        if long_range is not None and graph.n_atoms:
            positions, cell = require_place(graph)
        arrays = [
            np.ascontiguousarray(species),
            np.ascontiguousarray(graph.edge_vectors, dtype=np.float64),
            np.ascontiguousarray(graph.edge_centre, dtype=np.int64),
            np.ascontiguousarray(graph.edge_neighbour, dtype=np.int64),
            global_values,
            None if positions is None else np.ascontiguousarray(positions, dtype=np.float64),
            None if cell is None else np.ascontiguousarray(cell, dtype=np.float64),
            None if charge_weights is None else np.ascontiguousarray(charge_weights, dtype=np.float64),
            node_energies,
            edge_gradients,
            edge_moments,
            properties,
            *((None, None, None) if long_range is None else long_range.arrays),
        ]
        with self._lock:
            status = self._library.mlip_model_evaluate(
                self._handle,
                graph.n_atoms,
                graph.n_edges,
                *(None if array is None else array.ctypes.data for array in arrays),
                self._error,
                _ERROR_BYTES,
            )
            if status != 0:
                raise MlipError(self._error.value.decode(errors="replace"))
        by_name = dict(zip(self.node_properties, properties.T, strict=True))
        far = None if long_range is None else long_range.results()
        return Evaluation.of_edges(graph, node_energies, edge_gradients, edge_moments, by_name, far)

    def evaluate_many(self, graphs: Sequence[Graph]) -> list[Evaluation]:
        """Return the results of several graphs from one evaluation, which is much faster on a GPU.

        Graphs with different charges or spins, and those of a model with latent charges, are evaluated one by one.

        Raises
        ------
        UserInputError, MlipError
            See ``evaluate``.
        """
        for graph in graphs:
            require_instance("a graph", graph, Graph, "what build_graph returns")
        n_inputs = len({self.global_values(graph.global_inputs) for graph in graphs})
        if n_inputs > 1 or self.latent_ewald is not None:
            return [self.evaluate(graph) for graph in graphs]
        together = self.evaluate(join_graphs(graphs))
        results, atom, edge = [], 0, 0
        for graph in graphs:
            atoms, edges = slice(atom, atom + graph.n_atoms), slice(edge, edge + graph.n_edges)
            properties = {name: values[atoms] for name, values in together.node_properties.items()}
            gradients = together.edge_gradients[edges]
            results.append(Evaluation.of_edges(graph, together.node_energies[atoms], gradients, None, properties))
            atom, edge = atom + graph.n_atoms, edge + graph.n_edges
        return results


class _LongRangeArrays:
    """Arrays for what the sum of a model with latent charges adds, in the order and sign of C++."""

    def __init__(self, n_atoms: int, has_atom_virials: bool):
        self.forces, self.virial = np.zeros((n_atoms, 3)), np.zeros(6)
        self.atom_virials = np.zeros((n_atoms, 6)) if has_atom_virials else None

    @property
    def arrays(self) -> tuple[NDArray[np.float64] | None, ...]:
        return self.forces, self.virial, self.atom_virials

    def results(self) -> LongRange:
        of_atoms = None if self.atom_virials is None else -self.atom_virials[:, _VOIGT_OF_LAMMPS]
        return LongRange(self.forces, -self.virial[_VOIGT_OF_LAMMPS], of_atoms)


@dataclass
class _Forked:
    """What this process cannot use because it was forked from a process that did."""

    has_threads: bool = False
    has_gpu: bool = False


_forked = _Forked()
_used_gpu = threading.Event()


def _continue_after_fork() -> None:
    models = list(_open_models.values())
    _forked.has_threads |= bool(models) or _library.cache_info().currsize > 0 or "torch" in sys.modules
    _forked.has_gpu |= _used_gpu.is_set()
    for model in models:
        model._continue_after_fork()


os.register_at_fork(after_in_child=_continue_after_fork)


def _symbol(number: int) -> str:
    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else f"atomic number {number}"


_open_models: WeakValueDictionary[tuple[Path, int, tuple[int, int]], CompiledModel] = WeakValueDictionary()


def _opened(path: Path, n_threads: int) -> CompiledModel:
    """Return the model of a file as it is now, opened once in a process as long as it is used."""
    try:
        found = _open_models.get((path, n_threads, _stamp(path)))
    except OSError:
        found = None
    return CompiledModel(path, n_threads) if found is None else found


def _stamp(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written again."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(native_folder() / MODEL_LIBRARY))
    library.mlip_model_open.restype = ctypes.c_void_p
    library.mlip_model_open.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int64,
    ]
    library.mlip_model_close.argtypes = [ctypes.c_void_p]
    library.mlip_model_set_threads.restype = ctypes.c_int
    library.mlip_model_set_threads.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.mlip_model_evaluate.restype = ctypes.c_int
    library.mlip_model_evaluate.argtypes = (
        [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64] + [ctypes.c_void_p] * 15 + [ctypes.c_char_p, ctypes.c_int64]
    )
    library.mlip_model_gpu.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p]
    library.mlip_model_gpu.argtypes += [ctypes.c_char_p, ctypes.c_int64]
    return library
