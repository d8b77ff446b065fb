"""The C++ kernels against their torch references, on the same radial tables."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from e3nn import o3

from mlip_lammps.core.machine import machine_record
from mlip_lammps.families.mace import lower
from mlip_lammps.families.mace.layers import MaceChain
from mlip_lammps.kernels.cpu import neighbour_sums, simd
from mlip_lammps.kernels.cpu.layer_operators import CpuOperators
from mlip_lammps.kernels.cpu.neighbour_sums import SLOPE_TOLERANCES
from mlip_lammps.kernels.cpu.simd import Vectors, lanes
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.radial_functions import radial_functions
from mlip_lammps.kernels.torch.edge_convolution import edge_convolution
from mlip_lammps.kernels.torch.layer_operators import TorchOperators
from mlip_lammps.kernels.torch.linear import irrep_linear
from mlip_lammps.kernels.torch.spherical_harmonics import spherical_harmonics
from mlip_lammps.kernels.torch.symmetric_contraction import symmetric_contraction
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.random_models import random_model

# Channel counts: a multiple of the widest vector, of half of it, of two, and an odd number.
SHAPES = {
    "wide": dict(hidden_irreps="16x0e+16x1o", l_max=3, correlation=3),
    "half": dict(hidden_irreps="24x0e", l_max=2, correlation=2),
    "two": dict(hidden_irreps="6x0e+6x1o+6x2e", l_max=2, correlation=2),
    "odd": dict(hidden_irreps="5x0e+5x1o", l_max=1, correlation=3, n_layers=3),
}


@dataclass(frozen=True)
class Case:
    """Kernels and random inputs of one layer."""

    model: LoweredModel
    chain: MaceChain
    kernels: CpuOperators
    t: int
    vectors: torch.Tensor
    centre: torch.Tensor
    source: torch.Tensor
    features: torch.Tensor
    like: torch.Tensor

    @property
    def layer(self):
        return self.chain.layers[self.t - 1]


@pytest.fixture(scope="module")
def kernel_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(params=SHAPES)
def shape(request) -> dict:
    return SHAPES[request.param]


def make_case(shape: dict, dtype: str, folder: Path, n_local: int = 7, n_edges: int = 150, t: int = 2) -> Case:
    """Return layer ``t`` with one centre that has more edges than a kernel chunk and one without edges."""
    generator = torch.Generator().manual_seed(5)
    model = lower(random_model(cutoff=4.0, seed=3, **shape))
    chain = MaceChain(model, dtype, TorchOperators(model, dtype))
    n_nodes = n_local + 4
    directions = torch.nn.functional.normalize(torch.randn(n_edges, 3, generator=generator, dtype=torch.float64), dim=1)
    lengths = 0.6 + 3.8 * torch.rand(n_edges, 1, generator=generator, dtype=torch.float64)  # some beyond the cutoff
    centre = torch.cat([torch.full((80,), 2), torch.randint(3, n_local, (n_edges,), generator=generator)])[:n_edges]
    layer = chain.layers[t - 1]
    features = torch.randn(n_nodes, layer.n_components_in, layer.n_channels, generator=generator, dtype=torch.float64)
    return Case(
        model=model,
        chain=chain,
        kernels=CpuOperators(model, chain.precision.features, folder),
        t=t,
        vectors=directions * lengths,
        centre=centre.sort().values,
        source=torch.randint(0, n_nodes, (n_edges,), generator=generator),
        features=features.to(chain.precision.features),
        like=torch.zeros(n_local, dtype=torch.int64),
    )


def fast_messages(case: Case, features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    flat = features.reshape(len(features), -1)
    messages = case.kernels.received(case.t, flat, vectors, case.centre, case.source, case.like)
    return messages.view(len(case.like), case.layer.n_components_mid, -1)


def plain_messages(case: Case, features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Return the messages of the torch reference with weights from the same table, in float64."""
    distances = vectors.norm(dim=1)
    weights = case.kernels.tables[case.t - 1].evaluate(distances)
    return edge_convolution(
        features.to(torch.float64),
        spherical_harmonics(vectors / distances.unsqueeze(1), case.model.l_max),
        weights.view(len(vectors), len(case.layer.paths), -1),
        case.centre,
        case.source,
        len(case.like),
        case.layer.paths,
        case.layer.n_components_mid,
    )


def assert_close(found: torch.Tensor, expected: torch.Tensor, dtype: str) -> None:
    limit = tolerances.KERNEL_FLOAT64 if dtype == "float64" else tolerances.KERNEL_FLOAT32
    difference = (found.to(torch.float64) - expected).abs().max()
    assert difference <= limit * expected.abs().max(), f"{difference:.1e} of {expected.abs().max():.1e}"


