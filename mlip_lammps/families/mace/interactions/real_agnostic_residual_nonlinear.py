"""``RealAgnosticResidualNonLinearInteractionBlock``: a gated message, with radial functions of both elements."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from mlip_lammps.families.mace.interactions import register
from mlip_lammps.families.mace.interactions.block import InteractionBlock, Shapes, linear_up_shapes, n_radial_weights
from mlip_lammps.families.mace.irreps import Entry, format_irreps, linear_size, parse_irreps
from mlip_lammps.families.mace.reader import checks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reader.module import Module
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs
    from mlip_lammps.families.mace.spec import LayerSpec, ModelSpec
    from mlip_lammps.kernels.lowered import RadialNetwork

_EMBEDDINGS = ("source_embedding", "target_embedding")
"""Of the neighbour's and of the centre's element, in the order in which the networks take them."""
_DENSITY_WIDTHS = (64,)
"""Hidden widths of the density network."""


class RealAgnosticResidualNonLinear(InteractionBlock):
    """A message divided by beta density + alpha, plus a map of the centre's features, through a gate and a linear map.

    Its radial network and its density network take embeddings of both elements beside the radial basis.
    """

    name = "RealAgnosticResidualNonLinearInteractionBlock"

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
        from e3nn import nn, o3
        from torch.nn import functional

        layer, gate = modules.layer, gate_irreps(modules.layer.irreps_message)
        modules.add_linear("linear_1", layer.irreps_mid, gate)
        modules.add_linear("linear_2", layer.irreps_message, layer.irreps_message)
        modules.add_linear("linear_res", layer.irreps_edge, gate)
        modules.add_linear("skip_tp", layer.irreps_in, layer.irreps_out)
        for name in _EMBEDDINGS:
            modules.add_linear(name, f"{modules.n_elements}x0e", f"{_n_scalars(layer.irreps_in)}x0e")
        message = o3.Irreps(layer.irreps_message)
        scalars = [entry for entry in message if entry.ir.l == 0]
        gated = [entry for entry in message if entry.ir.l > 0]
        modules.gate = nn.Gate(
            o3.Irreps(scalars),
            [functional.silu for _ in scalars],
            o3.Irreps([(mul, "0e") for mul, _ in gated]),
            [functional.sigmoid for _ in gated],
            o3.Irreps(gated),
        ).to(modules.dtype)

    def radial_network(self, modules: "InteractionModules") -> "nn.Module":
        from mlip_lammps.families.mace.reference.radial import NormalizedMLP

        modules.density_network = NormalizedMLP(modules.arrays_of("density_fn"), modules.dtype)
        return NormalizedMLP(modules.arrays_of("conv_tp_weights"), modules.dtype)

    def radial_inputs(self, modules: "InteractionModules", inputs: "LayerInputs") -> "Tensor":
        import torch

        source = modules.source_embedding(inputs.one_hot)[inputs.edge_neighbour]
        target = modules.target_embedding(inputs.one_hot)[inputs.edge_centre]
        return torch.cat([inputs.basis, source, target], dim=1)

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
        from e3nn import o3
        from e3nn.math import normalize2mom
        from torch.nn import functional

        from mlip_lammps.kernels.lowered import Density, Gate

        gate = o3.Irreps(gate_irreps(lowering.layer.irreps_message))
        return lowering.lowered(
            message=lowering.message("linear_1", 1.0, irreps_out=gate),
            skip=lowering.linear("skip_tp", lowering.irreps_in, lowering.irreps_out),
            radial=self._network(lowering, "conv_tp_weights"),
            density=Density(
                self._network(lowering, "density_fn"), float(lowering.array("alpha")), float(lowering.array("beta"))
            ),
            gate=Gate(
                residual=lowering.linear("linear_res", lowering.irreps_edge, gate),
                orders=tuple(ir.l for _, ir in lowering.irreps_message if ir.l > 0),
                scalar_scale=normalize2mom(functional.silu).cst,
                gate_scale=normalize2mom(functional.sigmoid).cst,
                linear=lowering.linear("linear_2", lowering.irreps_message, lowering.irreps_message),
            ),
        )

    @staticmethod
    def _network(lowering: "InteractionLowering", name: str) -> "RadialNetwork":
        """Return a network whose first matrix acts on the basis; what it adds for a pair of elements is a bias."""
        from mlip_lammps.kernels.lowered import RadialNetwork

        n_scalars = _n_scalars(lowering.layer.irreps_in)
        first, *others = lowering.arrays(f"{name}.net.{{}}.weight", 3)
        biases = lowering.arrays(f"{name}.net.{{}}.bias", 3)
        from_basis, from_source, from_target = first.split([first.shape[1] - 2 * n_scalars, n_scalars, n_scalars], 1)
        source, target = (lowering.element_rows(embedding, n_scalars) for embedding in _EMBEDDINGS)
        of_pairs = (target @ from_target.t())[:, None] + source @ from_source.t()
        norms = [lowering.arrays(f"{name}.net.{{}}.{part}", 3, 1) for part in ("weight", "bias")]
        return RadialNetwork(
            matrices=tuple(matrix.t().contiguous() for matrix in (from_basis, *others)),
            biases=tuple(biases),
            norms=tuple(zip(*norms, strict=True)),
            pair_biases=of_pairs.flatten(0, 1),
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
