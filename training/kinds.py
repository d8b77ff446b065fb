"""Classification of frames by their geometry, for data without such labels."""

from collections.abc import Callable

import numpy as np
from ase import Atoms

GAS_HEIGHT = 4.5
"""Distance in angstrom between carbon and the top layer beyond which the molecule is gas, as in the data source."""
ADSORBED_HEIGHT = 2.2
BROKEN_BOND = 1.7


def co2_on_slab(atoms: Atoms) -> str:
    """Return gas, approach, chemisorbed or dissociated for one CO2 above a slab with 3x3 atoms per layer."""
    symbols = np.array(atoms.get_chemical_symbols())
    (carbon,) = np.flatnonzero(symbols == "C")
    oxygens = np.flatnonzero(symbols == "O")
    height = atoms.positions[carbon, 2] - np.sort(atoms.positions[symbols == "Ni", 2])[-9:].mean()
    if height > GAS_HEIGHT:
        return "gas"
    if atoms.get_distances(carbon, oxygens, mic=True).max() > BROKEN_BOND:
        return "dissociated"
    return "chemisorbed" if height < ADSORBED_HEIGHT else "approach"


CLASSIFIERS: dict[str, Callable[[Atoms], str]] = {"co2_on_slab": co2_on_slab}
