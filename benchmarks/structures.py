"""The structures that are measured."""

import tomllib
from pathlib import Path

from ase import Atoms
from ase.build import bulk
from ase.io import read

ROOT = Path(__file__).parent.parent


def structure(kind: str, repeats: int) -> Atoms:
    """Return rattled diamond silicon (8 repeats^3 atoms) or the shipped water box, repeated in each direction."""
    if kind == "silicon":
        atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(repeats)
        atoms.rattle(0.1, seed=1)
        return atoms
    settings = tomllib.loads((ROOT / "inputs/demo.toml").read_text())
    data = ROOT / settings.get("data", "inputs/water_64.data")
    atoms = read(data, format="lammps-data", atom_style="atomic", Z_of_type={1: 1, 2: 8})
    return atoms.repeat(repeats)
