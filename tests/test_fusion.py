"""Compiled programs equal torch where the compiler's own rules would fuse operations in the wrong order."""

import torch
from torch._inductor.virtualized import V

from mlip_lammps.compilation.fusion import AcyclicFusion


def test_a_sum_over_rows_in_a_concatenated_tensor_is_right():
    def layer(species, centre, factors, kept):
        own = embedding.index_select(0, species)
        messages = (own @ weight + bias).index_select(0, centre) * factors[:, :1] @ weight.T
        rows = centre[:, None].expand_as(messages)
        nodes = own + messages.new_zeros(len(species), 6).scatter_reduce(0, rows, messages, "sum")
        return nodes, torch.cat([nodes, kept], dim=1)

    generator = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    embedding, weight, bias = random(2, 6), random(6, 4), random(4)
    inputs = torch.arange(7) % 2, torch.arange(40) % 7, random(40, 3), random(7, 8)
    with torch._inductor.config.patch(fx_graph_cache=False), V.set_choices_handler(AcyclicFusion()):
        found = torch.compile(layer, dynamic=True)(*inputs)
    for one, expected in zip(found, layer(*inputs), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-12, atol=1e-12)
