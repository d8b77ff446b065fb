"""``RealAgnosticResidualNonLinearInteractionBlock``: a gated message, with radial functions of both elements."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from mlip_lammps.families.irreps import Entry, format_irreps, linear_size, parse_irreps
from mlip_lammps.families.mace.interactions import register
from mlip_lammps.families.mace.interactions.block import InteractionBlock, Shapes, linear_up_shapes, n_radial_weights
from mlip_lammps.families.mace.reader import checks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reader.module import Module
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs
    from mlip_lammps.families.mace.spec import LayerSpec, ModelSpec

_EMBEDDINGS = ("source_embedding", "target_embedding")
"""Of the neighbour's and of the centre's element, in the order in which the networks take them."""
_DENSITY_WIDTHS = (64,)
"""Hidden widths of the density network."""


class RealAgnosticResidualNonLinear(InteractionBlock):
    """A message divided by beta density + alpha, plus a map of the centre's features, through a gate and a linear map.

    Its radial network and its density network take embeddings of both elements beside the radial basis.
    """

    name = "RealAgnosticResidualNonLinearInteractionBlock"
    vanishes_with_basis = False

    @property
    def needs_skip(self) -> bool:
        return True

    @property
    def has_pair_network(self) -> bool:
        return True

    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        return irreps_in, irreps_out

    def read_message(self, block: "Module", irreps_mid: str) -> str:
        irreps_message, irreps_out = checks.linear(block.child("linear_2"))
        checks.require(irreps_message == irreps_out, block.child("linear_2"), "irreps_out", irreps_out)
        linear = block.child("linear_1")
        found, expected = checks.linear(linear), gate_irreps(irreps_message)
        checks.require(found == (irreps_mid, expected), linear, "irreps", " -> ".join(found))
        return irreps_message

    def read_radial(self, block: "Module") -> tuple[tuple[int, ...], float]:
        return checks.normalized_mlp(block.child("conv_tp_weights")), 1.0

    def arrays(self, block: "Module") -> "Iterator[tuple[Module, str]]":
        linears = ("linear_up", "linear_1", "linear_2", "linear_res", "skip_tp", *_EMBEDDINGS)
        for module in map(block.child, linears):
            yield module, "weight"
        for name in ("conv_tp_weights", "density_fn"):
            for step in block.child(name).child("net").children():
                if step.class_name != "SiLU":
                    yield step, "weight"
                    yield step, "bias"
        yield block, "alpha"
        yield block, "beta"

    def check(self, block: "Module", n_elements: int, irreps_in: str, irreps_message: str, irreps_out: str) -> None:
        scalars = f"{_n_scalars(irreps_in)}x0e"
        edge = checks.linear(block.child("linear_up"))[1]
        for name, expected in {
            "skip_tp": (irreps_in, irreps_out),
            "linear_res": (edge, gate_irreps(irreps_message)),
            **{embedding: (f"{n_elements}x0e", scalars) for embedding in _EMBEDDINGS},
        }.items():
            found = checks.linear(block.child(name))
            checks.require(found == expected, block.child(name), "irreps", " -> ".join(found))
        widths = checks.normalized_mlp(block.child("density_fn"))
        checks.require(widths == _DENSITY_WIDTHS, block.child("density_fn"), "widths", str(widths))
        checks.require_gate(block.child("equivariant_nonlin"), irreps_message)

    def weight_shapes(self, spec: "ModelSpec", layer: "LayerSpec", prefix: str) -> Shapes:
        yield from linear_up_shapes(layer, prefix)
        given, edge, mid, message, out = map(
            parse_irreps,
            (layer.irreps_in, layer.irreps_edge, layer.irreps_mid, layer.irreps_message, layer.irreps_out),
        )
        gate = parse_irreps(gate_irreps(layer.irreps_message))
        n_elements, n_scalars = len(spec.atomic_numbers), _n_scalars(layer.irreps_in)
        yield f"{prefix}.linear_1.weight", (linear_size(mid, gate),)
        yield f"{prefix}.linear_2.weight", (linear_size(message, message),)
        yield f"{prefix}.linear_res.weight", (linear_size(edge, gate),)
        yield f"{prefix}.skip_tp.weight", (linear_size(given, out),)
        for name in _EMBEDDINGS:
            yield f"{prefix}.{name}.weight", (n_elements * n_scalars,)
        n_inputs = spec.radial.n_basis + 2 * n_scalars
        for name, widths in {
            "conv_tp_weights": (n_inputs, *layer.radial_widths, n_radial_weights(layer)),
            "density_fn": (n_inputs, *_DENSITY_WIDTHS, 1),
        }.items():
            for k, (n_in, n_out) in enumerate(pairwise(widths)):
                yield f"{prefix}.{name}.net.{3 * k}.weight", (n_out, n_in)
                yield f"{prefix}.{name}.net.{3 * k}.bias", (n_out,)
                if k + 2 < len(widths):
                    yield f"{prefix}.{name}.net.{3 * k + 1}.weight", (n_out,)
                    yield f"{prefix}.{name}.net.{3 * k + 1}.bias", (n_out,)
        yield f"{prefix}.alpha", ()
        yield f"{prefix}.beta", ()

    def build(self, modules: "InteractionModules") -> None:
        layer, gate = modules.layer, gate_irreps(modules.layer.irreps_message)
        modules.add_linear("linear_1", layer.irreps_mid, gate)
        modules.add_linear("linear_2", layer.irreps_message, layer.irreps_message)
        modules.add_linear("linear_res", layer.irreps_edge, gate)
        modules.add_linear("skip_tp", layer.irreps_in, layer.irreps_out)
        for name in _EMBEDDINGS:
            modules.add_linear(name, f"{modules.n_elements}x0e", f"{_n_scalars(layer.irreps_in)}x0e")
        modules.add_gate("gate", layer.irreps_message)
        modules.density_network = modules.normalized_mlp("density_fn")

    def radial_network(self, modules: "InteractionModules") -> "nn.Module":
        return modules.normalized_mlp("conv_tp_weights")

    def radial_inputs(self, modules: "InteractionModules", inputs: "LayerInputs") -> "Tensor":
        source, target = modules.source_embedding(inputs.one_hot), modules.target_embedding(inputs.one_hot)
        return inputs.basis_and_elements(source, target)

    def reference(self, modules: "InteractionModules", inputs: "LayerInputs") -> "tuple[Tensor, Tensor]":
        features = modules.linear_up(inputs.features)
        terms = modules.density_network(self.radial_inputs(modules, inputs)).square().tanh()
        if inputs.cutoff is not None:
            terms = terms * inputs.cutoff
        density = terms.new_zeros(len(features), 1).index_add(0, inputs.edge_centre, terms)
        alpha, beta = (features.new_tensor(modules.array(name)) for name in ("alpha", "beta"))
        message = modules.linear_1(modules.sum_over_neighbours(features, inputs)) / (density * beta + alpha)
        message = modules.linear_2(modules.gate(message + modules.linear_res(features)))
        return message, modules.skip_tp(inputs.features)

    def lower(self, lowering: "InteractionLowering") -> "LoweredInteraction":
        gate = gate_irreps(lowering.layer.irreps_message)
        n_scalars = _n_scalars(lowering.layer.irreps_in)
        radial, density = (
            lowering.normalized_network(name, *_EMBEDDINGS, n_scalars) for name in ("conv_tp_weights", "density_fn")
        )
        residual = lowering.edge_linear("linear_res", gate)
        return lowering.lowered(
            message=lowering.message("linear_1", 1.0, irreps_out=gate),
            skip=lowering.linear("skip_tp", lowering.layer.irreps_in, lowering.layer.irreps_out),
            radial=radial,
            density=lowering.density(density, offset="alpha", factor="beta"),
            gate=lowering.gate(residual, after="linear_2"),
        )


def gate_irreps(irreps_message: str) -> str:
    """Return the irreps before the gate: the scalars of the message, a gate for each other copy, and the others."""
    entries = parse_irreps(irreps_message)
    n_gates = sum(entry.mul for entry in entries if entry.order > 0)
    scalars = Entry(_n_scalars(irreps_message) + n_gates, 0, 1)
    return format_irreps([scalars, *(entry for entry in entries if entry.order > 0)])


def _n_scalars(irreps: str) -> int:
    return sum(entry.mul for entry in parse_irreps(irreps) if entry.kind == (0, 1))


register(RealAgnosticResidualNonLinear())
