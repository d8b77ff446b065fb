"""Model files for a GPU emulated on this CPU; they compile in seconds without NVRTC or a GPU."""

import ctypes
import uuid
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mlip_lammps.core.errors import MlipError, ModelFileError
from mlip_lammps.core.native import MODEL_LIBRARY, native_folder, torch_folder
from mlip_lammps.families import TrainedModel, family_of
from mlip_lammps.kernels.backend import CompileRequest, backend_of
from mlip_lammps.kernels.operators import OperatorCode
from mlip_lammps.model_file.archive import add_metadata, read_metadata
from mlip_lammps.model_file.contract import FORMAT_VERSION
from mlip_lammps.structure.min_distances import min_distances

_ERROR_BYTES = 4096


def write_emulated(trained: TrainedModel, output: Path, dtype: str = "float64") -> Path:
    """Write a model file with which LAMMPS, ASE and ``CompiledModel`` run the GPU kernels slowly on the CPU.

    Parameters
    ----------
    output
        File to write.
    dtype
        ``float64``, ``float32`` or ``mixed``.

    Returns
    -------
    Path
        ``output``.

    Notes
    -----
    ``export_model(..., device="emulated")`` writes the same file after a comparison with the reference. This function
    does not compare, so that tests can plant a fault in a kernel and compare it with the reference themselves.
    """
    model = family_of(trained).layers(trained, trained.atomic_numbers)
    elements = [chemical_symbols[z] for z in model.atomic_numbers]
    distances = min_distances(elements)
    with TemporaryDirectory(dir=output.parent) as scratch:
        request = CompileRequest(
            lowered=model.lowered,
            family=trained.family,
            dtype=dtype,
            radial="table",
            smallest=distances,
            output=output,
            scratch=Path(scratch),
            progress=lambda line: None,
            compile_programs=_no_programs,
        )
        compiled = backend_of("emulated").compile(request)
    add_metadata(
        output,
        {
            "format_version": FORMAT_VERSION,
            "build_id": uuid.uuid4().hex,
            "source": {"name": trained.source_name, "sha256": trained.source_sha256},
            **trained.describe(),
            "elements": elements,
            "cutoff": model.cutoff,
            "n_layers": model.n_layers,
            "dtype": dtype,
            "device": "cuda",
            "min_distances": distances,
            **compiled.record,
        },
    )
    return output


def _no_programs(operators: str) -> OperatorCode:
    raise MlipError(f"GPU files have no traced programs, but {operators} programs were requested; report this error")


@dataclass(frozen=True)
class Step:
    """Results of one step of a model that builds its own edge list.

    Attributes
    ----------
    energy
        Total energy in eV.
    node_energies
        Atomic energies in eV, shape (n_atoms,).
    forces
        Forces in eV/angstrom, shape (n_atoms, 3).
    virial
        Virial in eV, shape (6,), order xx yy zz xy xz yz, positive in compression.
    closest
        Indices of the pair with the smallest ratio of distance to minimum distance; None if no pair is below its
        minimum. A ghost atom has the index of the atom that it is an image of.
    """

    energy: float
    node_energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    virial: NDArray[np.float64]
    closest: tuple[int, int] | None


class ResidentModel:
    """A model that builds its own edge list, run in this process as the pair style does on one rank.

    Parameters
    ----------
    path
        Model file for a GPU or an emulated GPU.

    Raises
    ------
    ModelFileError
        If the file cannot be opened or is for a CPU.
    """

    def __init__(self, path: Path):
        self.metadata = read_metadata(path)
        self._library = ctypes.CDLL(str(native_folder() / MODEL_LIBRARY))
        self._library.mlip_model_open.restype = ctypes.c_void_p
        self._error = ctypes.create_string_buffer(_ERROR_BYTES)
        folder = str(torch_folder()).encode()
        handle = self._library.mlip_model_open(str(path).encode(), folder, 1, self._error, ctypes.c_int64(_ERROR_BYTES))
        self._handle = ctypes.c_void_p(handle)
        if not handle:
            raise ModelFileError(self._error.value.decode())
        if not self._library.mlip_model_finds_edges(self._handle):
            raise ModelFileError(f"{path} is for a CPU, expected a GPU file; export it with --device cuda")
        self._ghosts: tuple[NDArray[np.int32], NDArray[np.float64]] | None = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.mlip_model_close(self._handle)

    def step(self, atoms: Atoms, skin: float = 0.5, *, has_new_lists: bool = True) -> Step:
        """Evaluate ``atoms``.

        Parameters
        ----------
        skin
            Distance beyond the cutoff within which atoms are neighbour candidates, in angstrom.
        has_new_lists
            Whether to rebuild the lists of ghosts and candidates. If False, the atoms and the cell must be those of the
            last step with new lists, and no atom may have moved farther than half the skin.

        Raises
        ------
        MlipError
            If the model fails.
        """
        reach = self.metadata["cutoff"] + skin
        if has_new_lists:
            self._ghosts = _images(atoms, reach)
        owner, shifts = self._ghosts
        rows = [self.metadata["elements"].index(symbol) for symbol in atoms.get_chemical_symbols()]
        species = np.array(rows, dtype=np.int64)[np.concatenate([np.arange(len(atoms)), owner])]
        positions = np.concatenate([atoms.positions, atoms.positions[owner] + shifts])
        energies, forces, totals = np.empty(len(atoms)), np.empty((len(atoms), 3)), np.empty(7)
        closest = np.empty(2, dtype=np.int32)
        given = [ctypes.c_void_p(array.ctypes.data) for array in (species, positions, owner)]
        results = [ctypes.c_void_p(array.ctypes.data) for array in (energies, forces, totals, closest)]
        status = self._library.mlip_model_step(
            self._handle,
            ctypes.c_int64(len(atoms)),
            ctypes.c_int64(len(owner)),
            *given,
            int(has_new_lists),
            ctypes.c_double(reach),
            *results,
            self._error,
            ctypes.c_int64(_ERROR_BYTES),
        )
        if status != 0:
            raise MlipError(self._error.value.decode())
        pair = tuple(int(row if row < len(atoms) else owner[row - len(atoms)]) for row in closest)
        return Step(float(totals[0]), energies, forces, totals[1:], pair if closest[0] >= 0 else None)


def _images(atoms: Atoms, reach: float) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the atom index and shift of every periodic image within ``reach`` of an atom."""
    none = np.zeros(0, dtype=np.int32), np.zeros((0, 3))
    if not len(atoms) or not atoms.pbc.any():
        return none
    # atoms may lie outside the cell: the extent of the positions determines the number of images
    inverse = np.linalg.pinv(atoms.cell[:])
    scaled = np.nan_to_num(atoms.positions @ inverse)
    most = np.ceil(np.ptp(scaled, axis=0) + reach * np.linalg.norm(inverse, axis=0)) * atoms.pbc
    numbers = np.array(list(product(*(range(-int(n), int(n) + 1) for n in most))))
    shifts = numbers[np.any(numbers != 0, axis=1)] @ atoms.cell[:]
    positions = np.nan_to_num(atoms.positions)
    owner = np.tile(np.arange(len(atoms), dtype=np.int32), len(shifts))
    shifts = np.repeat(shifts, len(atoms), axis=0)
    distances, _ = cKDTree(positions).query(positions[owner] + shifts, distance_upper_bound=reach)
    is_near = np.isfinite(distances)
    return np.ascontiguousarray(owner[is_near]), shifts[is_near]
