"""Tracing of programs to graphs with dynamic sizes for AOTInductor."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.proxy_tensor import make_fx

from mlip_lammps.families.chain import Chain, Program
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.operators import TableInput
from mlip_lammps.kernels.precision import Precision
from mlip_lammps.model_file.contract import (
    ANGLES,
    CHARGE_GRADIENTS,
    DENSITY_TABLE,
    NODE_TENSORS,
    RADIAL_TABLE,
    TABLE_OF_PAIR,
    TABLE_PAIRS,
    ProgramSpec,
)
from mlip_lammps.structure.angles import angles_of

_TRACE_SIZES = {"n_local": 5, "n_nodes": 11, "n_edges": 37, "n_angles": 23, "n_tables": 3}
"""Sizes of the tracing example; all differ, so that tracing does not identify two of them."""


def trace(model: LayeredModel, chain: Chain, spec: ProgramSpec) -> tuple[ExportedProgram, tuple[Tensor, ...]]:
    """Trace one program including its gradient; every size is dynamic.

    Returns
    -------
    ExportedProgram
        Program with the inputs and outputs of ``spec`` in order.
    example
        Inputs of the trace.
    """
    tables = [one for t in range(1, model.n_layers + 1) for one in chain.operators.table_inputs(t)]
    example = example_inputs(model, chain.precision, spec, _TRACE_SIZES, tables)
    program = Program(chain, spec)
    program(*example)  # fills the caches of constants, which cannot be created during tracing
    unrolled = make_fx(program, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    exported = torch.export.export(unrolled, example, dynamic_shapes=_dynamic_shapes(spec))
    return exported, example


def example_inputs(
    model: LayeredModel,
    precision: Precision,
    spec: ProgramSpec,
    sizes: dict[str, int],
    tables: Sequence[TableInput] = (),
) -> tuple[Tensor, ...]:
    """Return random inputs of ``spec`` (fixed seed) with n_local, n_nodes and so on from ``sizes``."""
    generator = torch.Generator().manual_seed(1)
    n_local, n_nodes, n_edges = sizes["n_local"], sizes["n_nodes"], sizes["n_edges"]
    species = torch.randint(0, len(model.atomic_numbers), (n_nodes,), generator=generator)
    vectors = torch.randn(n_edges, 3, generator=generator, dtype=torch.float64)
    lengths = model.cutoff * (0.3 + 0.8 * torch.rand(n_edges, 1, generator=generator, dtype=torch.float64))
    edge_neighbour = torch.randint(0, n_nodes, (n_edges,), generator=generator)
    tensors = {
        "centre_species": species[:n_local].clone(),
        "species": species,
        "edge_vectors": torch.nn.functional.normalize(vectors, dim=1) * lengths,
        "edge_centre": torch.randint(0, n_local, (n_edges,), generator=generator).sort().values,
        "edge_neighbour": edge_neighbour,
        "edge_species": species[edge_neighbour],
        "global_inputs": torch.tensor([one.default for one in model.global_inputs], dtype=torch.float64),
        "energy_weights": torch.ones(n_local, dtype=torch.float64),
    }
    if CHARGE_GRADIENTS in spec.inputs:
        tensors[CHARGE_GRADIENTS] = torch.randn(n_local, generator=generator, dtype=torch.float64)
    if model.angle_cutoff > 0.0:
        pairs = angles_of(tensors["edge_centre"].numpy(), tensors["edge_vectors"].numpy(), 2.0 * model.cutoff)
        tensors[ANGLES] = torch.from_numpy(pairs[: sizes["n_angles"]])
    if tables:
        n_pairs = len(model.atomic_numbers) ** 2
        tensors[TABLE_PAIRS] = torch.randint(0, n_pairs, (sizes["n_tables"],), generator=generator)
        tensors[TABLE_OF_PAIR] = torch.randint(0, sizes["n_tables"], (n_pairs,), generator=generator)
        tensors |= {one.name: torch.zeros(sizes["n_tables"], one.n_values, dtype=one.dtype) for one in tables}
    widths = _widths(model)
    for name in spec.inputs:
        if name not in tensors:
            rows = n_nodes if name.startswith(NODE_TENSORS) else n_local
            tensors[name] = torch.randn(rows, widths[name], generator=generator, dtype=torch.float64).to(
                precision.features
            )
    return tuple(tensors[name] for name in spec.inputs)


def _widths(model: LayeredModel) -> dict[str, int]:
    widths = {f"messages_{t}": message for t, message in enumerate(model.message_widths, start=1)}
    for t, (feature, skip) in enumerate(zip(model.feature_widths, model.skip_widths, strict=True), start=1):
        widths |= {f"features_{t}": feature, f"feature_gradients_{t}": feature}
        widths |= {f"skips_{t}": skip, f"skip_gradients_{t}": skip}
    return widths


def _dynamic_shapes(spec: ProgramSpec) -> tuple[dict[int, Dim], ...]:
    n_local, n_nodes, n_edges, n_angles, n_tables = (
        Dim(name, min=2, max=2**31 - 1) for name in ("n_local", "n_nodes", "n_edges", "n_angles", "n_tables")
    )

    def rows(name: str) -> Dim | None:
        if name in ("global_inputs", TABLE_OF_PAIR):
            return None
        if name.startswith((TABLE_PAIRS, RADIAL_TABLE, DENSITY_TABLE)):
            return n_tables
        if name == ANGLES:
            return n_angles
        if name.startswith("edge"):
            return n_edges
        return n_nodes if name.startswith(NODE_TENSORS) else n_local

    return tuple({0: rows(name)} for name in spec.inputs)
