"""Trajectories that ``dump custom`` of LAMMPS writes as text."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_path
from mlip_lammps.core.errors import UserInputError

_FRAME = b"ITEM: TIMESTEP\n"
_HEADER_LINES = 9


@dataclass(frozen=True)
class FrameIndex:
    """Place of a complete frame in its file: step, first byte, and the byte after the last one."""

    step: int
    start: int
    end: int


@dataclass(frozen=True)
class LammpsFrame:
    """One frame.

    Attributes
    ----------
    step
        Time step.
    cell
        Cell vectors in angstrom, shape (3, 3), in the frame of LAMMPS.
    pbc
        Periodic directions.
    columns
        Columns of the dump by name, each of shape (n_atoms,); ``element`` contains strings.
    """

    step: int
    cell: NDArray[np.float64]
    pbc: tuple[bool, bool, bool]
    columns: dict[str, NDArray]

    def vectors(self, *names: str) -> NDArray[np.float64]:
        """Return columns side by side, for example ``vectors("vx", "vy", "vz")``, shape (n_atoms, n_names)."""
        return np.stack([self.columns[name] for name in names], axis=1)

    def atoms(self) -> Atoms:
        """Return the structure, from the columns ``element`` and ``x y z`` or ``xu yu zu``."""
        names = ("xu", "yu", "zu") if "xu" in self.columns else ("x", "y", "z")
        return Atoms(list(self.columns["element"]), self.vectors(*names), cell=self.cell, pbc=self.pbc)


def index_frames(path: Path | str) -> list[FrameIndex]:
    """Return the complete frames of a trajectory up to the first incomplete one; none if there is no file."""
    require_path("path", path)
    path, found = Path(path), []
    if not path.is_file() or path.stat().st_size == 0:
        return found
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = 0
        while data[start : start + len(_FRAME)] == _FRAME:
            end = data.find(_FRAME, start + 1)
            end = len(data) if end < 0 else end
            frame = data[start:end]
            lines = frame[:400].split(b"\n", 4)
            if len(lines) < 5 or not (lines[1].isdigit() and lines[3].isdigit()):
                break
            if frame.count(b"\n") != _HEADER_LINES + int(lines[3]) or not frame.endswith(b"\n"):
                break
            found.append(FrameIndex(int(lines[1]), start, end))
            start = end
    return found


def read_frames(path: Path | str, first_step: int = 0, stride: int = 1) -> Iterator[LammpsFrame]:
    """Yield the complete frames of a trajectory.

    Parameters
    ----------
    first_step
        Frames before this step are skipped.
    stride
        Take every this many of the remaining frames.

    Raises
    ------
    UserInputError
        If the file has no complete frame.
    """
    frames = index_frames(path)
    if not frames:
        raise UserInputError(f"{path} contains no complete frame; give a text file of dump custom of LAMMPS")
    with Path(path).open("rb") as stream:
        for frame in [one for one in frames if one.step >= first_step][::stride]:
            stream.seek(frame.start)
            yield _parse(stream.read(frame.end - frame.start))


def _parse(data: bytes) -> LammpsFrame:
    *header, body = data.decode().split("\n", _HEADER_LINES)
    names = header[8].split()[2:]
    words = np.array(body.split()).reshape(-1, len(names))
    columns = {}
    for k, name in enumerate(names):
        columns[name] = words[:, k] if name == "element" else words[:, k].astype(np.int64 if name == "id" else float)
    bounds = np.array([line.split() for line in header[5:8]], dtype=float)
    kinds = header[4].split()[-3:]
    return LammpsFrame(int(header[1]), _cell(bounds), tuple(kind == "pp" for kind in kinds), columns)


def _cell(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cell vectors from the bounding box of LAMMPS; tilts xy, xz, yz are in the third column, if any."""
    xy, xz, yz = bounds[:, 2] if bounds.shape[1] == 3 else (0.0, 0.0, 0.0)
    low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    x, y, z = high - low
    return np.array([[x, 0.0, 0.0], [xy, y, 0.0], [xz, yz, z]])
