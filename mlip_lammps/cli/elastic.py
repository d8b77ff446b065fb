"""``mlip-lammps elastic``: elastic constants of crystals and layers."""

import argparse
from typing import TYPE_CHECKING

from mlip_lammps.cli import options

if TYPE_CHECKING:
    from mlip_lammps.cli._run import Run

NAME = "elastic"
HELP = "compute the elastic tensor of a crystal or a layer, with moduli, stability and Debye temperature"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME)
    parser.add_argument(
        "--strain",
        type=options.number("strain"),
        default=5e-3,
        metavar="STRAIN",
        help="size of each strain (default: 0.005)",
    )
    options.add_relaxation(parser, 1e-4)
    options.add_no_relax(parser)
    parser.add_argument(
        "--keep-axes",
        action="store_true",
        help="keep the orientation of the structure; without this option a crystal is rotated to its standard axes",
    )
    parser.add_argument(
        "--layer", action="store_true", help="in-plane constants in N/m of a layer in the xy plane, with vacuum along z"
    )


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.workflows.crystals.elastic import elastic_tensor, layer_elastic_tensor
    from mlip_lammps.workflows.symmetry import in_standard_axes

    with open_run(arguments, NAME) as run:
        strains = {"mask": [True, True, False, False, False, True]} if arguments.layer else {}
        relaxing = options.relaxation_of(arguments)
        atoms = run.single() if arguments.no_relax else run.relaxed_crystal(**strains, **relaxing)
        if not (arguments.layer or arguments.keep_axes):
            atoms = in_standard_axes(atoms)
        function = layer_elastic_tensor if arguments.layer else elastic_tensor
        found = function(atoms, run.calculator, arguments.strain, **relaxing, tasks=run.tasks)
        run.folder.write_results(found)
        (_show_layer if arguments.layer else _show_crystal)(run, found)
    return 0


def _show_layer(run: "Run", found) -> None:
    rows = [(n, *(f"{c:.2f}" for c in row)) for n, row in zip(("xx", "yy", "xy"), found.voigt_n_per_m, strict=True)]
    run.show_table(("N/m", "xx", "yy", "xy"), rows)
    run.show_facts({
        "Young's modulus along x, y": "{:.2f}, {:.2f} N/m".format(*found.young_moduli_n_per_m),
        "Poisson's ratio along x, y": "{:.3f}, {:.3f}".format(*found.poisson_ratios),
        "stable": "yes" if found.is_stable else "no",
        "numerical error": f"{found.asymmetry_n_per_m:.2g} N/m",
    })  # fmt: skip


def _show_crystal(run: "Run", found) -> None:
    import numpy as np

    from mlip_lammps.analysis.crystal_plots import plot_young_modulus

    names = ("xx", "yy", "zz", "yz", "xz", "xy")
    run.show_table(("GPa", *names), [(n, *(f"{c:.2f}" for c in row)) for n, row in
                                     zip(names, found.voigt_gpa, strict=True)])  # fmt: skip
    debye = found.debye_temperature
    run.show_facts({
        "bulk modulus, Voigt Reuss Hill": f"{found.bulk_modulus_gpa:.2f} {found.bulk_modulus_reuss_gpa:.2f} "
                                          f"{found.bulk_modulus_hill_gpa:.2f} GPa",
        "shear modulus, Voigt Reuss Hill": f"{found.shear_modulus_voigt_gpa:.2f} {found.shear_modulus_reuss_gpa:.2f} "
                                           f"{found.shear_modulus_hill_gpa:.2f} GPa",
        "Young's modulus, Poisson's ratio": f"{found.young_modulus_gpa:.2f} GPa, {found.poisson_ratio:.3f}",
        "universal anisotropy": f"{found.universal_anisotropy:.3f}",
        "Debye temperature": "none" if debye is None else f"{debye:.1f} K",
        "Born stability": f"{'stable' if found.is_stable else 'unstable'}, smallest eigenvalue "
                          f"{found.smallest_eigenvalue_gpa:.2f} GPa",
        "space group": found.space_group or "not found",
        "numerical error": f"asymmetry {found.asymmetry_gpa:.2g}, symmetry {found.symmetry_residual_gpa:.2g} GPa",
    })  # fmt: skip
    if not found.is_stable:
        run.console.print("the crystal is unstable: Young's modulus is not drawn", style="yellow")
        return
    angles, axes = np.linspace(0, 2 * np.pi, 361), np.eye(3)
    cuts = {
        f"{'xyz'[i]}{'xyz'[j]} plane": (
            angles,
            found.young_modulus_along(np.outer(np.cos(angles), axes[i]) + np.outer(np.sin(angles), axes[j])),
        )
        for i, j in ((0, 1), (0, 2), (1, 2))
    }
    plot_young_modulus(run.folder.path / "young_modulus.png", cuts)
