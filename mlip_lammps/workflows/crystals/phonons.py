"""Phonons of a crystal: bands, density of states, thermal properties and unstable modes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import kJ, mol
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.file_IO import parse_BORN
from phonopy.phonon.band_structure import get_band_qpoints_by_seekpath

from mlip_lammps.core.arguments import COUNT, require_numbers
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.checks import (
    DEFAULT_REACH,
    cutoff_of,
    require_crystal,
    require_known_elements,
    require_relaxed,
    require_unconstrained,
    require_wide_supercell,
    supercell_for,
)
from mlip_lammps.workflows.crystals.force_constants import (
    DISPLACEMENT,
    Residuals,
    build_phonopy,
    find_force_constants,
    to_ase,
)
from mlip_lammps.workflows.crystals.imaginary_modes import IMAGINARY_THZ, ImaginaryMode, find_imaginary
from mlip_lammps.workflows.settings import TEMPERATURE, require_settings
from mlip_lammps.workflows.symmetry import SYMMETRY_TOLERANCE, largest_shift, symmetrized
from mlip_lammps.workflows.tasks import Tasks

LARGEST_FORCE = 0.01
"""Largest force on an atom of the crystal, eV/angstrom: above, it is not at a stationary point."""

MESH_LENGTH = 100.0
"""Density of the q-point mesh: phonopy uses about this length in angstrom over the cell vectors."""

TEMPERATURES = tuple(range(0, 1010, 10))
EV_IN_KJ_PER_MOL = mol / kJ
_N_BAND_POINTS = 51


@dataclass(frozen=True)
class Bands:
    """Frequencies along lines between special points.

    Attributes
    ----------
    labels
        Names of the first and last point of each line, for instance ``Γ`` and ``X_1``.
    q_points
        Points of each line in reciprocal vectors of the primitive cell, shape (n_q, 3) each.
    distances
        Position of each point along the whole path, 1/angstrom, shape (n_q,) each.
    freq_thz
        Frequencies in THz, shape (n_q, n_modes) each; imaginary ones are negative.
    """

    labels: tuple[tuple[str, str], ...]
    q_points: tuple[NDArray[np.float64], ...] = field(repr=False)
    distances: tuple[NDArray[np.float64], ...]
    freq_thz: tuple[NDArray[np.float64], ...]

    @property
    def lowest_thz(self) -> float:
        """Lowest frequency on the path."""
        return float(min(line.min() for line in self.freq_thz))

    @property
    def highest_thz(self) -> float:
        """Highest frequency on the path."""
        return float(max(line.max() for line in self.freq_thz))


@dataclass(frozen=True)
class ThermalProperties:
    """Harmonic thermal properties of the primitive cell at constant volume.

    Attributes
    ----------
    temperatures
        Temperatures in K, shape (n,).
    free_energy_kj_per_mol
        Vibrational Helmholtz energy, shape (n,).
    entropy_j_per_k_mol, heat_capacity_j_per_k_mol
        Entropy and heat capacity, shape (n,).
    zero_point_energy
        Zero-point energy in eV.
    """

    temperatures: NDArray[np.float64]
    free_energy_kj_per_mol: NDArray[np.float64]
    entropy_j_per_k_mol: NDArray[np.float64]
    heat_capacity_j_per_k_mol: NDArray[np.float64]
    zero_point_energy: float


@dataclass(frozen=True)
class Phonons:
    """Phonons of a crystal.

    Attributes
    ----------
    space_group
        International symbol and number.
    largest_shift
        Largest distance by which symmetrisation moved an atom, angstrom.
    primitive
        The primitive cell.
    supercell
        Repeats of the given cell.
    n_displacements
        Number of evaluated supercells.
    residuals
        Numerical errors of the force constants.
    bands
        Frequencies along the path of seekpath.
    dos_thz, dos
        Frequencies in THz and density of states in 1/THz for the primitive cell, shape (n,).
    element_dos
        Part of the density of states of each element, shape (n,) each, whose sum is ``dos``; None if not requested.
    thermal
        Harmonic thermal properties. Imaginary modes are left out.
    imaginary
        Imaginary modes at points that the supercell contains exactly; one of each symmetric set.
    phonopy
        Phonopy with the force constants, for anything else.
    """

    space_group: str
    largest_shift: float
    primitive: Atoms
    supercell: tuple[int, int, int]
    n_displacements: int
    residuals: Residuals
    bands: Bands
    dos_thz: NDArray[np.float64]
    dos: NDArray[np.float64]
    element_dos: dict[str, NDArray[np.float64]] | None
    thermal: ThermalProperties
    imaginary: tuple[ImaginaryMode, ...]
    phonopy: Phonopy = field(repr=False, compare=False)

    @property
    def is_stable(self) -> bool:
        """Whether no frequency is imaginary, neither at exact points nor on the path."""
        return not self.imaginary and self.bands.lowest_thz > -IMAGINARY_THZ

    def frequencies_at(self, q_points: ArrayLike) -> NDArray[np.float64]:
        """Return frequencies in THz at points in reciprocal vectors of the primitive cell, shape (n_q, n_modes).

        Raises
        ------
        UserInputError
            If there are no points or they have not three coordinates each.
        """
        self.phonopy.run_qpoints(require_q_points(q_points))
        return np.array(self.phonopy.qpoints.frequencies)

    def write(self, folder: Path) -> None:
        """Write the files of phonopy: ``phonopy_params.yaml``, which ``phonopy-load`` reads, bands, DOS and thermal."""
        folder.mkdir(parents=True, exist_ok=True)
        self.phonopy.save(folder / "phonopy_params.yaml", settings={"force_constants": True})
        self.phonopy.band_structure.write_yaml(filename=folder / "band.yaml")
        self.phonopy.total_dos.write(filename=folder / "total_dos.dat")
        self.phonopy.thermal_properties.write_yaml(filename=folder / "thermal_properties.yaml")
        if self.element_dos is not None:
            self.phonopy.projected_dos.write(filename=folder / "projected_dos.dat")


def phonons(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int] | None = None,
    *,
    displacement: float = DISPLACEMENT,
    temperatures: Sequence[float] = TEMPERATURES,
    mesh_length: float = MESH_LENGTH,
    projects_dos: bool = False,
    born_file: Path | None = None,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    tasks: Tasks | None = None,
) -> Phonons:
    """Return the phonons of a relaxed crystal.

    The crystal is first moved to its exact symmetric positions, see ``symmetrized``.

    Parameters
    ----------
    atoms
        A relaxed periodic crystal.
    calculator
        ASE calculator.
    supercell
        Repeats along each cell vector. If None, the smallest ones whose faces are twice the cutoff apart.
    displacement
        Displacement of atoms in angstrom.
    temperatures
        Temperatures of the thermal properties in K.
    mesh_length
        Density of the q-point mesh, see `MESH_LENGTH`.
    projects_dos
        Whether to compute the density of states of each element.
    born_file
        File in the BORN format of phonopy, with the dielectric tensor and Born charges, for the non-analytic
        correction. The force constants do not contain it.
    symmetry_tolerance
        Largest deviation of atoms and cell vectors from their symmetric positions, angstrom.
    tasks
        Where the forces are computed.

    Raises
    ------
    UserInputError
        If the structure is not a relaxed crystal or has a constraint, the supercell is narrower than twice the
        cutoff, the space group depends on the tolerance, or the BORN file does not fit.
    """
    require_settings(displacement=displacement, mesh_length=mesh_length)
    require_ascending(temperatures)
    symmetric, group, supercell = prepare_crystal(atoms, calculator, supercell, symmetry_tolerance)
    crystal = build_phonopy(symmetric, supercell)
    if born_file is not None:
        crystal.nac_params = read_born(born_file, crystal)
    (residuals,) = find_force_constants([crystal], calculator, displacement, tasks)
    bands = run_bands(crystal)
    thermal = run_thermal(crystal, temperatures, mesh_length)
    if projects_dos:  # needs the modes of all points, not only of those that differ by symmetry
        crystal.run_mesh(mesh_length, with_eigenvectors=True, is_mesh_symmetry=False)
    crystal.run_total_dos()
    return Phonons(
        space_group=group,
        largest_shift=largest_shift(atoms, symmetric),
        primitive=to_ase(crystal.primitive),
        supercell=supercell,
        n_displacements=len(crystal.supercells_with_displacements),
        residuals=residuals,
        bands=bands,
        dos_thz=np.array(crystal.total_dos.frequency_points),
        dos=np.array(crystal.total_dos.dos),
        element_dos=_run_element_dos(crystal) if projects_dos else None,
        thermal=thermal,
        imaginary=find_imaginary(crystal),
        phonopy=crystal,
    )


def prepare_crystal(
    atoms: Atoms, calculator: Calculator, supercell: Sequence[int] | None, tolerance: float
) -> tuple[Atoms, str, tuple[int, int, int]]:
    """Return the symmetrised crystal, its space group and the supercell, after the checks of `phonons`."""
    if supercell is not None:
        require_numbers("supercell", supercell, COUNT, n=3)
    require_crystal(atoms, "phonons need")
    require_unconstrained(atoms, "phonons need")
    require_known_elements(atoms, calculator)
    symmetric, group = symmetrized(atoms, tolerance)
    if supercell is None:
        supercell = supercell_for(symmetric, 2.0 * (cutoff_of(calculator) or DEFAULT_REACH))
    require_wide_supercell(symmetric, supercell, calculator)
    require_relaxed(symmetric, calculator, LARGEST_FORCE, "phonons need")
    return symmetric, group, tuple(supercell)


def _run_element_dos(crystal: Phonopy) -> dict[str, NDArray[np.float64]]:
    """Return the density of states of each element from a mesh with all points and eigenvectors."""
    crystal.run_projected_dos()
    by_atom, symbols = crystal.projected_dos.projected_dos, np.array(crystal.primitive.symbols)
    return {str(symbol): by_atom[symbols == symbol].sum(axis=0) for symbol in np.unique(symbols)}


def require_ascending(temperatures: Sequence[float], least: int = 1) -> None:
    """Raise ``UserInputError`` unless these are ascending temperatures in K."""
    require_numbers("temperatures", temperatures, TEMPERATURE, least=least)
    if (np.diff(temperatures) <= 0).any():
        raise UserInputError(f"temperatures is {temperatures!r}; give them in ascending order")


def require_q_points(q_points: ArrayLike) -> NDArray[np.float64]:
    """Return points as an array of shape (n_q, 3), or raise ``UserInputError``."""
    expected = "expected one or more points of three coordinates each, for example [[0, 0, 0], [0.5, 0, 0.5]]"
    try:
        points = np.asarray(q_points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserInputError(f"the q-points {q_points!r} are not an array of numbers; {expected}") from error
    if points.size == 0 or points.ndim > 2 or points.shape[-1] != 3 or not np.isfinite(points).all():
        raise UserInputError(f"the q-points have the shape {points.shape}; {expected}")
    return np.atleast_2d(points)


def read_born(file: Path, crystal: Phonopy) -> object:
    """Return the parameters of the non-analytic correction from a file in the BORN format of phonopy.

    Raises
    ------
    UserInputError
        If the file is missing or does not fit the primitive cell.
    """
    if not file.is_file():
        raise UserInputError(f"{file} does not exist; give a file in the BORN format of phonopy")
    try:
        return parse_BORN(crystal.primitive, filename=file)
    except Exception as error:  # phonopy raises many kinds
        raise UserInputError(
            f"{file} does not fit the primitive cell of {len(crystal.primitive)} atoms ({error}); expected a line with "
            "the unit factor, one with the dielectric tensor, and one with the Born charge of each independent atom"
        ) from error


def run_bands(crystal: Phonopy) -> Bands:
    """Return the bands along the path of seekpath; phonopy keeps them too."""
    paths, labels, connections = get_band_qpoints_by_seekpath(crystal.primitive, _N_BAND_POINTS)
    crystal.run_band_structure(paths, path_connections=connections, labels=labels)
    found = crystal.band_structure
    # phonopy lists a label once if a line continues with the next
    names, rest = [], list(map(read_label, labels))
    for connected in connections:
        names.append((rest[0], rest[1]))
        rest = rest[1:] if connected else rest[2:]
    return Bands(
        labels=tuple(names),
        q_points=tuple(map(np.array, found.qpoints)),
        distances=tuple(map(np.array, found.distances)),
        freq_thz=tuple(map(np.array, found.frequencies)),
    )


def read_label(label: str) -> str:
    """Return a label of phonopy without mathematical markup, for instance ``Γ`` or ``X_1``."""
    return re.sub(r"\$|\\mathrm|[{}]", "", label.replace("\\Gamma", "Γ"))


def run_thermal(crystal: Phonopy, temperatures: Sequence[float], mesh_length: float) -> ThermalProperties:
    """Return thermal properties from a mesh of q-points; imaginary modes are left out."""
    crystal.run_mesh(mesh_length)
    crystal.run_thermal_properties(
        temperatures=np.array(temperatures, dtype=float), cutoff_frequency=0.0, exclude_gamma_acoustic=True
    )
    found = crystal.thermal_properties
    return ThermalProperties(
        temperatures=np.array(found.temperatures),
        free_energy_kj_per_mol=np.array(found.free_energy),
        entropy_j_per_k_mol=np.array(found.entropy),
        heat_capacity_j_per_k_mol=np.array(found.heat_capacity),
        zero_point_energy=float(found.zero_point_energy) / EV_IN_KJ_PER_MOL,
    )
