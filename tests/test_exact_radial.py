"""The C++ kernels with the radial network on every edge, against the torch operators."""

from pathlib import Path

import pytest
import torch
from test_kernels import SHAPES, assert_close

from mlip_lammps.families.mace import lower
from mlip_lammps.families.mace.layers import MaceChain
from mlip_lammps.kernels.cpu import neighbour_sums, simd
from mlip_lammps.kernels.cpu.layer_operators import CpuOperators
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.simd import Vectors
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.kernels.radial_functions import hidden_functions
from mlip_lammps.kernels.torch.layer_operators import TorchOperators
from mlip_lammps.testing.random_models import random_model

N_LOCAL, N_NODES, N_EDGES = 7, 11, 150

# Widths of hidden layers: whole vectors, none whole, one layer, none at all; the cutoff before and after the network.
NETWORKS = {
    "two whole": dict(radial_widths=(16, 16)),
    "odd": dict(radial_widths=(5, 18, 7), cutoff_on="weights", cutoff_power=6),
    "one": dict(radial_widths=(64,), n_basis=9),
    "none": dict(radial_widths=(), cutoff_on="weights"),
    "none, cutoff on the basis": dict(radial_widths=()),
}

SMALL = dict(elements=("H", "C", "O"), hidden_irreps="8x0e+8x1o", l_max=1, correlation=1)


@pytest.fixture(scope="module")
def kernel_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kernels")


