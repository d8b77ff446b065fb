"""Structures of the benchmarks."""

from collections.abc import Sequence
from pathlib import Path

from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, chemical_symbols, reference_states
from ase.io import read

ROOT = Path(__file__).parent.parent

_CRYSTALS = ("diamond", "fcc", "bcc", "hcp")


def silicon(repeats: int) -> Atoms:
    """Return rattled diamond silicon with 8 repeats^3 atoms."""
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(repeats)
    atoms.rattle(0.1, seed=1)
    return atoms


def water(repeats: int) -> Atoms:
    """Return the shipped box of 64 water molecules, repeated in each direction."""
    atoms = read(ROOT / "inputs/water_64.data", format="lammps-data", atom_style="atomic", Z_of_type={1: 1, 2: 8})
    return atoms.repeat(repeats)


def structure(kind: str, repeats: int) -> Atoms:
    """Return the structure ``silicon`` or ``water``."""
    return {"silicon": silicon, "water": water}[kind](repeats)


def typical(elements: Sequence[str], n_atoms: int) -> Atoms:
    """Return a typical structure of ``elements`` with about ``n_atoms``: water, otherwise a rattled crystal.

    The crystal consists of the heaviest element with a known crystal structure.
    """
    if set(elements) == {"H", "O"}:
        return water(max(1, round((n_atoms / 192) ** (1 / 3))))
    numbers = [atomic_numbers[symbol] for symbol in elements]
    crystals = [z for z in numbers if (reference_states[z] or {}).get("symmetry") in _CRYSTALS]
    if not crystals:
        raise SystemExit(f"no typical structure is known for a model of {' '.join(elements)}; add one here")
    state = reference_states[max(crystals)]
    unit = bulk(chemical_symbols[max(crystals)], cubic=state["symmetry"] != "hcp")
    atoms = unit.repeat(max(1, round((n_atoms / len(unit)) ** (1 / 3))))
    atoms.rattle(0.05, seed=1)
    return atoms
