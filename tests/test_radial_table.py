"""Tables of radial functions are refined until their slopes are right, and refused with a reason where none is."""

from dataclasses import replace

import pytest
import torch

from mlip_lammps.core.errors import TableError
from mlip_lammps.kernels.radial_constants import RadialBasis, RadialNetwork
from mlip_lammps.kernels.radial_table import RadialTable, reduce_table, tabulate
from mlip_lammps.kernels.torch.radial import radial_weights, xplor_cutoff

CUTOFF = 5.0
TWO_SUMS = torch.tensor([[1.0, 0.5], [0.0, 2.0]], dtype=torch.float64)


def smooth(distances: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.sin(3.0 * distances), torch.exp(-distances)], dim=1)


def steep(width: float):
    """Return a smooth pair of functions, the first with a step of ``width`` angstrom at 1 angstrom."""
    return lambda distances: torch.stack([torch.tanh((distances - 1.0) / width), torch.cos(distances)], dim=1)


def with_a_kink(distances: torch.Tensor) -> torch.Tensor:
    return torch.stack([(distances - 1.2345).abs(), torch.cos(distances)], dim=1)


def slope_error(table: RadialTable, functions, n_points: int = 200_001) -> float:
    """Return the largest error of a slope, relative to the largest slope, on a grid finer than that of ``tabulate``."""
    distances = torch.linspace(0.1 * CUTOFF, 0.999 * CUTOFF, n_points, dtype=torch.float64)
    ones = torch.ones_like(distances)
    (_, exact), (_, found) = (torch.func.jvp(f, (distances,), (ones,)) for f in (functions, table.evaluate))
    exact = exact @ TWO_SUMS
    return float((found - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize(
    ("functions", "fewest", "most"),
    [(smooth, 16, 512), (steep(0.05), 513, 4096), (steep(0.0005), 4097, 1 << 18)],
    ids=["smooth", "more than 512 intervals", "more than 4,096 intervals"],
)
def test_tables_are_refined_until_their_slopes_are_right(functions, fewest, most):
    table = tabulate(functions, TWO_SUMS, CUTOFF, 1e-9, degrees=(5,))
    assert fewest <= table.n_intervals <= most
    assert slope_error(table, functions) <= 1.5e-9


@pytest.mark.parametrize("scale", [1.0, 0.0], ids=["functions", "zeros"])
def test_a_reduced_table_has_the_values_of_the_table(scale):
    table = tabulate(lambda r: scale * smooth(r), TWO_SUMS, CUTOFF, 1e-9, degrees=(5,))
    reduced, expansion = reduce_table(table, 1e-9, multiple=2)
    distances = torch.linspace(0.5, 4.5, 100, dtype=torch.float64)
    assert torch.allclose(reduced.evaluate(distances) @ expansion.t(), table.evaluate(distances), atol=1e-8)


def test_a_smaller_table_of_higher_degree_is_taken_for_a_steep_function():
    five, nine = (tabulate(steep(0.02), TWO_SUMS, CUTOFF, 1e-9, degrees=(degree,)) for degree in (5, 9))
    assert nine.coefficients.numel() < five.coefficients.numel()
    chosen = tabulate(steep(0.02), TWO_SUMS, CUTOFF, 1e-9, value_bytes=1 << 20)
    assert chosen.coefficients.numel() == nine.coefficients.numel()


def test_a_function_that_no_table_follows_is_refused_with_the_reason():
    with pytest.raises(TableError, match=r"at 1\.23\d angstrom with [\d,]+ intervals.* not smooth .*--radial exact"):
        tabulate(with_a_kink, TWO_SUMS, CUTOFF, 1e-9)


def test_a_tolerance_below_rounding_is_refused_with_the_reason():
    with pytest.raises(TableError, match=r"rounding is the limit; export with --radial exact"):
        tabulate(smooth, TWO_SUMS, CUTOFF, 1e-17)


def with_a_jump_of_the_curvature(at: float):
    def functions(distances: torch.Tensor) -> torch.Tensor:
        beyond = torch.where(distances < at, torch.zeros_like(distances), distances - at)
        return torch.stack([beyond.square(), torch.cos(distances)], dim=1)

    return functions


@pytest.mark.parametrize(("kink", "multiple"), [(4.5, 10), (4.0, 5), (4.8, 25)])
def test_intervals_end_where_a_derivative_jumps(kink, multiple):
    functions = with_a_jump_of_the_curvature(kink)
    table = tabulate(functions, TWO_SUMS, CUTOFF, 1e-9, kinks=(kink,))
    assert table.n_intervals % multiple == 0
    assert table.n_intervals <= 512
    assert slope_error(table, functions) <= 1.5e-9


def test_a_kink_at_no_simple_fraction_of_the_cutoff_is_refused_with_the_reason():
    with pytest.raises(TableError, match=r"change at 4\.51234567 angstrom, which is no simple fraction"):
        tabulate(smooth, TWO_SUMS, CUTOFF, 1e-9, kinks=(4.51234567,))


def test_the_xplor_function_has_a_continuous_slope():
    distances = torch.tensor([3.9999999, 4.0000001, 4.9999999, 5.0000001], dtype=torch.float64)
    values, slopes = torch.func.jvp(lambda r: xplor_cutoff(r, 5.0, 4.0), (distances,), (torch.ones_like(distances),))
    assert torch.allclose(values, torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64), atol=1e-10)
    assert slopes.abs().max() < 1e-5


def test_a_network_with_powers_of_the_distance_is_split_into_hidden_functions_and_a_matrix():
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (4, 5))]
    powers = torch.tensor([0, 2, 1, 0, 2])
    network = RadialNetwork(tuple(matrices), 1.3, powers=powers)
    basis = RadialBasis(torch.tensor([0.6, 1.2, 1.8], dtype=torch.float64), torch.tensor(0.4), 6, True)
    distances = torch.linspace(0.5, 4.9, 7, dtype=torch.float64)
    plain = radial_weights(basis, replace(network, powers=None), CUTOFF, distances)
    found = radial_weights(basis, network, CUTOFF, distances)
    assert torch.allclose(found, plain * distances.unsqueeze(1) ** powers, rtol=1e-13)
    hidden, last = network.split
    assert torch.allclose(radial_weights(basis, hidden, CUTOFF, distances) @ last, found, rtol=1e-12)
