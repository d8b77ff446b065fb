"""Structures of the LAMMPS tests, their data files and their expected results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic, smaller_than_cutoff, water_box


def parity_structures(elements: Sequence[str]) -> dict[str, Atoms]:
    """Return structures of ``elements`` for which all engines must agree."""
    corner = isolated_molecule(elements)
    corner.positions -= 0.3 * corner.cell[:].sum(axis=0)
    slab = rattled_triclinic(elements, repeat=(3, 3, 2), seed=4)
    slab.center(vacuum=15.0, axis=2)
    open_slab = slab.copy()
    open_slab.pbc = (True, True, False)
    turn, _ = np.linalg.qr(np.random.default_rng(9).normal(size=(3, 3)))
    turned = rattled_triclinic(elements, seed=5)
    turned.set_cell(turned.cell[:] @ turn, scale_atoms=True)
    return {
        "water": _made_of(elements, water_box()),
        "triclinic": rattled_triclinic(elements, repeat=(3, 3, 4), seed=2),
        "turned": turned,
        "two_atoms": smaller_than_cutoff(elements, seed=3),
        "molecule": isolated_molecule(elements),
        "molecule_in_a_corner": corner,
        "slab": slab,
        "open_slab": open_slab,
        "one_atom": Atoms([elements[-1]], cell=20.0 * np.eye(3), pbc=True),
    }


HAS_IDLE_RANKS = ("molecule_in_a_corner", "one_atom")
"""Structures for which some of four ranks, and of two ranks, own no atoms."""


def _made_of(elements: Sequence[str], atoms: Atoms) -> Atoms:
    symbols = sorted(set(atoms.get_chemical_symbols()))
    changed = atoms.copy()
    changed.set_chemical_symbols(
        [elements[symbols.index(symbol) % len(elements)] for symbol in atoms.get_chemical_symbols()]
    )
    return changed


@dataclass(frozen=True)
class Expected:
    """Results of the ASE calculator in LAMMPS's orientation."""

    energy: float
    forces: NDArray[np.float64]
    node_energies: NDArray[np.float64]
    virial: NDArray[np.float64]


def expected_results(model: Path, atoms: Atoms) -> Expected:
    """Evaluate ``atoms`` (periodic) with the ASE calculator.

    Returns
    -------
    Expected
        Energies in eV, forces in eV/angstrom, virial in eV in ASE's Voigt order, positive in compression as in LAMMPS.
    """
    # imports torch, which the ranks of a driver do not need
    from mlip_lammps.engines.ase.calculator import MlipCalculator

    atoms = atoms.copy()
    atoms.calc = MlipCalculator(model, n_threads=1)
    prism = Prism(atoms.cell[:], pbc=atoms.pbc)
    turn = prism.vector_to_lammps(np.eye(3))
    rotated = turn.T @ (-atoms.get_volume() * atoms.get_stress(voigt=False)) @ turn
    return Expected(
        energy=atoms.get_potential_energy(),
        forces=prism.vector_to_lammps(atoms.get_forces()),
        node_energies=atoms.get_potential_energies(),
        virial=rotated[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
    )


def write_data(
    path: Path,
    atoms: Atoms,
    elements: Sequence[str],
    *,
    style: str = "atomic",
    types: Sequence[int] | None = None,
    bonds: Sequence[tuple[int, int]] = (),
    has_ids: bool = True,
) -> None:
    """Write a data file with full precision of the positions.

    Parameters
    ----------
    elements
        Symbol of each atom type.
    style
        Atom style: ``atomic`` or ``full``.
    types
        Atom types; by default the first type of each atom's element.
    bonds
        Pairs of atoms, counted from 1.
    has_ids
        Whether atoms have IDs, counted from 1.
    """
    prism = Prism(atoms.cell[:], pbc=atoms.pbc)
    xx, yy, zz, xy, xz, yz = prism.get_lammps_prism()
    if types is None:
        types = [elements.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
    lines = ["written by a test", "", f"{len(atoms)} atoms", f"{len(elements)} atom types"]
    if bonds:
        lines += [f"{len(bonds)} bonds", "1 bond types"]
    lines += [f"0 {xx:.17g} xlo xhi", f"0 {yy:.17g} ylo yhi", f"0 {zz:.17g} zlo zhi"]
    if prism.is_skewed():
        lines.append(f"{xy:.17g} {xz:.17g} {yz:.17g} xy xz yz")
    lines += ["", "Masses", ""]
    lines += [f"{k} {atomic_masses[atomic_numbers[symbol]]:.17g}" for k, symbol in enumerate(elements, 1)]
    lines += ["", f"Atoms # {style}", ""]
    before, after = ("1 ", "0.0 ") if style == "full" else ("", "")
    for k, (kind, position) in enumerate(zip(types, prism.vector_to_lammps(atoms.positions), strict=True), 1):
        lines.append(f"{k if has_ids else 0} {before}{kind} {after}" + " ".join(f"{x:.17g}" for x in position))
    if bonds:
        lines += ["", "Bonds", "", *(f"{k} 1 {a} {b}" for k, (a, b) in enumerate(bonds, 1))]
    path.write_text("\n".join(lines) + "\n")
