"""The kernels of symmetry functions equal plain torch, with their adjoint, for every function and on any processor."""

import math

import pytest
import torch
from torch import Tensor

from mlip_lammps.kernels.cpu import simd
from mlip_lammps.kernels.cpu.simd import Vectors
from mlip_lammps.kernels.operators import SymmetryOperators, symmetry_operators
from mlip_lammps.kernels.symmetry_functions import (
    AngularTerm,
    Falling,
    PowerOfAngle,
    RadialTerm,
    SymmetryFunctions,
    WeightedTerm,
    element_pairs,
)

N_ELEMENTS, REACH = 2, 4.0
CUTOFFS = (
    *(Falling(form, 0.0, REACH) for form in ("cos", "tanh", "biweight", "triweight")),
    *(Falling(form, 0.8, REACH - 0.8, scale=1.3) for form in ("poly1", "poly2", "poly3", "poly4")),
    Falling("smooth", 0.0, REACH, order=5),
    Falling("smooth", 1.5, 2.0, is_even=True, floor=1e-3),
    Falling("poly2", 1.5, 2.5, is_even=True, is_skewed=True),
)
ANGLES = (
    PowerOfAngle(1.0, 1.0, 1.0, 1.0),
    PowerOfAngle(1.0, -1.0, 4.0, 0.125),
    PowerOfAngle(1.0, 0.7, 2.5, 0.4),
    PowerOfAngle(0.5, 0.3, 14.1, 2.0, sine=0.4, shrink=0.95),
    Falling("poly3", math.radians(90.0), math.radians(60.0), is_even=True),
    Falling("smooth", 0.0, math.radians(120.0), is_even=True, floor=1e-3),
)
RADIAL = [RadialTerm(cutoff, 0.1 * k, 0.3 * k) for k, cutoff in enumerate(CUTOFFS)]
ANGULAR = [
    AngularTerm(RADIAL[(3 * k + m) % len(RADIAL)], over, angle)
    for k, over in enumerate(("ends", "all", "mean"))
    for m, angle in enumerate(ANGLES)
]
SOME = [AngularTerm(RADIAL[k], "all", ANGLES[k]) for k in range(3)]
"""All of them need the distance of the neighbours, so that pairs far from each other are left out."""


def functions() -> SymmetryFunctions:
    """Return functions of every form, in some order, with columns that groups share and groups without functions."""
    radial = [[weighted(RADIAL, 0), weighted(RADIAL[::-1], 3)], [weighted(RADIAL[2:], 1), []]]
    start = len(RADIAL) + 3
    angular = [
        [weighted(ANGULAR, start), weighted(SOME, start + 1), weighted(ANGULAR[::2], start)],
        [weighted(ANGULAR[::-1], start), [], weighted(SOME, 2)],
    ]
    assert len(angular[0]) == len(element_pairs(N_ELEMENTS))
    return SymmetryFunctions(start + len(ANGULAR), radial, angular)


def weighted(terms, first: int) -> list[WeightedTerm]:
    return [WeightedTerm(term, first + k, 1.0 + 0.1 * k) for k, term in enumerate(terms)]


@pytest.fixture(scope="module")
def kernel_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def kernels(kernel_folder) -> SymmetryOperators:
    return symmetry_operators("cpu", functions(), kernel_folder)


@pytest.fixture(scope="module")
def plain(kernel_folder) -> SymmetryOperators:
    return symmetry_operators("torch", functions(), kernel_folder)