class Sums:
    """Messages of one layer from the kernels and from the torch operators, on the same random edges."""

    def __init__(self, shape: dict, dtype: str, folder: Path):
        generator = torch.Generator().manual_seed(5)
        self.model: LoweredModel = lower(random_model(cutoff=4.0, seed=3, **shape))
        self.precision = PRECISIONS[dtype]
        self.kernels = CpuOperators(self.model, self.precision.features, folder, "exact")
        self.torch = TorchOperators(self.model, "float64")
        self.sources = MaceChain(self.model, "float64", self.torch).element_sources
        self.species = torch.randint(0, len(self.model.atomic_numbers), (N_NODES,), generator=generator)
        directions = torch.randn(N_EDGES, 3, generator=generator, dtype=torch.float64)
        lengths = 0.6 + 3.8 * torch.rand(N_EDGES, 1, generator=generator, dtype=torch.float64)  # to 4.4: some beyond
        self.vectors = torch.nn.functional.normalize(directions, dim=1) * lengths
        centre = torch.cat([torch.full((80,), 2), torch.randint(3, N_LOCAL, (N_EDGES - 80,), generator=generator)])
        self.centre = centre.sort().values
        self.neighbour = torch.randint(0, N_NODES, (N_EDGES,), generator=generator)
        width = self.model.layers[-1].n_components_in * self.model.layers[-1].n_channels
        self.features = torch.randn(N_NODES, width, generator=generator, dtype=torch.float64)

    def of(self, operators, t: int, features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        source = self.species[self.neighbour] if t == 1 else self.neighbour
        return operators.messages(t, features, vectors, self.centre, source, self.species[:N_LOCAL])

    def compare(self, t: int, dtype: str) -> None:
        """Compare messages and, for a random gradient of them, gradients of what comes in."""
        plain = [x.clone().requires_grad_(True) for x in (self.sources if t == 1 else self.features, self.vectors)]
        fast = [plain[0].detach().to(self.precision.features).requires_grad_(t > 1)]
        fast.append(self.vectors.clone().requires_grad_(True))
        expected, found = self.of(self.torch, t, *plain), self.of(self.kernels, t, *fast)
        assert_close(found, expected, dtype)
        # without a gradient, another function works out the values
        assert_close(self.of(self.kernels, t, *(x.detach() for x in fast)), expected, dtype)
        upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        k = 1 if t == 1 else 0
        one = torch.autograd.grad(found, fast[k:], upstream.to(found.dtype))
        two = torch.autograd.grad(expected, plain[k:], upstream)
        for a, b in zip(one, two, strict=True):
            assert_close(a, b, dtype)


@pytest.mark.parametrize("dtype", ["float64", "mixed"])
@pytest.mark.parametrize("name", SHAPES)
def test_messages_and_their_adjoints_equal_the_torch_operators(name, dtype, kernel_folder):
    sums = Sums(SHAPES[name], dtype, kernel_folder)
    for t in range(1, 3):
        sums.compare(t if len(sums.model.layers) == 2 or t == 1 else 3, dtype)


@pytest.mark.parametrize("are_cheaper", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_any_form_equal_the_torch_operators(name, are_cheaper, kernel_folder, monkeypatch):
    """With moments of the hidden functions in the first layer, and with the convolution there."""
    monkeypatch.setattr(neighbour_sums, "network_moments_are_cheaper", lambda *_: are_cheaper)
    sums = Sums(SMALL | NETWORKS[name], "float64", kernel_folder)
    assert isinstance(sums.kernels.sums[0].shape, MomentsShape) == are_cheaper
    for t in (1, 2):
        sums.compare(t, "float64")


@pytest.mark.parametrize("name", NETWORKS)
def test_hidden_functions_have_exact_slopes_and_are_zero_from_the_cutoff_on(name, kernel_folder):
    sums = Sums(SMALL | NETWORKS[name], "float64", kernel_folder)
    layer, radials = sums.model.layers[1], sums.kernels.sums[1].radials
    network = sums.kernels.library.operators[radials.shape.name]
    cutoff = sums.model.cutoff
    distances = torch.cat([torch.linspace(0.02, 1.2, 200, dtype=torch.float64) * cutoff, torch.tensor([cutoff, 1e9])])
    vectors = torch.zeros(len(distances), 3, dtype=torch.float64)
    vectors[:, 2] = -distances
    values, slopes = network.with_slopes(vectors, radials.wave_numbers, radials.cutoff, radials.matrices)
    n_functions = radials.shape.n_functions
    assert not torch.cat([values, slopes])[:, n_functions:].any()
    beyond = distances >= cutoff
    assert not torch.cat([values[beyond], slopes[beyond]]).any()
    hidden, _ = hidden_functions(sums.model, layer.radial)
    expected = torch.func.jvp(hidden, (distances[~beyond],), (torch.ones_like(distances[~beyond]),))
    factor = layer.radial.scale if radials.shape.hidden_widths else sums.model.radial.factor
    for found, exact in zip((values, slopes), expected, strict=True):
        assert_close(factor * found[~beyond, :n_functions], exact, "float64")


@pytest.mark.parametrize("widest", [Vectors("long", 64, 32), Vectors("short", 32, 16)], ids=lambda widest: widest[0])
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_networks_written_for_another_processor_equal_the_torch_operators(widest, dtype, kernel_folder, monkeypatch):
    monkeypatch.setattr(simd, "widest_vectors", lambda: widest)
    sums = Sums(SMALL | NETWORKS["odd"], dtype, kernel_folder)
    n_lanes = widest.n_bytes // (8 if dtype == "float64" else 4)
    assert f"N = {n_lanes}, N_DOUBLE = {widest.n_bytes // 8}" in sums.kernels.sums[1].radials.shape.source()
    for t in (1, 2):
        sums.compare(t, dtype)


def test_a_nan_distance_stays_a_nan_in_the_network(kernel_folder):
    sums = Sums(SHAPES["half"], "float64", kernel_folder)
    vectors = sums.vectors.clone()
    vectors[0, 0] = float("nan")
    for t, features in ((1, sums.sources), (2, sums.features)):
        assert sums.of(sums.kernels, t, features, vectors)[sums.centre[0]].isnan().any()


def test_a_planted_error_of_a_thousandth_in_the_slopes_is_seen(kernel_folder, monkeypatch):
    sums = Sums(SHAPES["half"], "float64", kernel_folder)
    for step in sums.kernels.sums:
        network = sums.kernels.library.operators[step.radials.shape.name]
        right = network.with_slopes

        def wrong(*arguments, right=right):
            values, slopes = right(*arguments)
            return values, 1.001 * slopes

        monkeypatch.setattr(network, "with_slopes", wrong)
    for t in (1, 2):
        with pytest.raises(AssertionError):
            sums.compare(t, "float64")
