"""``mlip-lammps phonons``: bands, density of states, thermal properties and unstable modes."""

import argparse
from pathlib import Path

from mlip_lammps.cli import options
from mlip_lammps.core.arguments import COUNT

NAME = "phonons"
HELP = "compute phonon bands, density of states and thermal properties of a crystal"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME)
    parser.add_argument(
        "--supercell",
        type=options.number(COUNT),
        nargs=3,
        metavar=("NA", "NB", "NC"),
        help="repeats of the given cell (default: the smallest ones that are twice the cutoff wide)",
    )
    parser.add_argument(
        "--displacement",
        type=options.number("displacement"),
        default=0.01,
        metavar="ANGSTROM",
        help="displacement of atoms (default: 0.01 angstrom)",
    )
    options.add_relaxation(parser, 1e-4)
    options.add_no_relax(parser)
    parser.add_argument(
        "--symmetry-tolerance",
        type=options.number("symmetry_tolerance"),
        default=0.01,
        metavar="ANGSTROM",
        help="largest deviation of atoms from symmetric positions (default: 0.01)",
    )
    parser.add_argument(
        "--t-max",
        type=options.number("t_max"),
        default=1000.0,
        metavar="KELVIN",
        help="highest temperature of thermal properties, in steps of 10 K (default: 1000)",
    )
    parser.add_argument(
        "--born",
        type=Path,
        metavar="FILE",
        help="dielectric tensor and Born charges of the independent atoms in the BORN format of phonopy, for the "
        "non-analytic correction",
    )
    parser.add_argument("--projected-dos", action="store_true", help="density of states of each element")
    parser.add_argument(
        "--converge", action="store_true", help="enlarge the supercell until frequencies change by less than 0.1 THz"
    )
    parser.add_argument(
        "--qha", action="store_true", help="thermal expansion and Gibbs energy in the quasi-harmonic approximation"
    )
    parser.add_argument("--gruneisen", action="store_true", help="Grueneisen parameters along the path")
    parser.add_argument(
        "--anharmonic",
        action="store_true",
        help="lattice thermal conductivity from third-order force constants, with phono3py",
    )
    parser.add_argument(
        "--mesh",
        type=options.number(COUNT),
        nargs=3,
        default=[11, 11, 11],
        metavar=("NA", "NB", "NC"),
        help="q-points of --anharmonic (default: 11 11 11)",
    )
    parser.add_argument(
        "--snapshots",
        type=options.number("n_snapshots"),
        metavar="N",
        help="fit the force constants of --anharmonic to N random snapshots, instead of all pairs of displacements",
    )
    parser.add_argument(
        "--spectrum-temperature",
        type=options.number("temperature"),
        metavar="KELVIN",
        help="frequencies and line widths at this temperature, from molecular dynamics",
    )
    parser.add_argument(
        "--spectrum-time",
        type=options.number("run_ps"),
        default=50.0,
        metavar="PS",
        help="length of the run of --spectrum-temperature (default: 50 ps)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._phonons import run_phonons

    return run_phonons(arguments)
