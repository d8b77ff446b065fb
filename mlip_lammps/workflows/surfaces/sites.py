"""Adsorption sites of a slab that differ by symmetry."""

import re
from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms
from ase.geometry import find_mic, get_duplicate_atoms
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from mlip_lammps.core.errors import UserInputError

SURFACE_DEPTH = 1.0
"""Atoms up to this depth below the highest one are surface atoms, angstrom."""

SYMMETRY_TOLERANCE = 0.1
"""Tolerance in angstrom for symmetry of a relaxed slab."""

_NEAREST = 1.15
"""Surface atoms within this times the distance of the nearest one, in the plane, belong to a site."""

_ON_TOP = 0.3
"""A point closer to an atom than this, in the plane, is a top site, angstrom."""


@dataclass(frozen=True)
class Site:
    """An adsorption site.

    Attributes
    ----------
    name
        ``top``, ``bridge``, or ``hollow`` with the number of its surface atoms, for instance ``hollow3``. Names of
        different sites of a kind continue with letters: ``hollow3a``, ``hollow3b``.
    position
        Point in the plane of its surface atoms, angstrom, shape (3,).
    """

    name: str
    position: NDArray[np.float64]

    def is_called(self, name: str) -> bool:
        """Return whether ``name`` is the name of the site with or without its number and letter."""
        kind, number = re.fullmatch(r"(top|bridge|hollow)(\d*)[a-z]?", self.name).groups()
        return name in (kind, f"{kind}{number}", self.name)


_SAME_FRACTION = 1e-6
"""Difference of fractional coordinates of one point in two cells, from rounding."""


def find_sites(slab: Atoms) -> tuple[Site, ...]:
    """Return one site of each kind on the top side of a slab.

    Parameters
    ----------
    slab
        Slab in the xy plane, with the vacuum along z.

    Raises
    ------
    UserInputError
        If the slab is not in the xy plane.

    Notes
    -----
    Sites are atoms (top), middles of edges (bridge) and centres (hollow) of the Delaunay triangles of the surface
    atoms. Points with four or more equally near atoms are one hollow site.
    """
    if not slab.pbc[:2].all() or np.abs(slab.cell[:2, 2]).max() > 1e-3:
        raise UserInputError(
            f"the first two cell vectors are {slab.cell[:2].round(3).tolist()} with pbc {slab.pbc.tolist()}, expected "
            "periodic ones in the xy plane; give a slab"
        )
    surface = slab.positions[slab.positions[:, 2] > slab.positions[:, 2].max() - SURFACE_DEPTH]
    points = [(place, 1) for place in surface]
    points += _between_atoms(surface, slab)
    kept: list[tuple[NDArray[np.float64], int]] = []
    group = _PlaneGroup(slab)
    for point, count in points:
        images = group.images(point)
        if not any(group.nearest(images - other) < 2 * SYMMETRY_TOLERANCE for other, _ in kept):
            kept.append((point, count))
    names = [{1: "top", 2: "bridge"}.get(count, f"hollow{count}") for _, count in kept]
    found = []
    for k, (point, _) in enumerate(kept):
        letter = chr(ord("a") + names[:k].count(names[k])) if names.count(names[k]) > 1 else ""
        found.append(Site(names[k] + letter, point))
    order = ("top", "bridge", "hollow")

    def rank(site: Site) -> tuple[int, str]:
        return next(k for k, kind in enumerate(order) if site.name.startswith(kind)), site.name

    return tuple(sorted(found, key=rank))


def site_of(place: NDArray[np.float64], slab: Atoms, sites: tuple[Site, ...]) -> str:
    """Return the name of the site that is nearest to a place, in the plane and up to symmetry."""
    group = _PlaneGroup(slab)
    images = group.images(place)
    return min(sites, key=lambda site: group.nearest(images - site.position)).name


