"""Frames that no calculation labelled: an equation of state says how a crystal holds against compression.

A learned energy may have a hole where no data are, and atoms that are pressed hard enough fall into it. These frames
close it along the way that pressure drives a crystal. They are for training alone; errors are of the data.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.eos import vinet
from ase.units import GPa


def compressed_diamond(
    element: str,
    lattice_constant: float,
    energy: float,
    bulk_modulus: float,
    derivative: float,
    ratios: list[float],
    half_weight_pressure: float,
) -> list[Atoms]:
    """Return a diamond crystal of two atoms at compressed lattice constants, labelled by the Vinet equation.

    Parameters
    ----------
    element
        Chemical symbol.
    lattice_constant
        At zero pressure, angstrom.
    energy
        eV per atom, at zero pressure.
    bulk_modulus
        GPa, at zero pressure.
    derivative
        Of the bulk modulus by pressure, at zero pressure; Vinet et al., J. Phys.: Condens. Matter 1, 1941 (1989).
    ratios
        Lattice constants over that at zero pressure.
    half_weight_pressure
        GPa; a frame at pressure P has the weight 1 / (1 + P / this)^2, so that errors relative to P count.
    """
    frames = []
    for ratio in ratios:
        atoms = bulk(element, "diamond", a=ratio * lattice_constant)
        pressure = vinet_pressure(ratio, bulk_modulus, derivative)
        volume = lattice_constant**3 / 8
        atoms.info |= {
            "REF_energy": len(atoms) * vinet(ratio**3 * volume, energy, bulk_modulus * GPa, derivative, volume),
            "REF_stress": -pressure * GPa * np.eye(3),
            "config_weight": (1 + pressure / half_weight_pressure) ** -2,
        }
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
        frames.append(atoms)
    return frames


def vinet_pressure(ratio: float, bulk_modulus: float, derivative: float) -> float:
    """Return the pressure, in the unit of the bulk modulus, at a ratio of lattice constants."""
    return 3 * bulk_modulus * (1 - ratio) / ratio**2 * float(np.exp(1.5 * (derivative - 1) * (1 - ratio)))
