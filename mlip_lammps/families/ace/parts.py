"""What the readers find in a file, checked and put together to a model. This module does not import torch."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers as number_of_symbol
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.ace.spec import (
    EMBEDDINGS,
    INNER_CUTOFFS,
    RADIAL_BASES,
    AceModel,
    AceSpec,
    BondSpec,
    EmbeddingSpec,
)
from mlip_lammps.models.installed import licence_of

CITATION = (
    "Drautz, Phys. Rev. B 99, 014104 (2019), doi:10.1103/PhysRevB.99.014104; Lysogorskiy et al., npj Comput. Mater. 7, "
    "97 (2021), doi:10.1038/s41524-021-00559-9"
)

_MOST_FACTORS = 12
_OTHER_NAMES = {"TEST_SBessel": "SBessel"}


@dataclass(frozen=True)
class Function:
    """A function of the expansion as a file has it.

    Attributes
    ----------
    mus, ns, ls
        Element, radial index from 1, and order of each factor.
    ms
        Shape (n_terms, n_factors).
    coefficients
        Shape (n_terms, n_densities).
    """

    mus: tuple[int, ...]
    ns: tuple[int, ...]
    ls: tuple[int, ...]
    ms: NDArray[np.int64]
    coefficients: NDArray[np.float64]


@dataclass(frozen=True)
class Bond:
    """A pair of elements as a file has it; ``coefficients`` have the shape (n_radial, l_max + 1, n_base)."""

    spec: BondSpec
    coefficients: NDArray[np.float64]
    inner_cutoff: str


@dataclass(frozen=True)
class Parts:
    """Everything that a file says; rows of elements count from 0."""

    path: Path
    symbols: tuple[str, ...]
    atom_energies: tuple[float, ...]
    embeddings: tuple[EmbeddingSpec, ...]
    bonds: tuple[tuple[Bond, ...], ...]
    spline_width: float
    functions: tuple[tuple[Function, ...], ...]

    def model(self) -> AceModel:
        """Return the model.

        Raises
        ------
        ModelFileError
            If numbers contradict each other.
        UnsupportedModelError
            If the potential has a feature that is not supported; the message names it.
        """
        bonds = [bond for row in self.bonds for bond in row]
        inner_cutoff = self._inner_cutoff(bonds)
        shapes = np.array([bond.coefficients.shape for bond in bonds])
        n_radial, n_orders, n_base = map(int, shapes.max(axis=0))
        spec = AceSpec(
            atomic_numbers=self._atomic_numbers(),
            bonds=tuple(tuple(self._bond(bond) for bond in row) for row in self.bonds),
            embeddings=tuple(self._embedding(one) for one in self.embeddings),
            atom_energies=self.atom_energies,
            inner_cutoff=inner_cutoff,
            spline_width=self.spline_width,
            n_radial=n_radial,
            l_max=n_orders - 1,
            n_base=n_base,
            n_functions=tuple(len(functions) for functions in self.functions),
        )
        if not 1e-5 <= self.spline_width <= 0.1:
            raise ModelFileError(
                f"{self.path} has deltaSplineBins {self.spline_width:g} angstrom, expected 1e-5 to 0.1; correct it"
            )
        radial = np.zeros((len(self.symbols), len(self.symbols), n_radial, n_orders, n_base))
        for i, row in enumerate(self.bonds):
            for j, bond in enumerate(row):
                n, o, k = bond.coefficients.shape
                radial[i, j, :n, :o, :k] = bond.coefficients
        weights: dict[str, NDArray[np.generic]] = {"radial": radial}
        for row, functions in enumerate(self.functions):
            weights |= self._terms(row, functions, spec)
        self._require_finite(spec, weights)
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        licence = licence_of(self.path)
        remarks = {"citation": CITATION, **({"licence": licence} if licence else {})}
        return AceModel(spec, weights, digest, self.path.name, remarks)

    def _atomic_numbers(self) -> tuple[int, ...]:
        wrong = [symbol for symbol in self.symbols if number_of_symbol.get(symbol, 0) < 1]
        if wrong or len(set(self.symbols)) != len(self.symbols):
            raise ModelFileError(
                f"{self.path} has the elements {' '.join(self.symbols)}, expected different chemical elements; correct "
                "the file"
            )
        return tuple(number_of_symbol[symbol] for symbol in self.symbols)

    def _bond(self, bond: Bond) -> BondSpec:
        spec, path = bond.spec, self.path
        basis = _OTHER_NAMES.get(spec.basis, spec.basis)
        if basis not in RADIAL_BASES:
            advice = "refit with one of them"
            if basis.startswith("ACE.jl"):
                advice = "potentials of ACE.jl have radial functions of their own; " + advice
            raise UnsupportedModelError(
                f"{path} has the radial basis {spec.basis}, and this package supports {', '.join(RADIAL_BASES)}; "
                f"{advice}"
            )
        if not 0.0 < spec.cutoff < 100.0 or not 0.0 <= spec.cutoff_width <= spec.cutoff:
            raise ModelFileError(
                f"{path} has the cutoff {spec.cutoff:g} and dcut {spec.cutoff_width:g} angstrom, expected 0 to 100 and "
                "0 to the cutoff; correct the file"
            )
        if basis == "ChebExpCos" and spec.parameter == 0.0:
            raise ModelFileError(f"{path} has the radial parameter 0, by which ChebExpCos divides; correct the file")
        if bond.inner_cutoff == "zbl" and not (spec.cutoff_width > 0.0 and spec.inner_width > 0.0):
            raise ModelFileError(
                f"{path} has dcut {spec.cutoff_width:g} and dcut_in {spec.inner_width:g} angstrom with the ZBL core "
                "repulsion, which divides by both; correct the file"
            )
        return BondSpec(basis, *list(vars(spec).values())[1:])

    def _embedding(self, one: EmbeddingSpec) -> EmbeddingSpec:
        if one.name not in EMBEDDINGS:
            raise UnsupportedModelError(
                f"{self.path} has the embedding {one.name}, and this package supports {', '.join(EMBEDDINGS)}; refit "
                "with one of them"
            )
        return one

    def _inner_cutoff(self, bonds: Sequence[Bond]) -> str:
        found = sorted({bond.inner_cutoff for bond in bonds})
        if len(found) > 1:
            raise UnsupportedModelError(
                f"{self.path} has the inner cutoffs {' and '.join(found)} for different bonds, and the PACE library "
                "takes one of them for all; set the same inner_cutoff_type everywhere"
            )
        if found[0] not in INNER_CUTOFFS:
            raise UnsupportedModelError(
                f"{self.path} has inner_cutoff_type {found[0]}, and this package supports {', '.join(INNER_CUTOFFS)}; "
                "refit with one of them"
            )
        return found[0]

    def _terms(self, row: int, functions: Sequence[Function], spec: AceSpec) -> dict[str, NDArray[np.generic]]:
        n_densities = len(spec.embeddings[row].weights)
        factors: dict[int, list[NDArray]] = {}
        coefficients: dict[int, list[NDArray]] = {}
        for number, function in enumerate(functions, start=1):
            rank = len(function.mus)
            self._check(function, f"function {number} of {self.symbols[row]}", n_densities, spec)
            n_terms = len(function.ms)
            fixed = np.array([function.mus, function.ns, function.ls]) - np.array([[0], [1], [0]])
            every = np.empty((n_terms, rank, 4), dtype=np.int64)
            every[:, :, :3] = fixed.T
            every[:, :, 3] = function.ms
            factors.setdefault(rank, []).append(every)
            coefficients.setdefault(rank, []).append(function.coefficients)
        named: dict[str, NDArray[np.generic]] = {}
        for rank in sorted(factors):
            named[f"factors.{row}.{rank}"] = np.concatenate(factors[rank])
            named[f"coefficients.{row}.{rank}"] = np.concatenate(coefficients[rank])
        return named

    def _check(self, function: Function, which: str, n_densities: int, spec: AceSpec) -> None:
        """Raise unless the indices of a function exist."""
        rank = len(function.mus)
        if not 1 <= rank <= _MOST_FACTORS:
            raise UnsupportedModelError(
                f"{self.path} has {which} with {rank} factors, and this package supports 1 to {_MOST_FACTORS}"
            )
        bounds = {
            "mus": (function.mus, 0, len(self.symbols) - 1),
            "ns": (function.ns, 1, spec.n_base if rank == 1 else spec.n_radial),
            "ls": (function.ls, 0, 0 if rank == 1 else spec.l_max),
        }
        for name, (values, low, high) in bounds.items():
            if len(values) != rank or not all(low <= value <= high for value in values):
                raise ModelFileError(
                    f"{self.path} has {name} {' '.join(map(str, values))} in {which}, expected {rank} numbers from "
                    f"{low} to {high}; copy the file again"
                )
        n_terms = len(function.ms)
        if function.ms.shape != (n_terms, rank) or function.coefficients.shape != (n_terms, n_densities):
            raise ModelFileError(
                f"{self.path} has {function.ms.size} ms and {function.coefficients.size} coefficients in {which}, "
                f"expected {rank} and {n_densities} for each of {n_terms} terms; copy the file again"
            )
        if (abs(function.ms) > np.array(function.ls)).any() or function.ms.sum(axis=1).any():
            raise ModelFileError(
                f"{self.path} has ms in {which} that exceed ls or whose sum is not 0; copy the file again"
            )

    def _require_finite(self, spec: AceSpec, weights: dict[str, NDArray[np.generic]]) -> None:
        numbers = [*spec.atom_energies]
        numbers += [value for row in spec.bonds for bond in row for value in list(vars(bond).values())[1:]]
        for one in spec.embeddings:
            numbers += [*one.weights, *one.exponents, one.core_cutoff, one.core_width]
        is_finite = all(map(math.isfinite, numbers)) and all(np.isfinite(array).all() for array in weights.values())
        if not is_finite:
            raise ModelFileError(f"{self.path} contains numbers that are not finite; copy the file again")
