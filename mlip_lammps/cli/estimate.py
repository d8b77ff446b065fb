"""``mlip-lammps estimate``: estimate the memory and time of a run before it starts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.cli import options

if TYPE_CHECKING:
    from ase import Atoms

NAME = "estimate"
HELP = "estimate the memory and time that a run needs on this machine"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    parser.add_argument("--atoms", type=int, required=True, metavar="N", help="number of atoms in the run")
    options.add_ranks(parser, 1)
    options.add_structure(parser, "structure like that of the run; default: a dense packing of the model's elements")
    options.add_device(parser, is_for_any_model=True)
    options.add_head(parser, is_for_any_model=True)


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from mlip_lammps.compilation import runnable_model
    from mlip_lammps.model_file.archive import read_metadata, runs_on_gpu
    from mlip_lammps.structure.files import read_structure
    from mlip_lammps.workflows.estimate import estimate_run

    model, structure = runnable_model(arguments.model, arguments.device, arguments.head), None
    if arguments.structure is not None:
        structure = read_structure(arguments.structure, read_metadata(model)["elements"])
    if runs_on_gpu(model):
        return _show_gpu(model, arguments, structure)
    found = estimate_run(model, arguments.atoms, arguments.ranks, structure)
    table = Table(show_header=False, box=None)
    table.add_row("atoms per rank", f"{found.n_owned:,} owned, about {found.n_ghost:,} ghosts")
    table.add_row("neighbours per atom", f"{found.neighbours:.0f}")
    table.add_row(
        "memory per rank",
        f"{found.rank_bytes / 1e9:.2f} GB, of which {found.fixed_bytes / 1e9:.2f} GB independent of the atom count",
    )
    table.add_row("time per step", f"{found.seconds_per_step:.3g} s")
    table.add_row("", f"{found.microseconds_per_atom:.0f} microseconds per atom, measured now on one core")
    table.add_row("1000 steps", f"{1000 * found.seconds_per_step / 60:.3g} minutes")
    Console(highlight=False).print(table)
    return 0


def _show_gpu(model: Path, arguments: argparse.Namespace, structure: "Atoms | None") -> int:
    from rich.console import Console
    from rich.table import Table

    from mlip_lammps.workflows.estimate_gpu import estimate_gpu_run

    found = estimate_gpu_run(model, arguments.atoms, arguments.ranks, structure)
    table = Table(show_header=False, box=None)
    table.add_row("atoms per rank", f"{found.n_owned:,} owned, about {found.n_ghost:,} ghosts")
    table.add_row("neighbours per atom", f"{found.neighbours:.0f}")
    table.add_row("GPU memory per rank", f"{found.rank_bytes / 1e9:.2f} GB")
    for gigabytes, n_atoms in found.fitting.items():
        table.add_row(f"capacity of {gigabytes} GB", f"about {n_atoms:,} atoms on one rank")
    if found.seconds_per_step is None:
        table.add_row("time per step", "not estimated without a GPU; run this command on a machine with the GPU")
    else:
        table.add_row("time per step", f"{found.seconds_per_step:.3g} s")
        table.add_row("", f"measured now with {found.n_timed:,} atoms on one rank, {found.gpu.name}")
        table.add_row("1000 steps", f"{1000 * found.seconds_per_step / 60:.3g} minutes")
    Console(highlight=False).print(table)
    return 0
