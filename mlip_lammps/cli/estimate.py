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
    from mlip_lammps.cli._console import print_rows
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
    print_rows(
        [
            ("atoms per rank", f"{found.n_owned:,} owned, about {found.n_ghost:,} ghosts"),
            ("neighbours per atom", _neighbours(found.neighbours, arguments)),
            (
                "memory per rank",
                f"{found.rank_bytes / 1e9:.2f} GB, of which {found.fixed_bytes / 1e9:.2f} GB independent of the atoms",
            ),
            ("time per step", f"{found.seconds_per_step:.3g} s"),
            ("", f"{found.microseconds_per_atom:.0f} microseconds per atom, measured now on one core"),
            ("1000 steps", f"{1000 * found.seconds_per_step / 60:.3g} minutes"),
        ]
    )
    return 0


def _neighbours(number: float, arguments: argparse.Namespace) -> str:
    if arguments.structure is not None:
        return f"{number:.0f} within the cutoff, in {arguments.structure}"
    return f"{number:.0f} within the cutoff, in a dense packing; for those of your material give --structure FILE"


def _show_gpu(model: Path, arguments: argparse.Namespace, structure: "Atoms | None") -> int:
    from mlip_lammps.cli._console import print_rows
    from mlip_lammps.workflows.estimate_gpu import estimate_gpu_run

    found = estimate_gpu_run(model, arguments.atoms, arguments.ranks, structure)
    rows = [
        ("atoms per rank", f"{found.n_owned:,} owned, about {found.n_ghost:,} ghosts"),
        ("neighbours per atom", _neighbours(found.neighbours, arguments)),
        ("GPU memory per rank", f"{found.rank_bytes / 1e9:.2f} GB"),
    ]
    for gigabytes, n_atoms in found.fitting.items():
        rows.append((f"capacity of {gigabytes} GB", f"about {n_atoms:,} atoms on one rank"))
    if found.seconds_per_step is None:
        rows.append(("time per step", "not estimated without a GPU; run this command on a machine with the GPU"))
    else:
        rows.append(("time per step", f"{found.seconds_per_step:.3g} s"))
        rows.append(("", f"measured now with {found.n_timed:,} atoms on one rank, {found.gpu.name}"))
        rows.append(("1000 steps", f"{1000 * found.seconds_per_step / 60:.3g} minutes"))
    print_rows(rows)
    return 0
