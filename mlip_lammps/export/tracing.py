"""From a program of the layer chain to a graph with dynamic sizes that AOTInductor compiles."""

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.proxy_tensor import make_fx

from mlip_lammps.export.contract import NODE_TENSORS, ProgramSpec
from mlip_lammps.export.layers import LayerChain, Program

_TRACE_SIZES = {"n_local": 5, "n_nodes": 11, "n_edges": 37}
"""Sizes of the tracing example: all different, so that no two are taken for one."""


def trace(chain: LayerChain, spec: ProgramSpec) -> tuple[ExportedProgram, tuple[Tensor, ...]]:
    """Trace one program with its gradient unrolled; every size is dynamic.

    Returns
    -------
    ExportedProgram
        Takes and returns the tensors of ``spec`` in order.
    example
        Inputs it was traced with.
    """
    example = example_inputs(chain, spec, _TRACE_SIZES)
    program = Program(chain, spec)
    program(*example)  # fills the caches of constants, which cannot be made while tracing
    unrolled = make_fx(program, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    exported = torch.export.export(unrolled, example, dynamic_shapes=_dynamic_shapes(spec))
    return exported, example


def example_inputs(
    chain: LayerChain, spec: ProgramSpec, sizes: dict[str, int]
) -> tuple[Tensor, ...]:
    """Return random inputs of ``spec``, seeded, with n_local, n_nodes and n_edges from ``sizes``."""
    generator = torch.Generator().manual_seed(1)
    n_local, n_nodes, n_edges = sizes["n_local"], sizes["n_nodes"], sizes["n_edges"]
    species = torch.randint(0, len(chain.node_constants), (n_nodes,), generator=generator)
    vectors = torch.randn(n_edges, 3, generator=generator, dtype=torch.float64)
    lengths = chain.spec.cutoff * (0.3 + 0.8 * torch.rand(n_edges, 1, generator=generator, dtype=torch.float64))
    tensors = {
        "centre_species": species[:n_local].clone(),
        "species": species,
        "edge_vectors": torch.nn.functional.normalize(vectors, dim=1) * lengths,
        "edge_centre": torch.randint(0, n_local, (n_edges,), generator=generator).sort().values,
        "edge_neighbour": torch.randint(0, n_nodes, (n_edges,), generator=generator),
        "energy_weights": torch.ones(n_local, dtype=torch.float64),
    }
    widths = _widths(chain)
    for name in spec.inputs:
        if name not in tensors:
            rows = n_nodes if name.startswith(NODE_TENSORS) else n_local
            tensors[name] = torch.randn(rows, widths[name], generator=generator, dtype=torch.float64).to(
                chain.precision.features
            )
    return tuple(tensors[name] for name in spec.inputs)


def _widths(chain: LayerChain) -> dict[str, int]:
    widths = {}
    for t, (layer, following) in enumerate(zip(chain.layers, chain.layers[1:], strict=False), start=1):
        widths |= {
            f"features_{t}": layer.width_out,
            f"feature_gradients_{t}": layer.width_out,
            f"skips_{t}": following.width_out,
            f"skip_gradients_{t}": following.width_out,
            f"messages_{t}": layer.width_message,
        }
    return widths


def _dynamic_shapes(spec: ProgramSpec) -> tuple[dict[int, Dim], ...]:
    n_local, n_nodes, n_edges = (Dim(name, min=2, max=2**31 - 1) for name in ("n_local", "n_nodes", "n_edges"))

    def rows(name: str) -> Dim:
        if name.startswith("edge"):
            return n_edges
        return n_nodes if name.startswith(NODE_TENSORS) else n_local

    return tuple({0: rows(name)} for name in spec.inputs)
