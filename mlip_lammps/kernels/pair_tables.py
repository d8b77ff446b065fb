"""Radial tables of pairs of elements: which pairs share one, and how that of any pair is made.

A model file has no such tables. Programs make those of the elements that a run contains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.radial_constants import RadialBasis, RadialNetwork
from mlip_lammps.kernels.radial_functions import density_functions
from mlip_lammps.kernels.radial_table import DEGREES, RadialTable, hidden_table, interpolation_nodes, tabulate
from mlip_lammps.kernels.torch.radial import density_terms, radial_weights

_SAMPLED_PAIRS = 24
"""Largest number of pairs, spread over all, whose functions decide how fine the tables of all pairs are."""
_HARDEST_PAIRS = 8
"""Number of pairs added to these because a coarse table describes them worst."""
_TRIAL_DEGREE, _TRIAL_INTERVALS, _PAIRS_TOGETHER = 5, 32, 32
_NUMBERS_TOGETHER = 1 << 22
"""Coefficients in memory at a time: the tables of all pairs of many elements would take gigabytes."""
_DENSITY_TOLERANCE = 1e-9
"""Bound on the slopes of densities in every precision: their table has one function."""
_SHARE_FOR_OTHERS = 0.5
"""Part of the tolerance that tables of the sampled pairs may use; the rest is for all other pairs."""


@dataclass(frozen=True)
class PairKinds:
    """Kinds of pairs of elements: pairs of one kind have the same radial functions.

    Attributes
    ----------
    atomic_numbers
        Elements in species order.
    pairs
        One pair i * n_elements + j of each kind.
    kind_of_pair
        Kind of each pair, shape (n_elements^2,), int64.
    sample
        Pairs of all kinds, or of a spread of them if there are many.
    """

    atomic_numbers: tuple[int, ...]
    pairs: tuple[int, ...]
    kind_of_pair: Tensor
    sample: tuple[int, ...]

    @classmethod
    def of(cls, model: LoweredModel) -> "PairKinds":
        """Return the kinds of a model; there is one if no radial function depends on the pair."""
        n_pairs = len(model.atomic_numbers) ** 2
        if not model.has_pair_functions:
            return cls(model.atomic_numbers, (0,), torch.zeros(n_pairs, dtype=torch.int64), (0,))
        features = []
        if model.radial.transform is not None:
            # sums of radii in another order differ in their last bit
            features.append((model.radial.transform.lengths * 1e9).round().unsqueeze(1))
        for layer in model.layers:
            networks = [layer.radial] if layer.density is None else [layer.radial, layer.density.network]
            features += [one.pair_biases for one in networks if one.pair_biases is not None]
        _, kind_of_pair = torch.cat(features, dim=1).unique(dim=0, return_inverse=True)
        first = torch.full((int(kind_of_pair.max()) + 1,), n_pairs, dtype=torch.int64)
        first.scatter_reduce_(0, kind_of_pair, torch.arange(n_pairs), "amin")
        # kinds are sorted by their first feature, the length of the transform: the shortest and longest are sampled
        spread = torch.linspace(0, len(first) - 1, min(len(first), _SAMPLED_PAIRS)).round().to(torch.int64)
        return cls(model.atomic_numbers, tuple(first.tolist()), kind_of_pair, tuple(first[spread].tolist()))

    @property
    def are_sampled(self) -> bool:
        """Whether ``sample`` leaves out a kind."""
        return len(self.sample) < len(self.pairs)

    def of_numbers(self, numbers: Tensor) -> Tensor:
        """Return the kind of each pair of atomic numbers (2, n), shape (n,)."""
        row = torch.zeros(max(self.atomic_numbers) + 1, dtype=torch.int64)
        row[list(self.atomic_numbers)] = torch.arange(len(self.atomic_numbers))
        centre, neighbour = row[numbers]
        return self.kind_of_pair[centre * len(self.atomic_numbers) + neighbour]


@dataclass(frozen=True)
class PairTable:
    """The table of a layer's radial functions for any pair of elements.

    Attributes
    ----------
    network, matrix
        Functions of the distance before their product with ``matrix``, shape (n_hidden, n_functions).
    is_density
        Whether the function is what a neighbour adds to a density.
    value_error, slope_error
        Largest errors for the sampled pairs, see `RadialTable`.
    """

    basis: RadialBasis
    network: RadialNetwork
    matrix: Tensor
    cutoff: float
    degree: int
    n_intervals: int
    value_error: float
    slope_error: float
    is_density: bool = False

    @property
    def n_functions(self) -> int:
        return self.matrix.shape[1]

    @property
    def n_numbers(self) -> int:
        """Coefficients of one pair."""
        return self.n_intervals * self.n_functions * (self.degree + 1)

    def coefficients(self, pairs: Tensor) -> Tensor:
        """Return the tables of ``pairs`` (n_tables,), shape (n_tables, n_intervals, n_functions, degree + 1)."""
        distances, to_power = interpolation_nodes(self.cutoff, self.degree, self.n_intervals)
        distances = distances.reshape(1, -1).expand(pairs.shape[0], -1)
        every = pairs.unsqueeze(1).expand(-1, distances.shape[1]).reshape(-1)
        functions = density_terms if self.is_density else radial_weights
        values = functions(self.basis, self.network, self.cutoff, distances.reshape(-1), every)
        values = values.view(pairs.shape[0], self.n_intervals, self.degree + 1, len(self.matrix))
        by_power = torch.einsum("kn,tinf->tikf", to_power, values) @ self.matrix
        return by_power.transpose(2, 3)

    def tables(self, pairs: Tensor, dtype: torch.dtype) -> RadialTable:
        """Return the tables of ``pairs`` with the rounding of ``dtype``."""
        coefficients = self.coefficients(pairs).flatten(0, 1).to(dtype).to(torch.float64)
        return RadialTable(coefficients, self.cutoff, self.value_error, self.slope_error, len(pairs))


def pair_table(
    model: LoweredModel,
    network: RadialNetwork,
    matrix: Tensor,
    kinds: PairKinds,
    slope_tolerance: float,
    value_bytes: int,
    is_density: bool = False,
    degrees: Sequence[int] = DEGREES,
) -> PairTable:
    """Return tables that are as fine as the sampled pairs need, see ``tabulate`` for the arguments and errors."""
    unknown = PairTable(model.radial, network, matrix, model.cutoff, 0, 0, 0.0, 0.0, is_density)
    hardest = _hardest_pairs(unknown, kinds) if kinds.are_sampled else ()
    functions = [_functions(unknown, pair) for pair in dict.fromkeys((*kinds.sample, *hardest))]
    share = _SHARE_FOR_OTHERS if kinds.are_sampled else 1.0
    tolerance, kinks = share * slope_tolerance, model.radial.kinks
    found = hidden_table(functions, matrix, model.cutoff, tolerance, value_bytes, degrees, kinks)
    size = found.degree, found.n_intervals
    return PairTable(
        model.radial, network, matrix, model.cutoff, *size, found.value_error, found.slope_error, is_density
    )


def table_of_density(
    model: LoweredModel, network: RadialNetwork, kinds: PairKinds | None
) -> RadialTable | PairTable:
    """Return the table of what a neighbour adds to a density, in float64; a ``PairTable`` if it depends on the pair.

    Raises
    ------
    TableError
        If no table is accurate enough.
    """
    one = torch.eye(1, dtype=torch.float64)
    if model.has_pair_functions:
        return pair_table(model, network, one, kinds, _DENSITY_TOLERANCE, value_bytes=8, is_density=True)
    return tabulate(density_functions(model, network), one, model.cutoff, _DENSITY_TOLERANCE)


def _hardest_pairs(table: PairTable, kinds: PairKinds) -> list[int]:
    """Return the pairs whose functions a coarse table of the hidden layer describes worst."""
    weighted = torch.diag(table.matrix.norm(dim=1))
    trial = replace(table, matrix=weighted, degree=_TRIAL_DEGREE, n_intervals=_TRIAL_INTERVALS)
    functions = density_terms if table.is_density else radial_weights
    distances = torch.linspace(0.1, 1.0, 8 * _TRIAL_INTERVALS, dtype=torch.float64) * table.cutoff
    errors = []
    for pairs in torch.tensor(kinds.pairs, dtype=torch.int64).split(_PAIRS_TOGETHER):
        every, rows = distances.repeat(len(pairs)), torch.arange(len(pairs)).repeat_interleave(len(distances))
        exact = functions(table.basis, table.network, table.cutoff, every, pairs[rows]) @ weighted
        found = trial.tables(pairs, torch.float64).evaluate(every, rows)
        errors.append((found - exact).abs().amax(dim=1).view(len(pairs), -1).amax(dim=1))
    order = torch.cat(errors).argsort(descending=True)[:_HARDEST_PAIRS]
    return [kinds.pairs[k] for k in order.tolist()]


def _functions(table: PairTable, pair: int):
    """Return the functions of one pair before their product with the matrix."""
    functions = density_terms if table.is_density else radial_weights

    def of_distances(distances: Tensor) -> Tensor:
        pairs = torch.full(distances.shape, pair, dtype=torch.int64)
        return functions(table.basis, table.network, table.cutoff, distances, pairs)

    return of_distances


@dataclass(frozen=True)
class TabulatedPairs:
    """Tabulated convolution weights of a layer for all pairs of elements, as the kernels have them.

    Attributes
    ----------
    expansion
        Expansion of the weights in the functions of the table; None if they are the same.
    """

    table: PairTable
    expansion: Tensor | None
    kinds: PairKinds
    dtype: torch.dtype

    def __call__(self, distances: Tensor, numbers: Tensor) -> Tensor:
        """Return the weights, shape (n, n_weights).

        Parameters
        ----------
        distances
            In angstrom, shape (n,).
        numbers
            Atomic numbers of centres and neighbours, shape (2, n).
        """
        present, place = self.kinds.of_numbers(numbers).unique(return_inverse=True)
        pairs = torch.tensor(self.kinds.pairs, dtype=torch.int64)[present]
        values, rows = [distances.new_zeros(0, self.table.n_functions)], [place.new_zeros(0)]
        together = max(1, _NUMBERS_TOGETHER // self.table.n_numbers)
        for first in range(0, len(present), together):
            some = pairs[first : first + together]
            (edges,) = torch.where((place >= first) & (place < first + len(some)))
            table = self.table.tables(some, self.dtype)
            values.append(table.evaluate(distances[edges], place[edges] - first))
            rows.append(edges)
        found = torch.cat(values)[torch.cat(rows).argsort()]
        return found if self.expansion is None else found @ self.expansion.t()


def pair_record(tables: Sequence[PairTable], kinds: PairKinds) -> list[dict[str, float]]:
    """Return the metadata entries of each layer's tables."""
    return [
        {
            "n_intervals": table.n_intervals,
            "degree": table.degree,
            "n_functions": table.n_functions,
            "n_tables": len(kinds.pairs),
            "value_error": table.value_error,
            "slope_error": table.slope_error,
        }
        for table in tables
    ]
