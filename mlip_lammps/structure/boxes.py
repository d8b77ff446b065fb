"""Boxes of molecules: a liquid or a gas to start from, built and not measured."""

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mlip_lammps.core.errors import UserInputError

GRAM_PER_CM3 = 1e-3 * units.kg / (1e-2 * units.m) ** 3
N_ORIENTATIONS = 64
MIN_DISTANCE = 1.2


def box_edge(molecule: Atoms, n_molecules: int, density_g_cm3: float) -> float:
    """Return the edge (angstrom) of the cube that holds ``n_molecules`` at ``density_g_cm3``."""
    mass = n_molecules * molecule.get_masses().sum()
    return float((mass / (density_g_cm3 * GRAM_PER_CM3)) ** (1 / 3))


def build_box(molecule: Atoms, n_molecules: int, density_g_cm3: float, seed: int = 0) -> Atoms:
    """Return a periodic cube of molecules on a simple cubic grid, each turned at random.

    Of a fixed number of random orientations, each molecule takes the one that keeps it farthest from those
    placed before it. The box is a start for a minimisation and an equilibration, not a sample of a liquid.

    Parameters
    ----------
    molecule
        One molecule, for instance ``ase.build.molecule("H2O")``; its cell is ignored.
    n_molecules
        How many; where it is no cube of an integer, some grid points stay empty.
    density_g_cm3
        Mass density in g/cm^3.
    seed
        The same seed gives the same box.

    Returns
    -------
    Atoms
        Molecule after molecule, in the atom order of ``molecule``; molecules are whole, so that atoms may lie
        outside the box.

    Raises
    ------
    UserInputError
        If a number is not positive, the seed is negative, or two molecules, or one and its own image, come closer than
        ``MIN_DISTANCE``.
    """
    if len(molecule) == 0 or n_molecules < 1 or not density_g_cm3 > 0:
        raise UserInputError(
            f"a box needs a molecule, a count and a density above 0; found {len(molecule)} atoms, "
            f"{n_molecules} molecules and {density_g_cm3} g/cm3"
        )
    if seed < 0:
        raise UserInputError(f"the seed is {seed}, and must be 0 or more")
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
                f"{n_molecules} {molecule.get_chemical_formula()} at {density_g_cm3} g/cm3 come within "
                f"{distances[best]:.2f} angstrom, below {MIN_DISTANCE}; build at a lower density and compress"
            )
        placed = np.vstack([placed, candidates[best]])
    return Atoms(numbers=np.tile(molecule.numbers, n_molecules), positions=placed, cell=[edge] * 3, pbc=True)


def _grid_points(n_points: int, edge: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return ``n_points`` points of the coarsest cubic grid that has as many, chosen at random, shape (n_points, 3)."""
    n_side = 1
    while n_side**3 < n_points:
        n_side += 1
    grid = (np.indices((n_side,) * 3).reshape(3, -1).T + 0.5) * (edge / n_side)
    return grid[np.sort(rng.permutation(len(grid))[:n_points])]


def _closest(candidates: NDArray[np.float64], placed: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    """Return the smallest distance (angstrom) of each candidate, shape (n_candidates, n_atoms, 3), to placed atoms.

    Images of its own atoms count. In a cube the nearest image is found by rounding.
    """
    vectors = candidates[:, :, None, :] - placed
    vectors -= edge * np.round(vectors / edge)
    to_others = np.linalg.norm(vectors, axis=-1).min(axis=(1, 2), initial=edge)
    vectors = candidates[:, :, None, :] - candidates[:, None, :, :]
    images = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    images = edge * images[np.any(images != 0, axis=1)]
    to_itself = [np.linalg.norm(vectors + image, axis=-1).min(axis=(1, 2)) for image in images]
    return np.minimum(to_others, np.min(to_itself, axis=0))
