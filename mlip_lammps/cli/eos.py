"""``mlip-lammps eos``: equation of state, and the pressure of a phase change."""

import argparse
from typing import TYPE_CHECKING

from mlip_lammps.cli import options

if TYPE_CHECKING:
    from mlip_lammps.cli._run import Run

NAME = "eos"
HELP = "fit equations of state to crystals; with several phases, find the pressures of phase changes"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME)
    parser.add_argument(
        "--volumes",
        type=options.number("n_volumes"),
        default=9,
        metavar="N",
        help="number of volumes, 5 or more (default: 9)",
    )
    parser.add_argument(
        "--range",
        type=options.number("length_change_percent"),
        nargs=2,
        default=[-2.0, 2.0],
        metavar=("LOW", "HIGH"),
        help="smallest and largest change of the cell vectors in percent (default: -2 2)",
    )
    parser.add_argument(
        "--relax-shape", action="store_true", help="relax the shape of the cell at each volume, for non-cubic crystals"
    )
    options.add_relaxation(parser, 1e-3)


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from mlip_lammps.analysis.crystal_plots import plot_energy_volume
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.workflows.crystals.equations_of_state import equation_of_state

    low, high = arguments.range
    if low >= high:
        raise UserInputError(f"--range is {low:g} {high:g}; give the smaller change first, for example -2 2")
    factors = 1 + np.linspace(low, high, arguments.volumes) / 100
    with open_run(arguments, NAME) as run:
        settings = {"relaxes_shape": arguments.relax_shape, "tasks": run.tasks, **options.relaxation_of(arguments)}
        curves = {
            name: equation_of_state(atoms, run.calculator, factors, **settings)
            for name, atoms in run.structures.items()
        }
        drawn = {}
        for name, curve in curves.items():
            fine = np.linspace(curve.volumes.min(), curve.volumes.max(), 200)
            n = len(curve.atoms)
            energies = curve.birch_murnaghan.energy_at(fine) / n
            drawn[name] = (curve.volumes / n, curve.energies / n, fine / n, energies)
            minimum = curve.atoms.copy()
            minimum.set_cell(curve.length_factor * curve.atoms.cell[:], scale_atoms=True)
            run.folder.write_structures(f"{name}-minimum", minimum)
        plot_energy_volume(run.folder.path / "energy_volume.png", drawn)
        rows = []
        for name, curve in curves.items():
            for title, fit in (("Birch-Murnaghan", curve.birch_murnaghan), ("Vinet", curve.vinet)):
                rows.append((
                    name, title, f"{fit.volume:.4f} ± {fit.volume_error:.4f}",
                    f"{fit.bulk_modulus_gpa:.2f} ± {fit.bulk_modulus_error_gpa:.2f}",
                    f"{fit.derivative:.2f} ± {fit.derivative_error:.2f}", f"{1e3 * fit.residual:.2g}",
                ))  # fmt: skip
        run.show_table(("structure", "equation", "volume, Å³", "bulk modulus, GPa", "B'", "residual, meV"), rows)
        for name, curve in curves.items():
            lengths = " ".join(f"{length:.4f}" for length in curve.length_factor * curve.atoms.cell.lengths())
            run.console.print(f"{name}: cell vectors at the minimum {lengths} Å")
        run.folder.write_results({"curves": curves, "phase_changes": _show_phase_changes(run, curves)})
    return 0


def _show_phase_changes(run: "Run", curves: dict) -> dict:
    from itertools import combinations

    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.workflows.crystals.equations_of_state import is_same_phase, phase_change

    found = {}
    for one, other in combinations(curves, 2):
        low, high = sorted((one, other), key=lambda name: curves[name].energy / len(curves[name].atoms))
        try:
            change = found[f"{low} to {high}"] = phase_change(curves[low], curves[high])
        except UserInputError:  # two compounds
            continue
        if change is None:
            is_same = is_same_phase(curves[low], curves[high])
            reason = "the same phase within the errors of the fits" if is_same else "no phase change above its error"
            run.console.print(f"{low} to {high}: {reason}")
            continue
        note = "; extrapolated beyond the computed volumes, give a wider --range" if change.is_extrapolated else ""
        run.console.print(f"{low} to {high}: {change.pressure_gpa:.2f} ± {change.pressure_error_gpa:.2f} GPa{note}")
    return found
