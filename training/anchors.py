"""Training frames with labels from an equation of state and from the repulsion of nuclei instead of DFT.

Without training data at short distances, a model can have spurious energy minima there, which atoms reach under
pressure. These frames prevent such minima in compressed crystals and close pairs of atoms. They are used only for
training; reported errors refer to the DFT data.
"""

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.data import atomic_numbers
from ase.eos import vinet


def compressed_diamond(
    element: str,
    lattice_constant: float,
    energy: float,
    bulk_modulus: float,
    derivative: float,
    ratios: list[float],
    half_weight_pressure: float,
) -> list[Atoms]:
    """Return two-atom diamond crystals at compressed lattice constants, labelled by the Vinet equation of state.

    Parameters
    ----------
    element
        Chemical symbol.
    lattice_constant
        Lattice constant at zero pressure in angstrom.
    energy
        Energy at zero pressure in eV per atom.
    bulk_modulus
        Bulk modulus at zero pressure in GPa.
    derivative
        Pressure derivative of the bulk modulus at zero pressure, see Vinet et al., J. Phys.: Condens. Matter 1, 1941
        (1989).
    ratios
        Lattice constants divided by that at zero pressure.
    half_weight_pressure
        Pressure P0 in GPa; a frame at pressure P has the weight 1 / (1 + P / P0)^2, so that relative errors count.
    """
    frames = []
    for ratio in ratios:
        atoms = bulk(element, "diamond", a=ratio * lattice_constant)
        pressure = vinet_pressure(ratio, bulk_modulus, derivative)
        volume = lattice_constant**3 / 8
        atoms.info |= {
            "REF_energy": len(atoms) * vinet(ratio**3 * volume, energy, bulk_modulus * units.GPa, derivative, volume),
            "REF_stress": -pressure * units.GPa * np.eye(3),
            "config_weight": (1 + pressure / half_weight_pressure) ** -2,
        }
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
        frames.append(atoms)
    return frames


def vinet_pressure(ratio: float, bulk_modulus: float, derivative: float) -> float:
    """Return the pressure at a ratio of lattice constants, in the unit of the bulk modulus."""
    return 3 * bulk_modulus * (1 - ratio) / ratio**2 * float(np.exp(1.5 * (derivative - 1) * (1 - ratio)))


def close_pairs(
    element: str, energy: float, distances: list[float], half_weight_energy: float, weight: float
) -> list[Atoms]:
    """Return isolated pairs of atoms at distances at which nuclear repulsion dominates, labelled by ZBL.

    Parameters
    ----------
    element
        Chemical symbol.
    energy
        Energy of an isolated atom in eV.
    distances
        Distances in angstrom.
    half_weight_energy, weight
        A frame with repulsion energy V (eV) has the weight ``weight`` / (1 + V / ``half_weight_energy``)^2.

    Notes
    -----
    Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids, 1985.
    """
    charge = atomic_numbers[element]
    screening = 0.8854 * units.Bohr / (2 * charge**0.23)
    shares, decays = np.array([0.18175, 0.50986, 0.28022, 0.02817]), np.array([3.1998, 0.94229, 0.4029, 0.20162])
    frames = []
    for distance in distances:
        terms = shares * np.exp(-decays * distance / screening)
        coulomb = charge**2 * units.Hartree * units.Bohr / distance
        repulsion = coulomb * terms.sum()
        force = repulsion / distance + coulomb * (decays * terms).sum() / screening
        atoms = Atoms([element] * 2, positions=[[0, 0, 0], [distance, 0, 0]], cell=[30] * 3, pbc=True)
        atoms.info |= {
            "REF_energy": 2 * energy + repulsion,
            "config_weight": weight * (1 + repulsion / half_weight_energy) ** -2,
        }
        atoms.arrays["REF_forces"] = np.array([[-force, 0, 0], [force, 0, 0]])
        frames.append(atoms)
    return frames
