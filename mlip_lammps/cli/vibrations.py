"""``mlip-lammps vibrations``: frequencies and thermochemistry of molecules and adsorbates."""

import argparse

from mlip_lammps.cli import options
from mlip_lammps.workflows.settings import INDEX

NAME = "vibrations"
HELP = "compute frequencies, zero-point energy and thermochemistry of molecules and adsorbates"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME)
    parser.add_argument(
        "--moving",
        type=options.number(INDEX),
        nargs="+",
        metavar="INDEX",
        help="atoms that move, counted from 0 (default: all that are not fixed in the structure file)",
    )
    parser.add_argument(
        "--moving-elements", nargs="+", metavar="SYMBOL", help="instead: elements whose atoms move, for example C O"
    )
    parser.add_argument(
        "--displacement",
        type=options.number("displacement"),
        default=0.01,
        metavar="ANGSTROM",
        help="displacement of atoms (default: 0.01)",
    )
    parser.add_argument(
        "--kind",
        choices=("ideal_gas", "harmonic"),
        help="thermochemistry (default: ideal_gas for a free molecule, else harmonic)",
    )
    parser.add_argument(
        "--temperature",
        type=options.number("temperature"),
        default=298.15,
        metavar="KELVIN",
        help="temperature (default: 298.15 K)",
    )
    parser.add_argument(
        "--pressure",
        type=options.number("pressure_pa"),
        default=101325.0,
        metavar="PASCAL",
        help="pressure of the gas (default: 101325 Pa)",
    )
    parser.add_argument(
        "--spin", type=options.number("spin"), default=0.0, metavar="S", help="total spin of a gas (default: 0)"
    )
    parser.add_argument(
        "--symmetry-number",
        type=options.number("symmetry_number"),
        metavar="N",
        help="rotational symmetry number (default: from the geometry)",
    )
    options.add_relaxation(parser, 1e-3)
    options.add_no_relax(parser)


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.workflows.reactions.vibrations import atoms_of, vibrations
    from mlip_lammps.workflows.relaxation import relax_each

    if arguments.moving and arguments.moving_elements:
        raise UserInputError("--moving and --moving-elements are both given; give one of them")
    with open_run(arguments, NAME) as run:
        structures = run.structures
        if not arguments.no_relax:
            relaxed = relax_each(structures, run.calculator, tasks=run.tasks, **options.relaxation_of(arguments))
            structures = {name: result.atoms for name, result in relaxed.items()}
        found = {}
        for name, atoms in structures.items():
            moving = arguments.moving
            if arguments.moving_elements:
                moving = atoms_of(atoms, arguments.moving_elements)
            found[name] = vibrations(
                atoms,
                run.calculator,
                moving,
                displacement=arguments.displacement,
                kind=arguments.kind,
                temperature=arguments.temperature,
                pressure_pa=arguments.pressure,
                spin=arguments.spin,
                symmetry_number=arguments.symmetry_number,
                tasks=run.tasks,
            )
        run.folder.write_results(found)
        for name, result in found.items():
            run.folder.write_structures(name, result.atoms)
            for number in range(len(result.frequencies_cm)):
                run.folder.write_structures(f"{name}-mode-{number}", result.mode_frames(number))
            facts = {
                name: f"{result.energy:.6f} eV, {len(result.moving)} atoms move",
                "frequencies, 1/cm": " ".join(map(shown_wave_number, result.frequencies_cm)),
                "zero-point energy": f"{result.zero_point_energy:.4f} eV",
            }
            if (thermo := result.thermochemistry) is None:
                facts["imaginary"] = f"{result.n_imaginary} modes: this is not a minimum, no thermochemistry"
            else:
                is_gas = thermo.kind == "ideal_gas"
                gas = f" and {thermo.pressure_pa:g} Pa, symmetry number {thermo.symmetry_number}" if is_gas else ""
                facts[thermo.kind.replace("_", " ")] = f"at {thermo.temperature:g} K{gas}"
                facts["enthalpy" if is_gas else "internal energy"] = f"{thermo.enthalpy:.4f} eV"
                facts["entropy"] = f"{1e3 * thermo.entropy:.4f} meV/K"
                facts["Gibbs energy" if is_gas else "Helmholtz energy"] = f"{thermo.free_energy:.4f} eV"
            run.show_facts(facts)
            run.warn(result.warnings)
    return 0


def shown_wave_number(wave_number: float) -> str:
    """Return a wave number in 1/cm with one decimal; an imaginary one, which is negative, ends with i."""
    size = f"{abs(wave_number):.1f}"
    return size if wave_number > 0 or size == "0.0" else f"{size}i"
