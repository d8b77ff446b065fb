"""Interfaces of liquids."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from mlip_lammps.analysis.averages import Average, block_average
from mlip_lammps.core.errors import UserInputError

_MN_PER_M = 0.01
"""One bar angstrom in mN/m."""
_COLUMNS = ("Pxx", "Pyy", "Pzz", "Lz")


def surface_tension(thermo: Mapping[str, ArrayLike]) -> Average:
    r"""Return the surface tension of a slab with two surfaces normal to z, in mN/m, with its error from blocks.

    Parameters
    ----------
    thermo
        Columns ``Pxx``, ``Pyy``, ``Pzz`` in bar and ``Lz`` in angstrom, for example from ``read_thermo_csv``, each of
        shape (n,), without the equilibration.

    Raises
    ------
    UserInputError
        If a column is missing.

    Notes
    -----
    :math:`\gamma = \frac{L_z}{2} \langle P_{zz} - (P_{xx} + P_{yy}) / 2 \rangle`. The pressure must be the derivative
    of the energy, which ``mlip-lammps verify`` checks; its accuracy is that of the model.
    """
    missing = [name for name in _COLUMNS if name not in thermo]
    if missing:
        raise UserInputError(f"the thermodynamic output has no {', '.join(missing)}; add them to thermo_style custom")
    xx, yy, zz, length = (np.asarray(thermo[name], dtype=float) for name in _COLUMNS)
    return block_average(_MN_PER_M * length / 2.0 * (zz - (xx + yy) / 2.0))