@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_convolution_and_its_adjoint_equal_the_reference(shape, dtype, kernel_folder):
    case = make_case(shape, dtype, kernel_folder)
    variables = [tensor.clone().requires_grad_(True) for tensor in (case.features, case.vectors)]
    found, expected = fast_messages(case, *variables), plain_messages(case, *variables)
    assert_close(found, expected, dtype)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found_gradients = torch.autograd.grad(found, variables, upstream.to(found.dtype))
    expected_gradients = torch.autograd.grad(expected, variables, upstream)
    for fast, plain in zip(found_gradients, expected_gradients, strict=True):
        assert_close(fast, plain.to(torch.float64), dtype)


@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_contraction_and_its_adjoint_equal_the_reference(shape, dtype, kernel_folder):
    case = make_case(shape, dtype, kernel_folder)
    layer, n_elements = case.layer, len(case.model.atomic_numbers)
    generator = torch.Generator().manual_seed(2)
    messages = torch.randn(9, layer.n_components_message, layer.n_channels, generator=generator, dtype=torch.float64)
    messages = messages.to(case.features.dtype).requires_grad_(True)
    species = torch.randint(0, n_elements, (9,), generator=generator)
    found = case.kernels.contract(case.t, messages.flatten(1), species).view(9, layer.n_components_out, -1)
    exact_layer = case.model.layers[case.t - 1]
    doubles = messages.detach().to(torch.float64).requires_grad_(True)
    expected = symmetric_contraction(doubles, species, exact_layer.polynomial, layer.n_components_out)
    assert_close(found, expected, dtype)
    upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (fast,) = torch.autograd.grad(found, messages, upstream.to(found.dtype))
    (plain,) = torch.autograd.grad(expected, doubles, upstream)
    assert_close(fast, plain, dtype)


@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_linear_maps_and_their_adjoints_equal_the_reference(shape, dtype, kernel_folder):
    case = make_case(shape, dtype, kernel_folder)
    layer = case.model.layers[case.t - 1]
    generator = torch.Generator().manual_seed(6)
    species = torch.randint(0, len(case.model.atomic_numbers), (41,), generator=generator)
    maps = {kind: layer.linear_map(kind) for kind in layer.linear_kinds}
    maps["message"] = layer.message, layer.n_components_mid, layer.n_components_message
    for kind, (blocks, n_in, n_out) in maps.items():
        exact = torch.randn(41, n_in, layer.n_channels, generator=generator, dtype=torch.float64)
        features = exact.to(case.features.dtype).flatten(1).requires_grad_(True)
        exact = features.detach().to(torch.float64).view(41, n_in, -1).requires_grad_(True)
        found = case.kernels.linear(kind, case.t, features, species)
        expected = irrep_linear(exact, blocks, n_out, species).flatten(1)
        assert_close(found, expected, dtype)
        upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
        (fast,) = torch.autograd.grad(found, features, upstream.to(found.dtype))
        (plain,) = torch.autograd.grad(expected, exact, upstream)
        assert_close(fast, plain.flatten(1), dtype)


@pytest.mark.parametrize("widest", [Vectors("long", 64, 32), Vectors("short", 32, 16)], ids=lambda widest: widest[0])
def test_kernels_written_for_another_processor_equal_the_reference(widest, kernel_folder, monkeypatch):
    """Results do not depend on the SIMD width or the number of registers."""
    monkeypatch.setattr(simd, "widest_vectors", lambda: widest)
    # the shape of the test of moments: one library has all kernels
    monkeypatch.setattr(neighbour_sums, "moments_are_cheaper", lambda *_: True)
    shape = dict(elements=("Si",), hidden_irreps="16x0e+16x1o", l_max=3, correlation=2)
    case = make_case(shape, "float64", kernel_folder)
    source = case.kernels.sums[1].shape.source()
    assert f"N = {widest.n_bytes // 8}," in source
    assert ("struct Pass3" in source) == (widest.n_registers == 16)
    test_convolution_and_its_adjoint_equal_the_reference(shape, "float64", kernel_folder)
    test_contraction_and_its_adjoint_equal_the_reference(shape, "float64", kernel_folder)
    test_linear_maps_and_their_adjoints_equal_the_reference(shape, "float64", kernel_folder)
    test_moments_of_the_first_layer_give_the_messages_of_the_reference(("Si",), "float64", kernel_folder, monkeypatch)


def test_vectors_are_not_wider_than_those_of_the_processor():
    """The compiler keeps wider vectors in memory, which makes kernels several times slower."""
    flags = set(machine_record()["cpu_flags"])
    widest = simd.widest_vectors()
    assert widest.n_bytes <= (64 if "avx512f" in flags else 32 if "avx" in flags else 16)
    assert lanes(96, torch.float64) == widest.n_bytes // 8
    assert lanes(6, torch.float32) == 2


