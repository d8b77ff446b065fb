"""Repulsion of nuclei with the universal screening function (Ziegler, Biersack and Littmark), as LAMMPS has it."""

import torch
from torch import Tensor

from mlip_lammps.families.gated.spec import RepulsionSpec
from mlip_lammps.kernels.lowered import RepulsionTables

ZBL_POWER = 0.23
ZBL_LENGTH = 0.46850
"""In angstrom: 0.8854 Bohr radii."""
ZBL_COEFFICIENTS = (0.02817, 0.28022, 0.50986, 0.18175)
ZBL_EXPONENTS = (0.20162, 0.40290, 0.94229, 3.19980)


def repulsion_tables(repulsion: RepulsionSpec, rows: list[int], cutoff: float, reaches: Tensor) -> RepulsionTables:
    """Return the constants for the elements ``rows``.

    ``reaches`` are the cutoffs of pairs of these elements in angstrom, shape (n_elements, n_elements), float64.
    """
    charges = torch.tensor([repulsion.charges[row] for row in rows], dtype=torch.float64)
    lengths = charges**ZBL_POWER
    return RepulsionTables(
        n_elements=len(rows),
        strengths=(0.5 * repulsion.strength * charges[:, None] * charges).flatten(),
        decays=((lengths[:, None] + lengths) / ZBL_LENGTH).flatten(),
        reaches=(1.0 / reaches).flatten(),
        coefficients=ZBL_COEFFICIENTS,
        exponents=ZBL_EXPONENTS,
        cutoff_power=repulsion.cutoff_power,
        cutoff=cutoff,
    )
