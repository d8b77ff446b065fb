"""``mlip-lammps adsorb``: adsorption energies on the distinct sites of a slab."""

import argparse

from mlip_lammps.cli import options

NAME = "adsorb"
HELP = "relax an adsorbate on all distinct sites of a slab and list adsorption energies"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME, "SLAB")
    parser.add_argument(
        "--adsorbate",
        metavar="NAME",
        help="element, molecule that ASE knows (for example CO2), or structure file with its z axis upright (required)",
    )
    parser.add_argument(
        "--sites", nargs="+", metavar="SITE", help="some of top, bridge, hollow (default: all distinct sites)"
    )
    parser.add_argument(
        "--orientations",
        nargs="+",
        metavar="NAME",
        help="some of upright, inverted, flat, flat-turned (default: all that differ)",
    )
    parser.add_argument(
        "--gas", metavar="NAME", help="molecule for the reference energy, for example O2 for O (default: the adsorbate)"
    )
    parser.add_argument(
        "--gas-count",
        type=options.number("n_gas"),
        metavar="X",
        help="number of these molecules (default: by the atoms)",
    )
    parser.add_argument(
        "--free-slab", action="store_true", help="fix no atom; otherwise the lower half is, unless the file fixes atoms"
    )
    options.add_relaxation(parser, 0.01)


def run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from mlip_lammps.analysis.surface_plots import plot_structures
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.structure.files import read_structures
    from mlip_lammps.workflows.surfaces.adsorption import adsorb, fixed_bottom, read_adsorbate

    def read(name: str):
        if Path(name).is_file():
            return next(iter(read_structures([name]).values()))
        return read_adsorbate(name)

    if arguments.adsorbate is None:
        raise UserInputError("no adsorbate is given; give for example --adsorbate CO2")
    files = [name for name in (arguments.adsorbate, arguments.gas) if name is not None and Path(name).is_file()]
    with open_run(arguments, NAME, files) as run:
        slab = run.single() if arguments.free_slab else fixed_bottom(run.single())
        study = adsorb(
            slab,
            read(arguments.adsorbate),
            run.calculator,
            sites=arguments.sites,
            orientations=arguments.orientations,
            gas_reference=read(arguments.gas) if arguments.gas else None,
            n_gas=arguments.gas_count,
            **options.relaxation_of(arguments),
            tasks=run.tasks,
        )
        run.folder.write_results(study)
        run.folder.write_structures("slab", study.slab)
        run.folder.write_structures("gas", study.gas)
        rows, pictures = [], []
        for k, result in enumerate(study.results, start=1):
            if result.atoms is not None:
                run.folder.write_structures(f"adsorbed-{k}", result.atoms)
            if result.kind in ("adsorbed", "dissociated"):
                pictures.append((f"{k}: {result.final_site}, {result.adsorption_energy:.3f} eV", result.atoms))
            energy = "" if result.adsorption_energy is None else f"{result.adsorption_energy:.4f}"
            height = "" if result.height is None else f"{result.height:.2f}"
            kind = f"{result.kind} {result.note if result.kind == 'duplicate' else ''}".strip()
            rows.append((k, result.site, result.orientation, energy, result.final_site, height, kind))
        run.show_table(("", "start", "orientation", "energy, eV", "final site", "height, Å", "kind"), rows)
        if pictures:
            plot_structures(run.folder.path / "adsorbed.png", pictures[:8])
        for k, result in enumerate(study.results, start=1):
            if result.kind == "failed":
                run.console.print(f"{k}: {result.note}", style="bold red", markup=False)
    return 0