@pytest.mark.parametrize("dtype", ["float64", "mixed"])
@pytest.mark.parametrize("elements", [("Si",), ("H", "C", "O")])
def test_moments_of_the_first_layer_give_the_messages_of_the_reference(elements, dtype, kernel_folder, monkeypatch):
    monkeypatch.setattr(neighbour_sums, "moments_are_cheaper", lambda *_: True)
    shape = dict(elements=elements, hidden_irreps="16x0e+16x1o", l_max=3, correlation=2)
    case = make_case(shape, dtype, kernel_folder, t=1)
    generator = torch.Generator().manual_seed(8)
    species = torch.randint(0, len(elements), (len(case.like) + 4,), generator=generator)
    vectors = [case.vectors.clone().requires_grad_(True) for _ in range(2)]
    layer = case.model.layers[0]
    found = case.kernels.messages(1, None, vectors[0], case.centre, species[case.source], species[: len(case.like)])
    sources = irrep_linear(layer.embedding, layer.up, 1)
    distances = vectors[1].norm(dim=1)
    received = edge_convolution(
        sources[species],
        spherical_harmonics(vectors[1] / distances.unsqueeze(1), case.model.l_max),
        radial_functions(case.model, layer.radial)(distances).view(len(distances), len(layer.paths), -1),
        case.centre,
        case.source,
        len(case.like),
        layer.paths,
        layer.n_components_mid,
    )
    by_element = species[: len(case.like)] if layer.is_message_by_element else None
    expected = irrep_linear(received, layer.message, layer.n_components_message, by_element).flatten(1)
    upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (fast,) = torch.autograd.grad(found, vectors[0], upstream.to(found.dtype))
    (plain,) = torch.autograd.grad(expected, vectors[1], upstream)
    # the radial functions are exact here, so the difference includes the tolerance of the table
    limit = 1e-7 if dtype == "float64" else 1e-5
    for one, two in ((found, expected), (fast, plain)):
        difference = (one.to(torch.float64) - two).abs().max()
        assert difference <= limit * two.abs().max(), f"{difference:.1e} of {two.abs().max():.1e}"


def test_adjoints_pass_gradcheck(kernel_folder):
    case = make_case(SHAPES["two"], "float64", kernel_folder, n_local=6, n_edges=20)
    inside = case.vectors * (3.5 / case.vectors.norm(dim=1, keepdim=True)).clamp(max=1.0)
    variables = (case.features.requires_grad_(True), inside.requires_grad_(True))
    assert torch.autograd.gradcheck(lambda *tensors: fast_messages(case, *tensors), variables)
    messages = torch.randn(3, case.layer.n_components_message, case.layer.n_channels, dtype=torch.float64)
    species = torch.tensor([0, 1, 0])
    assert torch.autograd.gradcheck(
        lambda tensor: case.kernels.contract(case.t, tensor.flatten(1), species), messages.requires_grad_(True)
    )


def test_threads_do_not_change_the_result(kernel_folder):
    case = make_case(SHAPES["wide"], "float64", kernel_folder)
    results = []
    before = torch.get_num_threads()
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        variables = [tensor.clone().requires_grad_(True) for tensor in (case.features, case.vectors)]
        messages = fast_messages(case, *variables)
        results.append((messages.detach(), *torch.autograd.grad(messages.square().sum(), variables)))
    torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert_close(two, one, "float64")


def test_a_planted_error_of_a_tenth_of_a_percent_is_detected(kernel_folder):
    case = make_case(SHAPES["half"], "mixed", kernel_folder)
    found = 1.001 * fast_messages(case, case.features, case.vectors)
    with pytest.raises(AssertionError):
        assert_close(found, plain_messages(case, case.features, case.vectors), "mixed")


def test_a_nan_distance_stays_a_nan(kernel_folder):
    case = make_case(SHAPES["half"], "float64", kernel_folder)
    vectors = case.vectors.clone()
    vectors[0, 0] = float("nan")
    assert fast_messages(case, case.features, vectors)[case.centre[0]].isnan().any()


@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_tables_state_the_error_of_their_slopes(dtype, kernel_folder):
    case = make_case(SHAPES["wide"], dtype, kernel_folder)
    layer, table = case.model.layers[case.t - 1], case.kernels.tables[case.t - 1]
    distances = 0.4 + 3.5 * torch.rand(500, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    exact = radial_functions(case.model, layer.radial)
    ones = torch.ones_like(distances)
    value, slope = torch.func.jvp(exact, (distances,), (ones,))
    found_value, found_slope = torch.func.jvp(table.evaluate, (distances,), (ones,))
    assert (found_value - value).abs().max() <= 1.5 * table.value_error
    assert (found_slope - slope).abs().max() <= 1.5 * table.slope_error
    assert table.slope_error <= 2.0 * SLOPE_TOLERANCES[case.features.dtype] * slope.abs().max()


@pytest.mark.parametrize("l_max", [0, 1, 2, 3, 4])
def test_spherical_harmonics_are_those_of_e3nn(l_max):
    vectors = torch.randn(50, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    expected = o3.spherical_harmonics(list(range(l_max + 1)), unit, False, "component")
    assert_close(spherical_harmonics(unit, l_max), expected, "float64")
