"""What a run will need before it starts: memory from the sizes in the model file, time from a short measurement.

What a process of LAMMPS takes whatever its atoms is measured: LAMMPS runs once on some hundred atoms.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.data import atomic_numbers, covalent_radii

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.lammps.process import LammpsProcess, input_word, read_peak_bytes
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.lammps_data import write_lammps_data

SKIN = 2.0
"""Angstrom: LAMMPS' default in metal units, what its neighbour lists reach beyond the cutoff."""

_SAMPLE_ATOMS = 500
_EDGE_BYTES = 3 * 8 + 8 + 8 + 3 * 8
_NEIGHBOUR_BYTES = 4
# positions, velocities, forces, images, tags, types and bins of LAMMPS, species here
_ATOM_BYTES = 250
# Arrays that grow have room to spare: 1.15 times the sum for 13,824 Si atoms with the MACE-MP-0 small architecture.
_ROOM = 1.15

_DECK = """units metal
atom_modify map array
read_data ${{data}}
pair_style mlip/torch
pair_coeff * * ${{model}} {elements}
neighbor {skin} bin
run 0
info memory
"""


@dataclass(frozen=True)
class Estimate:
    """Memory and time of a run.

    Attributes
    ----------
    n_owned, n_ghost
        Atoms of one rank.
    neighbours
        Atoms within the cutoff of one.
    fixed_bytes
        Of a process of LAMMPS whatever its atoms: LAMMPS, libtorch, the model and its work space.
    rank_bytes
        Of one rank, ``fixed_bytes`` among them.
    microseconds_per_atom
        Energy and forces on one core of this machine, as measured.
    seconds_per_step
        With the ranks on cores of their own and nothing lost between them.
    """

    n_atoms: int
    n_ranks: int
    n_owned: int
    n_ghost: int
    neighbours: float
    fixed_bytes: int
    rank_bytes: int
    microseconds_per_atom: float
    seconds_per_step: float


def estimate_run(model: Path | str, n_atoms: int, n_ranks: int = 1, structure: Atoms | None = None) -> Estimate:
    """Return what ``n_atoms`` on ``n_ranks`` need with a compiled model.

    Parameters
    ----------
    structure
        Periodic in three directions; it is repeated for the measurement. A rattled close packing of the model's
        elements if None, which has more neighbours than most matter.

    Raises
    ------
    UserInputError
        If a number is below 1 or the structure is not periodic.
    """
    require_run(n_atoms, n_ranks, structure)
    compiled = CompiledModel(model, n_threads=1)
    packing = close_packing(compiled.elements)
    fixed_bytes = _fixed_bytes(Path(model), compiled, repeated(packing))
    sample = repeated(structure if structure is not None else packing)
    graph = build_graph(sample, compiled.cutoff)
    neighbours, density = graph.n_edges / graph.n_atoms, len(sample) / sample.get_volume()
    microseconds = 1e6 * _seconds(compiled, graph) / len(sample)
    n_owned = -(-n_atoms // n_ranks)
    n_ghost = ghosts(n_owned, density, compiled.cutoff + SKIN)
    return Estimate(
        n_atoms=n_atoms,
        n_ranks=n_ranks,
        n_owned=n_owned,
        n_ghost=n_ghost,
        neighbours=neighbours,
        fixed_bytes=fixed_bytes,
        rank_bytes=fixed_bytes + round(_bytes_of_atoms(compiled.metadata, n_owned, n_ghost, neighbours)),
        microseconds_per_atom=microseconds,
        seconds_per_step=1e-6 * microseconds * n_owned,
    )


def require_run(n_atoms: int, n_ranks: int, structure: Atoms | None) -> None:
    """Raise ``UserInputError`` if a number is below 1 or the structure is not periodic in three directions."""
    if n_atoms < 1 or n_ranks < 1:
        raise UserInputError(f"{n_atoms} atoms on {n_ranks} ranks: both must be at least 1")
    if structure is not None and not structure.pbc.all():
        raise UserInputError("the structure is not periodic in three directions; its density is not known")


def close_packing(elements: tuple[str, ...]) -> Atoms:
    """Return a rattled fcc cell with the elements in turn at 1.2 of the mean covalent diameter."""
    diameter = 2.0 * float(np.mean([covalent_radii[atomic_numbers[symbol]] for symbol in elements]))
    atoms = bulk("X", "fcc", a=2**0.5 * 1.2 * diameter, cubic=True) * (2, 2, 2)
    atoms.symbols = [elements[k % len(elements)] for k in range(len(atoms))]
    atoms.rattle(0.02 * diameter, seed=0)
    return atoms


def repeated(atoms: Atoms) -> Atoms:
    """Return enough of a periodic structure to measure on."""
    repeats = max(1, round((_SAMPLE_ATOMS / len(atoms)) ** (1 / 3)))
    while len(atoms) * repeats**3 < _SAMPLE_ATOMS / 2:
        repeats += 1
    return make_supercell(atoms, repeats * np.eye(3))


def _fixed_bytes(model: Path, compiled: CompiledModel, sample: Atoms) -> int:
    """Return what LAMMPS takes for ``sample``, less what is reckoned for its atoms."""
    graph = build_graph(sample, compiled.cutoff)
    n_ghost = ghosts(len(sample), len(sample) / sample.get_volume(), compiled.cutoff + SKIN)
    of_atoms = _bytes_of_atoms(compiled.metadata, len(sample), n_ghost, graph.n_edges / graph.n_atoms)
    return lammps_peak_bytes(model, sample, compiled.elements) - round(of_atoms)


def lammps_peak_bytes(model: Path, atoms: Atoms, elements: tuple[str, ...]) -> int:
    """Return the largest memory of LAMMPS on one rank that works out the forces of ``atoms`` once.

    Raises
    ------
    MlipError
        If LAMMPS fails.
    """
    with TemporaryDirectory() as scratch:
        data, deck = Path(scratch, "atoms.data"), Path(scratch, "in.memory")
        write_lammps_data(data, atoms, elements)
        deck.write_text(_DECK.format(elements=" ".join(elements), skin=SKIN))
        variables = {"data": input_word(data), "model": input_word(Path(model).resolve())}
        with LammpsProcess(deck, 1, variables, Path(scratch, "log.lammps")) as process:
            found = read_peak_bytes("".join(process.lines()))
    if found is None:
        raise MlipError("LAMMPS does not say how much memory it takes (info memory); is it a build for Linux?")
    return found


def _seconds(compiled: CompiledModel, graph) -> float:
    compiled.evaluate(graph)
    times = []
    for _ in range(5):
        before = time.perf_counter()
        compiled.evaluate(graph)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def ghosts(n_owned: int, density: float, reach: float) -> int:
    """Return the atoms within ``reach`` of a cube of ``n_owned`` atoms, outside it."""
    side = (n_owned / density) ** (1 / 3)
    return round(density * ((side + 2.0 * reach) ** 3 - side**3))


def _bytes_of_atoms(metadata: dict[str, Any], n_owned: int, n_ghost: int, neighbours: float) -> float:
    value_bytes = 8 if metadata["dtype"] == "float64" else 4
    of_node = 2 * value_bytes * sum(metadata["feature_widths"]) + _ATOM_BYTES
    of_owned = value_bytes * (2 * sum(metadata["skip_widths"]) + sum(metadata["message_widths"]))
    listed = neighbours * ((metadata["cutoff"] + SKIN) / metadata["cutoff"]) ** 3
    of_owned += neighbours * _EDGE_BYTES + listed * _NEIGHBOUR_BYTES
    return _ROOM * (of_owned * n_owned + of_node * (n_owned + n_ghost))
