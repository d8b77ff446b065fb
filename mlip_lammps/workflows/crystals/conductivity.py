"""Lattice thermal conductivity from third-order force constants, with phono3py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from mlip_lammps.core.arguments import COUNT, require_numbers
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.crystals.force_constants import force_task, phonopy_cell, primitive_matrix, to_ase
from mlip_lammps.workflows.crystals.imaginary_modes import IMAGINARY_THZ
from mlip_lammps.workflows.crystals.phonons import prepare_crystal
from mlip_lammps.workflows.settings import NUMBERS, require_settings
from mlip_lammps.workflows.symmetry import EXACT, SYMMETRY_TOLERANCE
from mlip_lammps.workflows.tasks import Tasks

if TYPE_CHECKING:
    from phono3py import Phono3py

DISPLACEMENT = 0.03
"""Displacement of atoms in angstrom; the third derivative needs a longer one than the second."""

MESH = (11, 11, 11)
TEMPERATURES = tuple(range(100, 1001, 50))


@dataclass(frozen=True)
class LatticeConductivity:
    """Lattice thermal conductivity in the relaxation time approximation.

    Attributes
    ----------
    temperatures
        Temperatures in K, shape (n,).
    conductivity_w_per_m_k
        Conductivity in W/m/K, shape (n, 6), order xx yy zz yz xz xy, in the orientation of the given structure.
    supercell
        Repeats of the given cell.
    mesh
        Numbers of q-points along the reciprocal vectors of the primitive cell.
    n_displacements
        Number of evaluated supercells.
    phono3py
        Phono3py with the force constants, for anything else.
    """

    temperatures: NDArray[np.float64]
    conductivity_w_per_m_k: NDArray[np.float64]
    supercell: tuple[int, int, int]
    mesh: tuple[int, int, int]
    n_displacements: int
    phono3py: "Phono3py" = field(repr=False, compare=False)

    @property
    def mean_w_per_m_k(self) -> NDArray[np.float64]:
        """Mean over the three axes in W/m/K, shape (n,)."""
        return self.conductivity_w_per_m_k[:, :3].mean(axis=1)

    def write(self, folder: Path) -> None:
        """Write ``phono3py_params.yaml``, which ``phono3py-load`` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        self.phono3py.save(folder / "phono3py_params.yaml")


def require_phono3py() -> None:
    """Raise ``UserInputError`` if phono3py is not installed."""
    if find_spec("phono3py") is None:
        raise UserInputError("phono3py is not installed; run pip install 'mlip-lammps[anharmonic]'")


def lattice_conductivity(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int] | None = None,
    *,
    mesh: Sequence[int] = MESH,
    temperatures: Sequence[float] = TEMPERATURES,
    displacement: float = DISPLACEMENT,
    n_snapshots: int | None = None,
    seed: int = 2026,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    tasks: Tasks | None = None,
) -> LatticeConductivity:
    """Return the lattice thermal conductivity of a relaxed crystal.

    Parameters
    ----------
    atoms, calculator, supercell, symmetry_tolerance, tasks
        See ``phonons``.
    mesh
        Numbers of q-points along the reciprocal vectors of the primitive cell. Test a denser one.
    temperatures
        Ascending temperatures above 0 K.
    displacement
        Displacement of atoms in angstrom, for pairs of atoms and for single ones, or for all atoms of a snapshot.
    n_snapshots
        Number of supercells whose atoms are all displaced in random directions, and to whose forces symfc fits the
        force constants; None to displace pairs of atoms.
    seed
        Seed of the random directions.

    Raises
    ------
    UserInputError
        If phono3py is not installed, or see ``phonons``.
    MlipError
        If a frequency is imaginary.

    Notes
    -----
    Third-order force constants are central differences of forces over all pairs of displacements that differ by
    symmetry, or are fitted to random snapshots: A. Seko, A. Togo, Phys. Rev. B 110, 214302 (2024). Fewer snapshots
    are enough, but compare two numbers of them. Lifetimes follow from three-phonon scattering in the relaxation time
    approximation: A. Togo, L. Chaput, I. Tanaka, Phys. Rev. B 91, 094306 (2015). Isotopes and boundaries do not
    scatter.
    """
    require_phono3py()
    require_settings(displacement=displacement, n_snapshots=n_snapshots, seed=seed)
    require_numbers("mesh", mesh, COUNT, n=3)
    require_numbers("temperatures", temperatures, NUMBERS["temperature"])
    symmetric, _, supercell = prepare_crystal(atoms, calculator, supercell, symmetry_tolerance)
    crystal = _displaced(symmetric, supercell, displacement, n_snapshots, seed)
    _find_force_constants(crystal, calculator, n_snapshots is not None, tasks or Tasks())
    crystal.mesh_numbers = list(mesh)
    crystal.init_phph_interaction()
    crystal.run_phonon_solver()
    lowest = float(crystal.get_phonon_data()[0].min())
    if lowest < -IMAGINARY_THZ:
        raise MlipError(
            f"a frequency is imaginary ({lowest:.2f} THz), and the conductivity is not defined; use a stable phase or "
            "a larger supercell"
        )
    crystal.run_thermal_conductivity(temperatures=np.array(temperatures, dtype=float))
    return LatticeConductivity(
        temperatures=np.array(temperatures, dtype=float),
        conductivity_w_per_m_k=np.array(crystal.thermal_conductivity.kappa)[0],
        supercell=supercell,
        mesh=tuple(map(int, mesh)),
        n_displacements=len(crystal.supercells_with_displacements),
        phono3py=crystal,
    )


def _displaced(
    symmetric: Atoms, supercell: Sequence[int], displacement: float, n_snapshots: int | None, seed: int
) -> "Phono3py":
    from phono3py import Phono3py

    cell = phonopy_cell(symmetric)
    crystal = Phono3py(
        cell, supercell_matrix=np.diag(supercell), primitive_matrix=primitive_matrix(cell), symprec=EXACT
    )
    if n_snapshots is None:
        crystal.generate_displacements(distance=displacement)
    else:
        crystal.generate_displacements(distance=displacement, number_of_snapshots=n_snapshots, random_seed=seed)
    return crystal


def _find_force_constants(crystal: "Phono3py", calculator: Calculator, are_random: bool, tasks: Tasks) -> None:
    items = [to_ase(displaced) for displaced in crystal.supercells_with_displacements]
    stage = "random snapshots" if are_random else "pairs of displacements"
    crystal.forces = np.array(tasks.map(stage, force_task, calculator, items))
    if are_random:
        crystal.produce_fc3(fc_calculator="symfc")  # fits the second order with the third
        return
    crystal.produce_fc3()
    crystal.produce_fc2()
    crystal.symmetrize_fc3()
    crystal.symmetrize_fc2()
