"""Frames of a shipped model's data with their part of the split, their kind and their labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from kinds import CLASSIFIERS
from numpy.typing import ArrayLike, NDArray

SAME_SITE = 1e-3
"""Tolerance of repeated positions, as a fraction of a lattice vector and in angstrom."""
SAME_FORCE = 1e-3
"""Tolerance of repeated forces in eV/angstrom."""


class DataError(Exception):
    """Data that do not match the configuration; the message names the next step."""


@dataclass(frozen=True)
class Frame:
    """A configuration with its labels.

    Attributes
    ----------
    atoms
        Atoms with ``REF_energy`` (eV) and ``REF_stress`` (eV/angstrom^3, 3x3) in ``info`` and ``REF_forces``
        (eV/angstrom) in ``arrays``; labels that are missing or excluded are absent.
    part
        ``train``, ``valid`` or ``test``.
    data
        Name of the data set.
    kind
        Kind of the frame, from the configuration or the frame.
    repeats
        Number of repetitions of a smaller cell along each axis.

    If the configuration sets weights, ``info`` also has ``config_weight`` and ``config_stress_weight`` for mace-torch.
    """

    atoms: Atoms
    part: str
    data: str
    kind: str
    repeats: int = 1


def split_frames(n_frames: int, n_valid: int, n_test: int, seed: int) -> dict[str, list[int]]:
    """Return the sorted frame indices of a random split, with the keys train, valid and test."""
    order = np.random.default_rng(seed).permutation(n_frames)
    parts = {
        "train": order[n_test + n_valid :],
        "valid": order[n_test : n_test + n_valid],
        "test": order[:n_test],
    }
    return {name: sorted(int(i) for i in frames) for name, frames in parts.items()}


def split_by_kind(kinds: list[str], valid: float, test: float, seed: int) -> dict[str, list[int]]:
    """Return the sorted frame indices of a random split that is stratified by kind, keyed train, valid and test.

    Parameters
    ----------
    kinds
        Kind of each frame.
    valid, test
        Fractions of the frames, from 0 to 1.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for kind in dict.fromkeys(kinds):
        order = rng.permutation([number for number, of in enumerate(kinds) if of == kind])
        n_test, n_valid = round(test * len(order)), round(valid * len(order))
        parts["test"] += order[:n_test].tolist()
        parts["valid"] += order[n_test : n_test + n_valid].tolist()
        parts["train"] += order[n_test + n_valid :].tolist()
    return {name: sorted(frames) for name, frames in parts.items()}


def swap_shears(stress: ArrayLike, first: str, second: str) -> NDArray[np.float64]:
    """Return a stress, shape (3, 3), with two of the shear components yz, xz and xy exchanged."""
    swapped = np.array(stress, dtype=np.float64).reshape(3, 3)
    (i, j), (k, m) = (("xyz".index(axis) for axis in name) for name in (first, second))
    swapped[i, j], swapped[k, m] = swapped[k, m], swapped[i, j]
    swapped[j, i], swapped[m, k] = swapped[i, j], swapped[k, m]
    return swapped


def unit_cell(atoms: Atoms, repeats: int) -> Atoms:
    """Return the cell that a frame repeats ``repeats`` times along each axis, with the corresponding labels.

    Raises
    ------
    DataError
        If the positions or the forces of the frame are not such a repetition.
    """
    inside = ((repeats * atoms.get_scaled_positions() + SAME_SITE) % repeats < 1.0).all(axis=1)
    cell = atoms[inside]
    cell.set_cell(atoms.cell / repeats)
    if "REF_energy" in atoms.info:
        cell.info["REF_energy"] = atoms.info["REF_energy"] / repeats**3
    copies = cell.repeat(repeats)
    distances = get_distances(copies.positions, atoms.positions, cell=atoms.cell, pbc=True)[1]
    nearest = distances.argmin(axis=1)
    forces = atoms.arrays["REF_forces"][nearest]
    if (
        len(set(nearest)) != len(atoms)
        or distances.min(axis=1).max() > SAME_SITE
        or np.abs(copies.arrays["REF_forces"] - forces).max() > SAME_FORCE
    ):
        raise DataError(f"a frame of {len(atoms)} atoms does not repeat a cell {repeats} times; correct 'repeats'")
    return cell


def read_frames(data: list[dict[str, Any]], data_dir: Path) -> list[Frame]:
    """Return the frames of all data sets of a configuration; each set has its train, valid and test frames in order.

    Parameters
    ----------
    data
        Entry ``data`` of the configuration. Each data set has the keys ``file`` (below ``data_dir``); ``split``, the
        arguments of ``split_frames`` or, for fractions, of ``split_by_kind``; ``kinds``, names with first and last
        frame, or the name of a function in ``kinds.py``; ``repeats``, repetitions of a smaller cell by kind;
        ``without``, labels to exclude; ``swapped``, two swapped shear components of the stress labels; ``weight``,
        weight of a frame in the loss; and ``stress_weights``, weights of the stress by kind.

    Raises
    ------
    DataError
        If a file is missing, is not an extended XYZ file, or lacks labels.
    """
    return [frame for source in data for frame in _read_source(source, data_dir)]


def _read_source(source: dict[str, Any], data_dir: Path) -> Iterator[Frame]:
    path = data_dir / source["file"]
    try:
        frames = ase.io.read(path, ":", format="extxyz")
    except (OSError, ValueError, KeyError, IndexError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{path} is not readable ({error.strerror}); give the folder of the data sets") from None
        raise DataError(f"{path} is not an extended XYZ file ({error}); copy the data again") from None
    for number, atoms in enumerate(frames):
        if "REF_energy" not in atoms.info or "REF_forces" not in atoms.arrays:
            raise DataError(f"frame {number} of {path} lacks REF_energy or REF_forces; copy the data again")
        for label in source.get("without", []):
            (atoms.arrays if label == "forces" else atoms.info).pop(f"REF_{label}", None)
        if "swapped" in source:
            atoms.info["REF_stress"] = swap_shears(atoms.info["REF_stress"], *source["swapped"])
        if "weight" in source:
            atoms.info["config_weight"] = float(source["weight"])
    kinds = [_kind(source, number, atoms) for number, atoms in enumerate(frames)]
    split = source["split"]
    parts = split_by_kind(kinds, **split) if "test" in split else split_frames(len(frames), **split)
    for part, numbers in parts.items():
        for number in numbers:
            repeats = source.get("repeats", {}).get(kinds[number], 1)
            if (weight := source.get("stress_weights", {}).get(kinds[number])) is not None:
                frames[number].info["config_stress_weight"] = float(weight)
            yield Frame(frames[number], part, path.stem, kinds[number], repeats)


def _kind(source: dict[str, Any], number: int, atoms: Atoms) -> str:
    kinds = source.get("kinds")
    if isinstance(kinds, str):
        return CLASSIFIERS[kinds](atoms)
    if kinds is None:
        return atoms.info.get("config_type", "other")
    return next((name for name, (first, last) in kinds.items() if first <= number <= last), "other")