def _between_atoms(surface: NDArray[np.float64], slab: Atoms) -> list[tuple[NDArray[np.float64], int]]:
    """Return middles of edges and centres of triangles, with the number of their surface atoms."""
    shifts = np.array([[i, j, 0] for i in range(-2, 3) for j in range(-2, 3)]) @ slab.cell[:]
    cloud = (surface[None] + shifts[:, None]).reshape(-1, 3)
    triangles = cloud[Delaunay(cloud[:, :2]).simplices]
    # triangles at the edge of the cloud have other neighbours than those of the crystal
    centre = surface.mean(axis=0)
    reach = np.linalg.norm(slab.cell[0]) + np.linalg.norm(slab.cell[1])
    middles = triangles.mean(axis=1)
    triangles = triangles[np.linalg.norm((middles - centre)[:, :2], axis=1) < 0.8 * reach]
    candidates = [(a + b) / 2 for triangle in triangles for a, b in zip(triangle, np.roll(triangle, 1, 0), strict=True)]
    candidates += [centre for triangle in triangles if (centre := _circumcentre(triangle)) is not None]
    found: list[tuple[NDArray[np.float64], int]] = []
    for point in _without_translates(np.array(candidates).reshape(-1, 3), slab):
        distances = np.linalg.norm((cloud - point)[:, :2], axis=1)
        if distances.min() < _ON_TOP:
            continue
        near = distances < _NEAREST * distances.min()
        if near.sum() < 2:
            continue
        place = np.array([*point[:2], cloud[near, 2].mean()])
        flat = np.array([place - other for other, _ in found]).reshape(-1, 3) * (1, 1, 0)
        if not len(flat) or find_mic(flat, slab.cell, (True, True, False))[1].min() > 2 * SYMMETRY_TOLERANCE:
            found.append((place, int(near.sum())))
    return found


def _without_translates(points: NDArray[np.float64], slab: Atoms) -> NDArray[np.float64]:
    """Return points without those that repeat an earlier one in another cell of the plane, up to a few of them."""
    folded = np.rint((points[:, :2] @ np.linalg.inv(slab.cell[:2, :2])) / _SAME_FRACTION).astype(np.int64)
    folded %= round(1.0 / _SAME_FRACTION)
    _, first = np.unique(folded, axis=0, return_index=True)
    return points[np.sort(first)]


def _circumcentre(triangle: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the point of the plane with the same distance to three atoms, or None if it lies outside of them."""
    a, b, c = triangle[:, :2]
    matrix = 2 * np.array([b - a, c - a])
    if abs(np.linalg.det(matrix)) < 1e-3:
        return None
    centre = np.linalg.solve(matrix, [b @ b - a @ a, c @ c - a @ a])
    weights = np.linalg.lstsq(np.vstack([triangle[:, :2].T, np.ones(3)]), np.append(centre, 1.0), rcond=None)[0]
    return None if weights.min() < -0.05 else np.append(centre, triangle[:, 2].mean())


def primitive_slab(slab: Atoms) -> Atoms:
    """Return the smallest cell in the plane that repeats to the slab, without constraints; positions are kept."""
    whole = slab.copy()
    whole.set_constraint()
    found = _symmetry(whole)
    if found is None:
        return whole
    is_shift = (found["rotations"] == np.eye(3, dtype=int)).all(axis=(1, 2))
    shifts = found["translations"][is_shift] @ slab.cell[:]
    shifts[:, 2] = 0.0
    shifts = find_mic(shifts, slab.cell, (True, True, False))[0]
    candidates = np.concatenate([shifts, slab.cell[:2], -shifts])
    lengths = np.linalg.norm(candidates, axis=1)
    candidates = candidates[np.argsort(lengths)][np.sort(lengths) > SYMMETRY_TOLERANCE]
    area = np.linalg.norm(np.cross(*slab.cell[:2])) / is_shift.sum()
    for second in candidates[1:]:
        if abs(np.cross(candidates[0], second)[2] - area) < 0.01 * area:
            whole.set_cell([candidates[0], second, slab.cell[2]])
            whole.wrap(pbc=(True, True, False))
            get_duplicate_atoms(whole, cutoff=2 * SYMMETRY_TOLERANCE, delete=True)
            return whole
    return whole


def _symmetry(slab: Atoms) -> dict | None:
    cell = slab.cell[:], slab.get_scaled_positions(), slab.numbers
    try:
        return spglib.get_symmetry(cell, symprec=SYMMETRY_TOLERANCE)
    except spglib.SpglibError:
        return None


class _PlaneGroup:
    """The symmetries of a slab that do not exchange top and bottom."""

    def __init__(self, slab: Atoms) -> None:
        small = primitive_slab(slab)
        self.cell = small.cell
        found = _symmetry(small)
        self._operations = [(np.eye(3), np.zeros(3))]
        if found is None:
            return
        vectors = small.cell[:].T
        for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
            turn = vectors @ rotation @ np.linalg.inv(vectors)
            if turn[2, 2] > 0.5:
                self._operations.append((turn, vectors @ translation))

    def images(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return all symmetric images of a point, shape (n, 3)."""
        return np.array([turn @ point + shift for turn, shift in self._operations])

    def nearest(self, vectors: NDArray[np.float64]) -> float:
        """Return the length of the shortest vector in the plane, up to lattice vectors."""
        flat = np.array(vectors, dtype=float)
        flat[:, 2] = 0.0
        return float(find_mic(flat, self.cell, (True, True, False))[1].min())
