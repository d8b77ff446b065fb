"""``mlip-lammps box``: write a LAMMPS data file with a box of molecules."""

import argparse

from mlip_lammps.cli import options

NAME = "box"
HELP = "build a periodic box of molecules and write a LAMMPS data file"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("molecule", help="molecule name of ase.build.molecule, for example H2O")
    parser.add_argument("-n", "--count", type=int, required=True, help="number of molecules")
    parser.add_argument("--density", type=float, required=True, help="mass density in g/cm3")
    parser.add_argument("--elements", nargs="+", help="element of each atom type, in order (default: alphabetical)")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the orientations (default: 0)")
    options.add_output(parser, "LAMMPS data file to write")


def run(arguments: argparse.Namespace) -> int:
    from ase.build import molecule

    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.structure.boxes import build_box
    from mlip_lammps.structure.lammps_data import write_lammps_data

    try:
        one = molecule(arguments.molecule)
    except KeyError:
        raise UserInputError(
            f"ase.build.molecule does not know {arguments.molecule}; give a name such as H2O, CO2 or CH3OH"
        ) from None
    atoms = build_box(one, arguments.count, arguments.density, arguments.seed)
    elements = arguments.elements or sorted(set(atoms.get_chemical_symbols()))
    write_lammps_data(arguments.output, atoms, elements)
    print(
        f"{arguments.output}: {len(atoms)} atoms, cube of {atoms.cell.lengths()[0]:.3f} angstrom, "
        f"types {' '.join(elements)}"
    )
    return 0
