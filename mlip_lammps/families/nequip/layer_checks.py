"""Checks that the modules of a layer compute what its specification says. This module does not import torch."""

import math
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.pickle_reader import GlobalName, Record
from mlip_lammps.families.gated.irreps import harmonics
from mlip_lammps.families.gated.spec import GatedLayerSpec, GatedSpec
from mlip_lammps.families.irreps import Entry, linear_fan_in, linear_pairs, parse_irreps
from mlip_lammps.families.nequip.modules import Module

_PATH_TOLERANCE = 1e-6
"""Relative; versions of e3nn store the factors of paths as numbers of different precision."""


def check_layer(layer: Module, spec: GatedLayerSpec, model: GatedSpec) -> None:
    """Raise unless the convolution, linear maps, self-connection and gate of a layer are those of the specification."""
    block = layer.child("conv", "InteractionBlock")
    before, mid = parse_irreps(spec.irreps_in), parse_irreps(spec.irreps_mid)
    gate_in, edge = parse_irreps(spec.gate.irreps_in), harmonics(model.l_max, model.has_odd_harmonics)
    product = block
    if "tp_scatter" in block.child_names():
        product = block.child("tp_scatter", "TensorProductScatter")
    product = product.child("tp", "TensorProduct")
    paths = [(i, order, k, "uvu", True, math.sqrt(mid[k].dim)) for i, order, k in spec.paths]
    _check_product(product, (before, edge, mid), paths)
    message_in = parse_irreps(spec.message.irreps_in)
    for name, given, wanted in (("linear_1", before, before), ("linear_2", message_in, gate_in)):
        linear = block.child(name, "Linear")
        expected = [(i, k, 1.0 / math.sqrt(linear_fan_in(given, wanted, k))) for i, k in linear_pairs(given, wanted)]
        found = [(*_args(one)[:2], _args(one)[-1]) for one in linear.value("instructions")]
        are_equal = (linear.irreps("irreps_in"), linear.irreps("irreps_out")) == (given, wanted)
        if not are_equal or not _agree(found, expected) or linear.array("bias").size:
            raise UnsupportedModelError(f"{linear.label} is another map than that of NequIPGNNModel")
    if (spec.self_connection == "element") != ("sc" in block.child_names()):
        raise UnsupportedModelError(f"{block.label} has other self-connections than NequIPGNNModel")
    if spec.self_connection == "element":
        n_embedding = parse_irreps(model.embedding.irreps_out)[0].mul
        sizes = {k: n_embedding * linear_fan_in(before, gate_in, k) for k in range(len(gate_in))}
        paths = [(i, 0, k, "uvw", True, math.sqrt(gate_in[k].dim / sizes[k])) for i, k in linear_pairs(before, gate_in)]
        product = block.child("sc", "FullyConnectedTensorProduct")
        _check_product(product, (before, (Entry(n_embedding, 0, 1),), gate_in), paths)
    gate = layer.child("equivariant_nonlin")
    if gate.irreps("_irreps_in") != gate_in or gate.irreps("_irreps_out") != parse_irreps(spec.irreps_out):
        raise UnsupportedModelError(f"{gate.label} has other irreps than {spec.gate.irreps_in}")


def _check_product(module: Module, irreps: tuple[tuple[Entry, ...], ...], paths: list[tuple[Any, ...]]) -> None:
    found = [_args(one)[:6] for one in module.value("instructions")]
    names = ("irreps_in1", "irreps_in2", "irreps_out")
    if tuple(module.irreps(name) for name in names) != irreps or not _agree(found, paths):
        raise UnsupportedModelError(f"{module.label} is another tensor product than that of NequIPGNNModel")


def _args(instruction: Any) -> tuple[Any, ...]:
    if not isinstance(instruction, Record):
        raise ModelFileError("an instruction of a tensor product is not readable; copy the file again")
    return tuple(one.name if isinstance(one, GlobalName) else one for one in instruction.args)


def _agree(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> bool:
    """Return whether instructions have the same parts, with a number at their end that may be rounded."""
    if [one[:-1] for one in found] != [one[:-1] for one in expected]:
        return False
    return all(
        isinstance(a[-1], int | float) and abs(a[-1] - b[-1]) < _PATH_TOLERANCE * abs(b[-1])
        for a, b in zip(found, expected, strict=True)
    )
