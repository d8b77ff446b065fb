"""``mlip-lammps formation``: formation and reaction energies, and the convex hull."""

import argparse

from mlip_lammps.cli import options

NAME = "formation"
HELP = "compute formation, decomposition and reaction energies of phases, and their convex hull"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME, "PHASE")
    parser.add_argument(
        "--reaction",
        action=options.Repeated,
        default=[],
        metavar="EQUATION",
        help="reaction between phases by their names, for example 'Cu + Au -> CuAu'; it is balanced; may be repeated",
    )
    options.add_cell(parser, "free")
    options.add_relaxation(parser, 1e-3)
    options.add_no_relax(parser)


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.analysis.crystal_plots import plot_hull
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.workflows.compositions.formation import formation_energies, reaction_energy
    from mlip_lammps.workflows.compositions.screening import energy_task
    from mlip_lammps.workflows.relaxation import relax_each

    with open_run(arguments, NAME) as run:
        structures = run.structures
        unknown = dict.fromkeys(structures, 0.0)  # compositions tell whether references and reactions are complete
        formation_energies(structures, unknown)
        for text in arguments.reaction:
            reaction_energy(text, structures, unknown)
        if arguments.no_relax:
            values = run.tasks.map("energies", energy_task, run.calculator, list(structures.values()))
            energies = dict(zip(structures, values, strict=True))
        else:
            energies = {}
            for cell, chosen in (
                (arguments.cell, {name: atoms for name, atoms in structures.items() if atoms.pbc.all()}),
                ("fixed", {name: atoms for name, atoms in structures.items() if not atoms.pbc.all()}),
            ):
                relaxing = {"cell": cell, "tasks": run.tasks, **options.relaxation_of(arguments)}
                for name, result in relax_each(chosen, run.calculator, **relaxing).items():
                    structures = {**structures, name: result.atoms}
                    energies[name] = result.energy
        study = formation_energies(structures, energies)
        reactions = [reaction_energy(text, structures, energies) for text in arguments.reaction]
        for name, atoms in structures.items():
            run.folder.write_structures(name, atoms)
        run.folder.write_results({"phases": study, "reactions": reactions})
        rows = []
        for phase in study.phases:
            parts = " + ".join(f"{share:.2f} {name}" for name, share in phase.decomposes_to.items())
            above, parts = ("stable", "") if phase.is_stable else (f"{phase.above_hull:.4f}", parts)
            energy, formation = f"{phase.energy_per_atom:.6f}", f"{phase.formation_energy:.4f}"
            rows.append((phase.name, phase.formula, energy, formation, above, parts))
        columns = ("phase", "formula", "energy, eV/atom", "formation", "above hull", "decomposes to, fraction of atoms")
        run.show_table(columns, rows)
        for reaction in reactions:
            run.console.print(f"{reaction.equation}: {reaction.energy:.4f} eV")
        if len(study.elements) == 2:
            second = study.elements[1]
            points = {
                phase.name: (structures[phase.name].symbols.count(second) / len(structures[phase.name]),
                             phase.formation_energy, phase.is_stable)
                for phase in study.phases
            }  # fmt: skip
            plot_hull(run.folder.path / "hull.png", points, second)
    return 0
