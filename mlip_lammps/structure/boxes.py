"""Boxes of molecules: generated starting structures of liquids and gases."""

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mlip_lammps.core.arguments import require_count, require_instance, require_positive
from mlip_lammps.core.errors import UserInputError

GRAM_PER_CM3 = 1e-3 * units.kg / (1e-2 * units.m) ** 3
N_ORIENTATIONS = 64
MIN_DISTANCE = 1.2


def box_edge(molecule: Atoms, n_molecules: int, density_g_cm3: float) -> float:
    """Return the edge length (angstrom) of a cube with ``n_molecules`` at ``density_g_cm3``."""
    mass = n_molecules * molecule.get_masses().sum()
    return float((mass / (density_g_cm3 * GRAM_PER_CM3)) ** (1 / 3))


def build_box(molecule: Atoms, n_molecules: int, density_g_cm3: float, seed: int = 0) -> Atoms:
    """Return a periodic cube of randomly oriented molecules on a simple cubic grid.

    Each molecule takes the one of several random orientations that keeps it farthest from the molecules already
    placed. Minimise and equilibrate the box before use: it is not a sample of a liquid.

    Parameters
    ----------
    molecule
        One molecule, for instance ``ase.build.molecule("H2O")``; its cell is ignored.
    n_molecules
        Number of molecules; if it is not a cube number, some grid points stay empty.
    density_g_cm3
        Mass density in g/cm^3.
    seed
        Random seed; equal seeds give equal boxes.

    Returns
    -------
    Atoms
        Molecules one after another, each in the atom order of ``molecule``. Molecules are not split at the box faces,
        so some atoms may lie outside the box.

    Raises
    ------
    UserInputError
        If a number is not positive, if the seed is negative, or if a molecule is closer than ``MIN_DISTANCE`` to
        another molecule or to its own periodic image.
    """
    require_instance("molecule", molecule, Atoms, "an ase.Atoms object")
    require_count("n_molecules", n_molecules)
    require_positive("density_g_cm3", density_g_cm3)
    require_count("seed", seed, 0)
    if len(molecule) == 0:
        raise UserInputError("the molecule has 0 atoms; give a molecule with atoms")
    rng = np.random.default_rng(seed)
    edge = box_edge(molecule, n_molecules, density_g_cm3)
    centred = molecule.positions - molecule.get_center_of_mass()
    placed = np.empty((0, 3))
    for point in _grid_points(n_molecules, edge, rng):
        turned = Rotation.random(N_ORIENTATIONS, rng=rng).as_matrix() @ centred.T
        candidates = point + turned.transpose(0, 2, 1)
        distances = _closest(candidates, placed, edge)
        best = int(np.argmax(distances))
        if distances[best] < MIN_DISTANCE:
            raise UserInputError(
                f"{n_molecules} {molecule.get_chemical_formula()} at {density_g_cm3} g/cm3 are only "
                f"{distances[best]:.2f} angstrom apart, expected {MIN_DISTANCE} or more; build the box at a lower "
                "density and compress it"
            )
        placed = np.vstack([placed, candidates[best]])
    return Atoms(numbers=np.tile(molecule.numbers, n_molecules), positions=placed, cell=[edge] * 3, pbc=True)


def _grid_points(n_points: int, edge: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return ``n_points`` random points of the coarsest cubic grid with enough points, shape (n_points, 3)."""
    n_side = 1
    while n_side**3 < n_points:
        n_side += 1
    grid = (np.indices((n_side,) * 3).reshape(3, -1).T + 0.5) * (edge / n_side)
    return grid[np.sort(rng.permutation(len(grid))[:n_points])]


def _closest(candidates: NDArray[np.float64], placed: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    """Return the smallest distance (angstrom) of each candidate, shape (n_candidates, n_atoms, 3), to other atoms.

    Other atoms are the placed ones and the periodic images of the candidate. Rounding finds the nearest image in a
    cube.
    """
    vectors = candidates[:, :, None, :] - placed
    vectors -= edge * np.round(vectors / edge)
    to_others = np.linalg.norm(vectors, axis=-1).min(axis=(1, 2), initial=edge)
    vectors = candidates[:, :, None, :] - candidates[:, None, :, :]
    images = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    images = edge * images[np.any(images != 0, axis=1)]
    to_itself = [np.linalg.norm(vectors + image, axis=-1).min(axis=(1, 2)) for image in images]
    return np.minimum(to_others, np.min(to_itself, axis=0))
