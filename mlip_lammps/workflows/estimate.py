"""Estimate of the memory and time of a run: memory from the sizes in the model file, time from a short measurement.

The memory of a LAMMPS process that does not depend on the atoms is measured in a run of a few hundred atoms.
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

from mlip_lammps.core.arguments import require_count, require_instance
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.lammps.process import LammpsProcess, input_word, read_peak_bytes
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.lammps_data import write_lammps_data

SKIN = 2.0
"""Skin of the neighbour lists in angstrom: the default of LAMMPS in metal units."""

_SAMPLE_ATOMS = 500
_EDGE_BYTES = 3 * 8 + 8 + 8 + 3 * 8
_NEIGHBOUR_BYTES = 4
# positions, velocities, forces, images, tags, types and bins in LAMMPS; species in the plugin
_ATOM_BYTES = 250
# Growing arrays have spare capacity: 1.15 times the sum for 13,824 Si atoms with the MACE-MP-0 small architecture.
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
        Owned and ghost atoms of one rank.
    neighbours
        Mean number of neighbours within the cutoff.
    fixed_bytes
        Memory of a LAMMPS process that does not depend on its atoms: LAMMPS, libtorch, the model and its workspace.
    rank_bytes
        Memory of one rank, including ``fixed_bytes``.
    microseconds_per_atom
        Measured time for energy and forces on one core of this machine.
    seconds_per_step
        Time of a step with one core per rank and ideal scaling.
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
    """Return the memory and time of ``n_atoms`` on ``n_ranks`` with a compiled model.

    Parameters
    ----------
    structure
        Structure that is periodic in three directions and is repeated for the measurement. If None, a rattled close
        packing of the model's elements, which has more neighbours than most materials.

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
    """Raise ``UserInputError`` if a number is below 1 or the structure is not periodic in all three directions."""
    require_count("the number of atoms", n_atoms)
    require_count("the number of ranks", n_ranks)
    if structure is not None:
        require_instance("structure", structure, Atoms, "an ase.Atoms object")
    if structure is not None and not structure.pbc.all():
        raise UserInputError("the structure is not periodic in three directions, as the density needs; set its pbc")


def close_packing(elements: tuple[str, ...]) -> Atoms:
    """Return a rattled fcc cell with alternating elements, at 1.2 times the mean covalent diameter."""
    diameter = 2.0 * float(np.mean([covalent_radii[atomic_numbers[symbol]] for symbol in elements]))
    atoms = bulk("X", "fcc", a=2**0.5 * 1.2 * diameter, cubic=True) * (2, 2, 2)
    atoms.symbols = [elements[k % len(elements)] for k in range(len(atoms))]
    atoms.rattle(0.02 * diameter, seed=0)
    return atoms


def repeated(atoms: Atoms) -> Atoms:
    """Return a periodic structure repeated to a size suitable for the measurement."""
    repeats = max(1, round((_SAMPLE_ATOMS / len(atoms)) ** (1 / 3)))
    while len(atoms) * repeats**3 < _SAMPLE_ATOMS / 2:
        repeats += 1
    return make_supercell(atoms, repeats * np.eye(3))


def _fixed_bytes(model: Path, compiled: CompiledModel, sample: Atoms) -> int:
    """Return the memory of LAMMPS for ``sample`` minus the calculated memory for its atoms."""
    graph = build_graph(sample, compiled.cutoff)
    n_ghost = ghosts(len(sample), len(sample) / sample.get_volume(), compiled.cutoff + SKIN)
    of_atoms = _bytes_of_atoms(compiled.metadata, len(sample), n_ghost, graph.n_edges / graph.n_atoms)
    return lammps_peak_bytes(model, sample, compiled.elements) - round(of_atoms)


def lammps_peak_bytes(model: Path, atoms: Atoms, elements: tuple[str, ...]) -> int:
    """Return the peak memory of LAMMPS on one rank in a single force evaluation of ``atoms``.

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
        raise MlipError("LAMMPS printed no memory use (info memory), which needs Linux; run this on Linux")
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
    """Return the number of atoms outside a cube of ``n_owned`` atoms and within ``reach`` of it."""
    side = (n_owned / density) ** (1 / 3)
    return round(density * ((side + 2.0 * reach) ** 3 - side**3))


def _bytes_of_atoms(metadata: dict[str, Any], n_owned: int, n_ghost: int, neighbours: float) -> float:
    value_bytes = 8 if metadata["dtype"] == "float64" else 4
    of_node = 2 * value_bytes * sum(metadata["feature_widths"]) + _ATOM_BYTES
    of_owned = value_bytes * (2 * sum(metadata["skip_widths"]) + sum(metadata["message_widths"]))
    listed = neighbours * ((metadata["cutoff"] + SKIN) / metadata["cutoff"]) ** 3
    of_owned += neighbours * _EDGE_BYTES + listed * _NEIGHBOUR_BYTES
    return _ROOM * (of_owned * n_owned + of_node * (n_owned + n_ghost))
