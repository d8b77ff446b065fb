"""Adsorption energies on the distinct sites of a slab."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.collections import g2
from ase.constraints import FixAtoms
from ase.data import chemical_symbols, covalent_radii
from ase.geometry import get_distances
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.checks import cutoff_of, require_apart, require_known_elements, whole
from mlip_lammps.workflows.relaxation import (
    MAX_STEPS,
    Optimizer,
    Relaxation,
    relax_all,
    relax_each,
    require_search,
)
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.surfaces.sites import Site, find_sites, site_of
from mlip_lammps.workflows.surfaces.slabs import require_slab
from mlip_lammps.workflows.tasks import Tasks

FORCE_TOLERANCE = 0.01

START_DISTANCE = 1.1
"""The adsorbate starts with its closest atom at this times the sum of the covalent radii."""

BOND = 1.3
"""Two atoms of the adsorbate are bonded up to this times the sum of their covalent radii."""

DESORBED = 1.6
"""An adsorbate is desorbed if no atom is closer to the slab than this times the sum of the covalent radii."""

SAME_ENERGY = 5e-3
"""Two results with energies within this (eV) and the same distances are duplicates."""

RATTLE = 0.05
"""Random displacement of the atoms of the adsorbate at the start, angstrom: a symmetric start may end on a saddle."""

_SAME_DISTANCE = 0.05

ORIENTATIONS = {"upright": (0.0, (1, 0, 0)), "inverted": (180.0, (1, 0, 0)), "flat": (90.0, (1, 0, 0)),
                "flat-turned": (90.0, (0, 1, 0))}  # fmt: skip


@dataclass(frozen=True)
class Adsorption:
    """A relaxed adsorbate.

    Attributes
    ----------
    site, orientation
        Where and how the relaxation started.
    adsorption_energy
        Energy less that of the clean slab and of the gas molecule, eV; negative if bound. None if it did not relax.
    final_site
        Site that is nearest to the lowest atom of the adsorbate.
    kind
        ``adsorbed``, ``desorbed``, ``dissociated``, ``duplicate`` or ``failed``.
    note
        Of a duplicate, the number of the result that it repeats; of a failure, the reason.
    height
        Height of the lowest atom of the adsorbate above the highest atom of the slab, angstrom.
    atoms
        The relaxed structure: the atoms of the slab, then those of the adsorbate.
    """

    site: str
    orientation: str
    adsorption_energy: float | None
    final_site: str
    kind: str
    note: str
    height: float | None
    atoms: Atoms | None = field(repr=False)


@dataclass(frozen=True)
class AdsorptionStudy:
    """All results for one adsorbate on one slab.

    Attributes
    ----------
    slab, gas
        The relaxed clean slab and the relaxed molecule.
    slab_energy, gas_energy
        Their energies in eV.
    sites
        The distinct sites.
    results
        Lowest energy first, failures last.
    """

    slab: Atoms
    gas: Atoms
    slab_energy: float
    gas_energy: float
    sites: tuple[Site, ...] = field(repr=False)
    results: tuple[Adsorption, ...]

    @property
    def best(self) -> Adsorption | None:
        """The adsorbed result of lowest energy; None if nothing is adsorbed intact."""
        return next((result for result in self.results if result.kind == "adsorbed"), None)


def read_adsorbate(name: str) -> Atoms:
    """Return an adsorbate: an element, or a molecule that ASE knows.

    Raises
    ------
    UserInputError
        If the name is neither.
    """
    if name in g2.names:
        return molecule(name)
    if name in chemical_symbols[1:]:
        return Atoms(name)
    raise UserInputError(f"{name} is neither an element nor a molecule of ase.build.molecule; give a structure file")


def adsorb(
    slab: Atoms,
    adsorbate: Atoms,
    calculator: Calculator,
    *,
    sites: Sequence[str] | None = None,
    orientations: Sequence[str] | None = None,
    gas_reference: Atoms | None = None,
    n_gas: float | None = None,
    force_tolerance: float = FORCE_TOLERANCE,
    optimizer: Optimizer = "lbfgs",
    max_steps: int = MAX_STEPS,
    tasks: Tasks | None = None,
) -> AdsorptionStudy:
    """Relax an adsorbate on all distinct sites and in several orientations.

    Parameters
    ----------
    slab
        Clean slab in the xy plane; its ``FixAtoms`` constraint applies, for instance that of ``cut_slabs``.
    adsorbate
        Molecule or atom. Its z axis is upright.
    calculator
        ASE calculator.
    sites
        Names of sites to use, for instance ``("top", "hollow")``, which includes all hollows; all if None.
    orientations
        Some of ``upright``, ``inverted``, ``flat`` and ``flat-turned``; all that differ if None.
    gas_reference, n_gas
        Molecule and number of molecules for the energy, for instance half an O2 for an O atom. The adsorbate itself,
        and as many molecules as have its atoms, if None.
    force_tolerance, optimizer, max_steps
        See ``relax``.
    tasks
        Where the structures are relaxed.

    Raises
    ------
    UserInputError
        If the slab is thinner than the cutoff, the vacuum narrower than twice the cutoff including the adsorbate, or a
        name, an element or a structure is invalid.
    MlipError
        If the clean slab or the molecule does not relax.
    """
    require_settings(n_gas=n_gas)
    require_search(optimizer, force_tolerance, max_steps)
    require_known_elements(slab, calculator, "the slab")
    require_known_elements(adsorbate, calculator, "the adsorbate")
    require_apart(adsorbate, "the adsorbate")
    slab, adsorbate = whole(slab, axes=[2]), whole(adsorbate)
    require_slab(slab, calculator)
    turned = _turned(adsorbate, orientations)
    found_sites = find_sites(slab)
    chosen = _chosen(found_sites, sites)
    options = {"force_tolerance": force_tolerance, "optimizer": optimizer, "max_steps": max_steps, "tasks": tasks}
    gas = adsorbate.copy() if gas_reference is None else whole(gas_reference)
    gas.pbc, gas.cell = False, None
    n_gas = _balanced(adsorbate, gas, n_gas)
    references = {"the slab": slab, "the gas": gas}
    clean, molecule_ = relax_each(references, calculator, stage="references", **options).values()
    starts = {
        (site.name, name): _placed(clean.atoms, turned[name], site) for site in chosen for name in turned
    }
    _require_room(starts, slab, calculator)
    named = {"-".join(start): atoms for start, atoms in starts.items()}
    relaxed = relax_all(named, calculator, stage="adsorbates", **options).values()
    reference = clean.energy + n_gas * molecule_.energy
    results = [
        _judged(*start, result, clean.atoms, reference, found_sites)
        for start, result in zip(starts, relaxed, strict=True)
    ]
    results.sort(key=lambda one: (one.adsorption_energy is None, one.adsorption_energy or 0.0))
    return AdsorptionStudy(
        slab=clean.atoms,
        gas=molecule_.atoms,
        slab_energy=clean.energy,
        gas_energy=molecule_.energy,
        sites=found_sites,
        results=tuple(_with_duplicates(results, len(slab))),
    )


def _balanced(adsorbate: Atoms, gas: Atoms, n_gas: float | None) -> float:
    """Return the number of gas molecules that have the atoms of the adsorbate."""
    wanted, one = Counter(adsorbate.get_chemical_symbols()), Counter(gas.get_chemical_symbols())
    symbol = next(iter(one))
    expected = wanted[symbol] / one[symbol]
    is_possible = all(abs(expected * one[key] - wanted[key]) < 1e-9 for key in {*wanted, *one})
    if not is_possible or (n_gas is not None and abs(n_gas - expected) > 1e-9):
        number = "no number of" if not is_possible else f"{n_gas:g}"
        has = "has" if not is_possible else "does not have"
        hint = "give another gas molecule" if not is_possible else f"expected {expected:g}"
        formula = adsorbate.get_chemical_formula()
        raise UserInputError(f"{number} {gas.get_chemical_formula()} {has} the atoms of {formula}; {hint}")
    return expected


def _turned(adsorbate: Atoms, orientations: Sequence[str] | None) -> dict[str, Atoms]:
    """Return the adsorbate in each orientation that differs from the ones before."""
    names = list(ORIENTATIONS) if orientations is None else list(orientations)
    if unknown := [name for name in names if name not in ORIENTATIONS]:
        raise UserInputError(f"{unknown[0]} is not an orientation; give some of {', '.join(ORIENTATIONS)}")
    found: dict[str, Atoms] = {}
    for name in names:
        turned = adsorbate.copy()
        turned.set_constraint()
        turned.pbc, turned.cell = False, None
        turned.rotate(*ORIENTATIONS[name], center="COP")
        turned.positions -= turned.positions.mean(axis=0)
        if not any(_is_same(turned, other) for other in found.values()):
            found[name] = turned
    return found


def _is_same(one: Atoms, other: Atoms) -> bool:
    """Return whether two orientations are equal up to the order of equal atoms."""
    distances = np.linalg.norm(one.positions[:, None] - other.positions[None], axis=2)
    distances[one.numbers[:, None] != other.numbers[None]] = np.inf
    return bool(distances.min(axis=1).max() < 0.1)


def _chosen(found: tuple[Site, ...], names: Sequence[str] | None) -> list[Site]:
    if names is None:
        return list(found)
    chosen = [site for site in found if any(site.is_called(name) for name in names)]
    for name in names:
        if not any(site.is_called(name) for site in found):
            raise UserInputError(
                f"{name} is not a site of this slab; give some of {', '.join(site.name for site in found)}"
            )
    return chosen


def _placed(slab: Atoms, adsorbate: Atoms, site: Site) -> Atoms:
    """Return the slab with the adsorbate over a site, as low as the covalent radii allow."""
    moved = adsorbate.copy()
    lowest = moved.positions[moved.positions[:, 2] < moved.positions[:, 2].min() + 0.3]
    moved.positions += site.position - np.append(lowest[:, :2].mean(axis=0), lowest[:, 2].min())
    limits = START_DISTANCE * (covalent_radii[moved.numbers][:, None] + covalent_radii[slab.numbers][None])
    vectors, _ = get_distances(moved.positions, slab.positions, cell=slab.cell, pbc=(True, True, False))
    flat = np.linalg.norm(vectors[:, :, :2], axis=2)
    is_near = flat < limits
    # the height at which a pair of atoms has exactly its limiting distance
    rises = np.where(is_near, np.sqrt(np.maximum(limits**2 - flat**2, 0.0)) + vectors[:, :, 2], -np.inf)
    moved.positions[:, 2] += rises.max() if is_near.any() else 0.0
    moved.rattle(RATTLE, seed=0)
    whole = slab.copy()
    whole += moved
    whole.set_constraint(slab.constraints)
    return whole


def _require_room(starts: dict, slab: Atoms, calculator: Calculator) -> None:
    cutoff = cutoff_of(calculator)
    if cutoff is None or not slab.pbc[2]:
        return
    tallest = max(float(np.ptp(atoms.positions[:, 2])) for atoms in starts.values())
    if (gap := abs(slab.cell[2, 2]) - tallest) < cutoff:
        raise UserInputError(
            f"the vacuum above the adsorbate is {gap:.2f} angstrom, expected at least the cutoff of the model, "
            f"{cutoff:g}; give a slab with more vacuum"
        )


def _judged(
    site: str, orientation: str, result: Relaxation | MlipError, slab: Atoms, reference: float, sites: tuple[Site, ...]
) -> Adsorption:
    """Return the result with its kind, before duplicates are known."""
    if isinstance(result, MlipError):
        return Adsorption(site, orientation, None, "", "failed", str(result), None, None)
    atoms, n_slab = result.atoms, len(slab)
    molecule_ = atoms[n_slab:]
    lowest = molecule_.positions[molecule_.positions[:, 2].argmin()]
    height = float(lowest[2] - atoms.positions[:n_slab, 2].max())
    kind = "adsorbed"
    if _contacts(atoms, range(n_slab, len(atoms)), range(n_slab)).min() > DESORBED:
        kind = "desorbed"
    elif _n_parts(atoms, n_slab) > 1:
        kind = "dissociated"
    final = site_of(lowest, slab, sites) if kind != "desorbed" else ""
    return Adsorption(site, orientation, result.energy - reference, final, kind, "", height, atoms)


def _contacts(atoms: Atoms, some: Sequence[int], others: Sequence[int]) -> NDArray[np.float64]:
    """Return distances in units of the sums of the covalent radii, shape (n_some, n_others)."""
    some, others = list(some), list(others)
    _, distances = get_distances(atoms.positions[some], atoms.positions[others], cell=atoms.cell, pbc=atoms.pbc)
    radii = covalent_radii[atoms.numbers]
    return distances / (radii[some][:, None] + radii[others][None])


def _n_parts(atoms: Atoms, n_slab: int) -> int:
    """Return the number of fragments of the adsorbate."""
    own = range(n_slab, len(atoms))
    return int(connected_components(_contacts(atoms, own, own) < BOND)[0])


def _with_duplicates(results: list[Adsorption], n_slab: int) -> list[Adsorption]:
    """Name results that repeat an earlier one."""
    found: list[Adsorption] = []
    for result in results:
        number = next(
            (k for k, other in enumerate(found) if other.kind == result.kind and _is_duplicate(result, other, n_slab)),
            None,
        )
        if number is not None:
            result = Adsorption(**{**vars(result), "kind": "duplicate", "note": f"of {number + 1}"})
        found.append(result)
    return found


def _is_duplicate(one: Adsorption, other: Adsorption, n_slab: int) -> bool:
    if one.atoms is None or other.atoms is None or one.kind == "duplicate":
        return False
    if abs(one.adsorption_energy - other.adsorption_energy) > SAME_ENERGY:
        return False
    if one.kind == "desorbed":  # where a free molecule floats does not matter
        return True
    prints = [_distances(result.atoms, n_slab) for result in (one, other)]
    return bool(np.abs(prints[0] - prints[1]).max() < _SAME_DISTANCE)


def _distances(atoms: Atoms, n_slab: int) -> NDArray[np.float64]:
    """Return the nearest distances of each element of the adsorbate to slab and adsorbate, sorted."""
    found = []
    own = np.arange(n_slab, len(atoms))
    for number in np.unique(atoms.numbers[own]):
        chosen = own[atoms.numbers[own] == number]
        for others in (np.arange(n_slab), own):
            places = atoms.positions[chosen], atoms.positions[others]
            _, distances = get_distances(*places, cell=atoms.cell, pbc=atoms.pbc)
            rows = np.sort(distances, axis=1)[:, :6]
            found.append(rows[np.lexsort(rows.T[::-1])].ravel())
    return np.concatenate(found)


def fixed_bottom(slab: Atoms, fraction: float = 0.5) -> Atoms:
    """Return a copy whose atoms in the lower part of the thickness are fixed, unless some are fixed already."""
    copy = slab.copy()
    if not copy.constraints:
        z = copy.positions[:, 2]
        copy.set_constraint(FixAtoms(mask=z < z.min() + fraction * np.ptp(z) - 1e-3))
    return copy
