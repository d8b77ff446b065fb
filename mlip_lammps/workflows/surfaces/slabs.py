"""Slabs of a crystal with all their terminations, and surface energies from slabs of growing thickness."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import surface
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from ase.units import J, m
from ase.utils.structure_comparator import SymmetryEquivalenceCheck
from numpy.typing import NDArray

from mlip_lammps.core.arguments import COUNT, require_numbers
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.checks import (
    DEFAULT_REACH,
    cutoff_of,
    require_crystal,
    require_known_elements,
    require_unconstrained,
    vacuum_gaps,
)
from mlip_lammps.workflows.relaxation import MAX_STEPS, Optimizer, Relaxation, relax_each, require_search
from mlip_lammps.workflows.settings import MILLER_INDEX, require_settings
from mlip_lammps.workflows.symmetry import standard_cell
from mlip_lammps.workflows.tasks import Tasks

VACUUM = 15.0
"""Default distance of periodic images of a slab, angstrom."""

FORCE_TOLERANCE = 5e-3
N_THICKNESSES = 4

_SAME_PLANE = 0.1
"""Atoms whose heights differ by less than this are in one plane, angstrom."""


@dataclass(frozen=True)
class SurfaceEnergy:
    """Surface energy of a termination.

    A slab of a compound may have different surfaces at top and bottom; the energy is then the mean of both. With fixed
    layers, only the top is relaxed; the energy is that of a slab whose two sides gain as much as the top.

    Attributes
    ----------
    miller
        Miller indices of the conventional cell.
    termination
        Number of the termination, from 1.
    top, bottom
        Formulas of the outermost planes.
    layers
        Thickness of each slab in repeat units, shape (n,).
    n_atoms
        Number of atoms of each slab, shape (n,).
    energies
        Energy of each relaxed slab in eV, shape (n,).
    energies_before
        Energy of each slab before the relaxation in eV, shape (n,).
    area
        Area of one side in angstrom^2.
    with_bulk_j_per_m2
        Surface energy from each slab and the energy of the bulk crystal in J/m^2, shape (n,).
    surface_energy_j_per_m2
        From a straight line through the energies of all slabs, in J/m^2. It needs no energy of the bulk crystal, so
        errors of that do not grow with the thickness.
    error_j_per_m2
        Standard deviation of the line; None for two thicknesses, which every line fits.
    bulk_difference_per_atom
        Slope of the line less the energy of the bulk crystal, eV per atom; near 0 if the slabs are thick enough.
    slabs
        The relaxed slabs.
    """

    miller: tuple[int, int, int]
    termination: int
    top: str
    bottom: str
    layers: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    energies: NDArray[np.float64]
    energies_before: NDArray[np.float64]
    area: float
    with_bulk_j_per_m2: NDArray[np.float64]
    surface_energy_j_per_m2: float
    error_j_per_m2: float | None
    bulk_difference_per_atom: float
    slabs: tuple[Atoms, ...] = field(repr=False)

    @property
    def change_j_per_m2(self) -> float:
        """Change of ``with_bulk_j_per_m2`` from the second thickest slab to the thickest one."""
        return float(self.with_bulk_j_per_m2[-1] - self.with_bulk_j_per_m2[-2])


def cut_slabs(
    crystal: Atoms,
    miller: Sequence[int],
    layers: int,
    *,
    vacuum: float = VACUUM,
    supercell: Sequence[int] = (1, 1),
    fixed_layers: int = 0,
) -> tuple[Atoms, ...]:
    """Return a slab for each termination of a crystal.

    Parameters
    ----------
    crystal
        A relaxed periodic crystal; the slab has its primitive cell.
    miller
        Miller indices of the conventional cell.
    layers
        Thickness in repeat units: one primitive cell each, which may contain several planes of atoms.
    vacuum
        Distance from the top of the slab to the bottom of its periodic image, angstrom.
    supercell
        Repeats in the plane.
    fixed_layers
        Number of repeat units at the bottom whose atoms are fixed.

    Returns
    -------
    tuple of Atoms
        Slabs that are periodic in three directions, with the surface normal along z. All have the same composition.

    Raises
    ------
    UserInputError
        If an index or number is invalid.
    """
    require_settings(n_layers=layers, vacuum=vacuum, fixed_layers=fixed_layers)
    require_numbers("supercell", supercell, COUNT, n=2)
    if fixed_layers >= layers:
        raise UserInputError(f"{layers} layers with {fixed_layers} fixed ones are invalid; give more layers than fixed")
    primitive, primitive_indices = _primitive(crystal, miller)
    slabs: list[Atoms] = []
    comparison = SymmetryEquivalenceCheck(to_primitive=False)
    for height in _plane_heights(primitive, primitive_indices):
        slab = _stacked(primitive, primitive_indices, height, layers, vacuum)
        if any(comparison.compare(slab.copy(), other.copy()) for other in slabs):  # it changes both
            continue
        slabs.append(slab)
    found = []
    for slab in slabs:
        fixed = slab.get_tags() > layers - fixed_layers
        slab.set_constraint(FixAtoms(mask=fixed) if fixed.any() else None)
        found.append(slab * (*supercell, 1))
    return tuple(found)


def require_slab(slab: Atoms, calculator: Calculator, name: str = "the slab") -> None:
    """Raise ``UserInputError`` if a slab is thinner than the cutoff, or its vacuum narrower than twice the cutoff."""
    if not slab.cell.any(axis=1).all():
        raise UserInputError(f"{name} has a cell vector of zeros; give a cell with vacuum: center(vacuum=10, axis=2)")
    cutoff = cutoff_of(calculator)
    if cutoff is None:
        return
    thickness = float(np.ptp(slab.positions[:, 2]))
    if thickness < cutoff:
        raise UserInputError(
            f"{name} is {thickness:.2f} angstrom thick, expected at least the cutoff of the model, {cutoff:g}; "
            "give more layers"
        )
    gap = float(vacuum_gaps(slab)[2])
    if slab.pbc[2] and gap < 2 * cutoff - 1e-6:
        raise UserInputError(
            f"the vacuum is {gap:.2f} angstrom, expected at least {2 * cutoff:g}, twice the cutoff of the model; give "
            "more vacuum"
        )


def surface_energies(
    crystal: Atoms,
    calculator: Calculator,
    miller: Sequence[int],
    *,
    layers: Sequence[int] | None = None,
    vacuum: float = VACUUM,
    supercell: Sequence[int] = (1, 1),
    fixed_layers: int = 0,
    force_tolerance: float = FORCE_TOLERANCE,
    optimizer: Optimizer = "lbfgs",
    max_steps: int = MAX_STEPS,
    tasks: Tasks | None = None,
) -> tuple[SurfaceEnergy, ...]:
    """Return the surface energy of each termination, lowest first.

    Parameters
    ----------
    crystal
        A crystal with relaxed cell and atoms.
    calculator
        ASE calculator.
    miller, vacuum, supercell, fixed_layers
        See `cut_slabs`.
    layers
        Two or more thicknesses in repeat units. If None, `N_THICKNESSES` of them from about twice the cutoff.
    force_tolerance, optimizer, max_steps
        See ``relax``.
    tasks
        Where the slabs are relaxed.

    Raises
    ------
    UserInputError
        If a setting is invalid, there are too few thicknesses, a slab is thinner than the cutoff, or the vacuum is too
        narrow.
    MlipError
        If a slab does not relax.
    """
    require_search(optimizer, force_tolerance, max_steps)
    require_known_elements(crystal, calculator)
    if layers is None:
        layers = default_layers(crystal, calculator, miller)
    require_numbers("layers", layers, COUNT)
    layers = tuple(sorted(set(layers)))
    if len(layers) < 2:
        raise UserInputError(f"{len(layers)} thickness is too few for a line; give two or more different ones")
    columns = [
        cut_slabs(crystal, miller, n, vacuum=vacuum, supercell=supercell, fixed_layers=fixed_layers) for n in layers
    ]
    n_terminations = min(map(len, columns))
    for slab in columns[0]:
        require_slab(slab, calculator, f"the ({' '.join(map(str, miller))}) slab of {layers[0]} layers")
    slabs = {f"slab-{k + 1}-{n}": c[k] for k in range(n_terminations) for n, c in zip(layers, columns, strict=True)}
    options = {"force_tolerance": force_tolerance, "optimizer": optimizer, "max_steps": max_steps}
    relaxed = list(relax_each(slabs, calculator, stage="slabs", tasks=tasks, **options).values())
    at_rest = crystal.copy()
    at_rest.calc = calculator
    bulk_energy = at_rest.get_potential_energy() / len(crystal)
    found = []
    for k in range(n_terminations):
        results = relaxed[k * len(layers) : (k + 1) * len(layers)]
        top, bottom = _outer_planes(columns[0][k])
        found.append(
            _surface_energy(
                results,
                bulk_energy,
                is_fixed=fixed_layers > 0,
                miller=tuple(int(index) for index in miller),
                termination=k + 1,
                top=top,
                bottom=bottom,
                layers=np.array(layers),
            )
        )
    return tuple(sorted(found, key=lambda one: one.surface_energy_j_per_m2))


def _surface_energy(
    results: Sequence[Relaxation], bulk_energy: float, is_fixed: bool, **names: Any
) -> SurfaceEnergy:
    """Return the surface energy of one termination from slabs of growing thickness.

    Notes
    -----
    With a fixed bottom, the slab has a relaxed and an unrelaxed surface: the energy less that of the bulk is the sum of
    both. Before the relaxation it is twice the unrelaxed one, so that twice the first less the second has two relaxed
    surfaces.
    """
    slabs = tuple(result.atoms for result in results)
    n_atoms = np.array([len(slab) for slab in slabs])
    energies, before = (np.array([getattr(r, name) for r in results]) for name in ("energy", "energy_before"))
    two_sided = 2 * energies - before if is_fixed else energies
    area = float(np.linalg.norm(np.cross(*slabs[0].cell[:2])))
    unit = 2 * area * J / m**2
    (slope, intercept), error = _line(n_atoms, two_sided)
    return SurfaceEnergy(
        **names,
        n_atoms=n_atoms,
        energies=energies,
        energies_before=before,
        area=area,
        with_bulk_j_per_m2=(two_sided - n_atoms * bulk_energy) / unit,
        surface_energy_j_per_m2=float(intercept / unit),
        error_j_per_m2=None if error is None else float(error / unit),
        bulk_difference_per_atom=float(slope - bulk_energy),
        slabs=slabs,
    )


def default_layers(crystal: Atoms, calculator: Calculator, miller: Sequence[int]) -> tuple[int, ...]:
    """Return thicknesses in repeat units, from about twice the cutoff."""
    _, period = _normal(*_primitive(crystal, miller))
    least = int(np.ceil(2 * (cutoff_of(calculator) or DEFAULT_REACH) / period)) + 1
    step = max(1, least // 4)
    return tuple(least + step * k for k in range(N_THICKNESSES))


def _primitive(crystal: Atoms, miller: Sequence[int]) -> tuple[Atoms, tuple[int, ...]]:
    """Return the primitive cell, and the Miller indices of the conventional cell in its vectors."""
    require_numbers("miller", miller, MILLER_INDEX, n=3)
    if not any(miller):
        raise UserInputError("the Miller indices are 0 0 0; give three that are not all 0")
    require_crystal(crystal, "slabs need")
    require_unconstrained(crystal, "slabs need")
    primitive, conventional = (standard_cell(crystal, is_primitive=flag) for flag in (True, False))
    if primitive is None or conventional is None:
        raise UserInputError("the crystal has no space group; relax it first")
    indices = primitive.cell[:] @ np.linalg.inv(conventional.cell[:]) @ np.array(miller)
    # a centred cell gives halves, a rhombohedral one thirds
    whole = np.rint(6 * indices).astype(int)
    divisor = gcd(*map(int, whole))
    return primitive, tuple(int(k) // divisor for k in whole)


def _normal(primitive: Atoms, miller: Sequence[int]) -> tuple[NDArray[np.float64], float]:
    """Return the unit normal of the lattice planes and their distance in angstrom."""
    reciprocal = np.linalg.inv(primitive.cell[:]) @ np.array(miller)
    length = float(np.linalg.norm(reciprocal))
    return reciprocal / length, 1.0 / length


def _plane_heights(primitive: Atoms, miller: Sequence[int]) -> list[float]:
    """Return the heights of the planes of atoms in a repeat unit, ascending."""
    normal, period = _normal(primitive, miller)
    heights = np.sort((primitive.positions @ normal) % period)
    kept = [float(heights[0])]
    for height in heights[1:]:
        if height - kept[-1] > _SAME_PLANE:
            kept.append(float(height))
    if len(kept) > 1 and kept[0] + period - heights[-1] < _SAME_PLANE:
        kept.pop(0)
    return kept


def _stacked(primitive: Atoms, miller: Sequence[int], lowest: float, layers: int, vacuum: float) -> Atoms:
    """Return a slab whose lowest plane is that at a height of the crystal; tags count repeat units from the top."""
    normal, _ = _normal(primitive, miller)
    shifted = primitive.copy()
    shifted.positions -= (lowest - _SAME_PLANE / 2) * normal
    slab = surface(shifted, miller, layers, periodic=True)
    slab.set_tags(layers - np.arange(len(slab)) // len(primitive))
    height = float(np.ptp(slab.positions[:, 2])) + vacuum
    slab.set_cell([*slab.cell[:2], [0.0, 0.0, height]])
    slab.positions[:, 2] += vacuum / 2 - slab.positions[:, 2].min()
    return slab


def _outer_planes(slab: Atoms) -> tuple[str, str]:
    """Return the formulas of the top and the bottom plane."""
    z, names = slab.positions[:, 2], []
    for mask in (z > z.max() - _SAME_PLANE, z < z.min() + _SAME_PLANE):
        names.append(slab[mask].get_chemical_formula(empirical=True))
    return names[0], names[1]


def _line(x: NDArray[np.int64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], float | None]:
    """Return slope and intercept of a line, and the standard deviation of the intercept; None for two points."""
    design = np.vander(x.astype(float), 2)
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    if len(x) == 2:
        return coefficients, None
    variance = float(((y - design @ coefficients) ** 2).sum()) / (len(x) - 2)
    return coefficients, float((variance * np.linalg.inv(design.T @ design)[1, 1]) ** 0.5)