def edges(counts=(0, 1, 2, 30, 25, 0, 9), seed=3) -> list[Tensor]:
    """Return vectors, centres, species of neighbours and of centres; some edges are beyond every cutoff."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    directions = torch.nn.functional.normalize(torch.randn(len(centre), 3, generator=generator, dtype=torch.float64))
    lengths = 0.7 + 4.0 * torch.rand(len(centre), 1, generator=generator, dtype=torch.float64)
    source, species = (torch.randint(0, N_ELEMENTS, (n,), generator=generator) for n in (len(centre), len(counts)))
    return [directions * lengths, centre, source, species]


def sums_and_gradient(operators: SymmetryOperators, vectors: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
    vectors = vectors.clone().requires_grad_(True)
    sums = operators.sums(vectors, *rest)
    upstream = torch.randn(sums.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(sums, vectors, upstream)
    return sums.detach(), gradient


def assert_equal_to_rounding(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    """Compare each column with its largest value, and gradients, which sum over columns, with the largest."""
    for one, other, scale in zip(found, expected, (expected[0].abs().amax(0), expected[1].abs().max()), strict=True):
        share = ((one - other).abs() / scale.clamp(min=1e-3)).max()
        assert share <= 1e-13, f"{share:.1e} of the largest value"


def test_sums_and_their_adjoint_equal_plain_torch(kernels, plain):
    graph = edges()
    assert_equal_to_rounding(sums_and_gradient(kernels, *graph), sums_and_gradient(plain, *graph))


def test_many_neighbours_equal_plain_torch(kernels, plain):
    """More angles than a block of the kernel."""
    graph = edges((150, 90), seed=4)
    assert_equal_to_rounding(sums_and_gradient(kernels, *graph), sums_and_gradient(plain, *graph))


@pytest.mark.parametrize("column", [0, 9, 16, 20, 26])
def test_a_planted_error_of_one_column_is_detected(column, kernels, plain):
    graph = edges()
    expected, gradient = sums_and_gradient(plain, *graph)
    scaled = expected.clone()
    scaled[:, column] *= 1.001
    with pytest.raises(AssertionError):
        assert_equal_to_rounding(sums_and_gradient(kernels, *graph), (scaled, gradient))


def test_the_adjoint_passes_gradcheck(kernels):
    vectors, *rest = edges((5, 4))
    assert torch.autograd.gradcheck(lambda tensor: kernels.sums(tensor, *rest), vectors.requires_grad_(True))


def test_opposite_and_equal_directions_are_finite(kernels, plain):
    vectors = torch.tensor([[1.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [2.5, 0.0, 0.0], [0.0, 1.5, 0.0]], dtype=torch.float64)
    graph = [vectors, torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 0, 1]), torch.tensor([0])]
    found = sums_and_gradient(kernels, *graph)
    assert all(one.isfinite().all() for one in found)
    assert_equal_to_rounding(found, sums_and_gradient(plain, *graph))


def test_edges_beyond_the_cutoffs_add_nothing(kernels):
    vectors, centre, source, species = edges()
    far = vectors * (10.0 / vectors.norm(dim=1, keepdim=True))
    sums, gradient = sums_and_gradient(kernels, far, centre, source, species)
    assert (sums == 0.0).all()
    assert (gradient == 0.0).all()


def test_threads_do_not_change_the_result(kernels):
    graph, before, found = edges(), torch.get_num_threads(), []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        found.append(sums_and_gradient(kernels, *graph))
    torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_nan_distance_stays_a_nan(kernels):
    vectors, centre, source, species = edges()
    edge = torch.nonzero(centre == 3)[0, 0]
    vectors[edge, 0] = float("nan")
    sums = kernels.sums(vectors, centre, source, species)
    assert sums[3].isnan().any()
    assert not sums[4].isnan().any()


def test_a_neighbour_at_distance_zero_gives_nan(kernels):
    """Every function of its angles, in particular powers that are not integers."""
    vectors, centre, source, species = edges()
    vectors[torch.nonzero(centre == 3)[0, 0]] = 0.0
    angular = kernels.sums(vectors, centre, source, species)[3, len(RADIAL) + 3 :]
    assert angular.isnan().all()


@pytest.mark.parametrize("n_bytes", [16, 32, 64])
def test_kernels_written_for_another_processor_equal_plain_torch(n_bytes, kernel_folder, plain, monkeypatch):
    """Results do not depend on the SIMD width."""
    monkeypatch.setattr(simd, "widest_vectors", lambda: Vectors("other", n_bytes, 16))
    kernels, graph = symmetry_operators("cpu", functions(), kernel_folder), edges()
    assert f"N = {n_bytes // 8}," in kernels.shape.source()
    assert_equal_to_rounding(sums_and_gradient(kernels, *graph), sums_and_gradient(plain, *graph))
