"""What a potential of the PACE library says: bonds, embeddings and functions. This module does not import torch."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel

FAMILY_NAME = "ace"

RADIAL_BASES = ("ChebExpCos", "ChebPow", "ChebLinear", "SBessel")
EMBEDDINGS = ("FinnisSinclair", "FinnisSinclairShiftedScaled")
INNER_CUTOFFS = ("density", "distance", "zbl")

MU, N, L, M = range(4)
"""Columns of a factor of a function: element of the neighbour, radial index from 0, order and m."""


@dataclass(frozen=True)
class BondSpec:
    """Radial functions of a pair of elements. Lengths are in angstrom.

    Attributes
    ----------
    basis
        One of ``RADIAL_BASES``.
    parameter
        Exponent or decay lambda of the scaled distance.
    cutoff, cutoff_width
        Distance where the functions end, and the width of the additional cosine of ``ChebExpCos``, or of the
        transition of ZBL.
    core_prefactor, core_decay
        Core repulsion p exp(-lambda r^2) / r in eV angstrom and 1/angstrom^2; for ZBL the prefactor is a factor.
    inner_cutoff, inner_width
        Distance below which the functions change to the core repulsion, and the width of this change.
    """

    basis: str
    parameter: float
    cutoff: float
    cutoff_width: float
    core_prefactor: float
    core_decay: float
    inner_cutoff: float
    inner_width: float


@dataclass(frozen=True)
class EmbeddingSpec:
    """Energy of an element from its densities, sum_p w_p F(rho_p; m_p).

    Attributes
    ----------
    name
        One of ``EMBEDDINGS``.
    weights, exponents
        Of each density.
    core_cutoff, core_width
        Core repulsion of an atom (eV) from which on the densities add nothing, and the width of this transition.
    """

    name: str
    weights: tuple[float, ...]
    exponents: tuple[float, ...]
    core_cutoff: float
    core_width: float


@dataclass(frozen=True)
class AceSpec:
    """The potential without its coefficients.

    Attributes
    ----------
    bonds
        Of each pair of elements: ``bonds[i][j]`` for centre i and neighbour j.
    inner_cutoff
        One of ``INNER_CUTOFFS``: what replaces the densities at short distances. ``density``: a function of the core
        repulsion of the atom. ``distance``: functions of each distance. ``zbl``: a function of the shortest distance.
    spline_width
        Distance between the points (angstrom) from which the library interpolates radial functions.
    n_radial, l_max, n_base
        Radial functions R_nl: n < n_radial, l <= l_max; each is a sum of n_base functions g_k.
    n_functions
        Of each element.
    """

    atomic_numbers: tuple[int, ...]
    bonds: tuple[tuple[BondSpec, ...], ...]
    embeddings: tuple[EmbeddingSpec, ...]
    atom_energies: tuple[float, ...]
    inner_cutoff: str
    spline_width: float
    n_radial: int
    l_max: int
    n_base: int
    n_functions: tuple[int, ...]


@dataclass(frozen=True)
class AceModel(SpecifiedModel):
    """A trained potential; see ``TrainedModel``.

    Attributes
    ----------
    weights
        ``radial`` (n_elements, n_elements, n_radial, l_max + 1, n_base) float64: R_nl = sum_k c_nlk g_k, by centre and
        neighbour. For each element e and each number of factors r, ``factors.e.r`` (n_terms, r, 4) int64, see ``MU``,
        and ``coefficients.e.r`` (n_terms, n_densities) float64. With one factor R_nl is g_n.
    """

    family = FAMILY_NAME
    spec: AceSpec
    weights: dict[str, NDArray[np.generic]]
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def cutoff(self) -> float:
        return max(bond.cutoff for row in self.spec.bonds for bond in row)

    @property
    def dtype(self) -> str:
        return "float64"

    @property
    def n_layers(self) -> int:
        return 1

    def ranks(self, row: int) -> tuple[int, ...]:
        """Return the numbers of factors of the terms of an element."""
        found = (name.split(".") for name in self.weights if name.startswith(f"factors.{row}."))
        return tuple(sorted(int(rank) for _, _, rank in found))

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""
        spec, elements = self.spec, []
        for row, number in enumerate(spec.atomic_numbers):
            embedding = spec.embeddings[row]
            terms = {rank: len(self.weights[f"factors.{row}.{rank}"]) for rank in self.ranks(row)}
            powers = ", ".join(
                f"{weight:g} rho^{power:g}"
                for weight, power in zip(embedding.weights, embedding.exponents, strict=True)
            )
            elements.append(
                {
                    "element": chemical_symbols[number],
                    "functions": spec.n_functions[row],
                    "products": sum(terms.values()),
                    "largest_product": max(terms, default=0),
                    "embedding": f"{embedding.name} ({powers})",
                    "atom_energy": spec.atom_energies[row],
                }
            )
        bases = Counter(bond.basis for bonds in spec.bonds for bond in bonds)
        return {
            **self.remarks,
            "atomic_numbers": spec.atomic_numbers,
            "cutoff": self.cutoff,
            "radial_basis": ", ".join(sorted(bases)),
            "radial_functions": f"n <= {spec.n_radial}, l <= {spec.l_max}, from {spec.n_base} basis functions",
            "core_repulsion": spec.inner_cutoff,
            "n_functions": sum(spec.n_functions),
            "expansions": elements,
        }

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        return {"n_functions": list(self.spec.n_functions), "core_repulsion": self.spec.inner_cutoff, **self.remarks}
