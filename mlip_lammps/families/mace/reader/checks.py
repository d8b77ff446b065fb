"""Checks that e3nn modules have the irreps, paths and normalisations of the spec.

The spec stores no path weights. The path weights in a file must therefore equal e3nn's defaults.
"""

import math
from typing import Any

from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.families.checkpoints.pickle_reader import GlobalName, Record
from mlip_lammps.families.irreps import Entry, format_irreps, linear_pairs, parse_irreps, simplify_irreps
from mlip_lammps.families.mace.reader.module import Module

_RELATIVE = 1e-9
"""Relative tolerance: path weights are square roots of small fractions in double precision."""

NORM_EPSILON = 1e-5
"""Added to the variance in a layer norm: torch's default."""

_GATES = {"torch.nn.functional.silu": "silu", "tanh": "tanh", "abs": "abs"}
"""Gates of readouts by the names in files."""


def require(condition: bool, module: Module, what: str, found: str) -> None:
    """Raise ``UnsupportedModelError`` if a module differs from that of a supported MACE model."""
    if not condition:
        raise UnsupportedModelError(
            f"{what} of {module.label} is {found}, which no supported MACE model has; "
            "train with mace-torch's defaults for this module"
        )


def linear(module: Module, has_biases: bool = False) -> tuple[str, str]:
    """Return the irreps of an ``o3.Linear`` with all connections, and with a bias for every output or for none."""
    module.require_class("Linear")
    irreps_in, irreps_out = module.irreps("irreps_in"), module.irreps("irreps_out")
    pairs = linear_pairs(irreps_in, irreps_out)
    wanted = [
        (i, k, (irreps_in[i].mul, irreps_out[k].mul), _fan_in(irreps_in, pairs, k) ** -0.5) for i, k in pairs
    ]
    if has_biases:
        wanted += [(-1, k, (entry.mul,), 1.0) for k, entry in enumerate(irreps_out)]
    _compare(module, wanted)
    return format_irreps(irreps_in), format_irreps(irreps_out)


def message_linear(module: Module, irreps_mid: str) -> str:
    """Return the output irreps of the linear map of the summed messages.

    Versions of mace-torch up to 0.3.8 merge neighbouring entries of its input that have one kind. Its weights are the
    same numbers in the same order, with the same fan-in, if every kind occurs once in the output.
    """
    linear_in, irreps_message = linear(module)
    merged = format_irreps(simplify_irreps(parse_irreps(irreps_mid)))
    require(linear_in in (irreps_mid, merged), module, "irreps_in", linear_in)
    kinds = [entry.kind for entry in parse_irreps(irreps_message)]
    require(linear_in == irreps_mid or len(set(kinds)) == len(kinds), module, "irreps_out", irreps_message)
    return irreps_message


def element_product(module: Module, n_elements: int) -> tuple[str, str]:
    """Return the irreps of an ``o3.FullyConnectedTensorProduct`` with one-hot elements."""
    module.require_class("FullyConnectedTensorProduct")
    irreps_in, irreps_out = module.irreps("irreps_in1"), module.irreps("irreps_out")
    elements = format_irreps(module.irreps("irreps_in2"))
    require(elements == f"{n_elements}x0e", module, "irreps_in2", elements)
    pairs = linear_pairs(irreps_in, irreps_out)
    wanted = [
        (
            i, 0, k, "uvw", True,
            (irreps_out[k].dim / (n_elements * _fan_in(irreps_in, pairs, k))) ** 0.5,
            (irreps_in[i].mul, n_elements, irreps_out[k].mul),
        )
        for i, k in pairs
    ]  # fmt: skip
    _compare(module, wanted)
    return format_irreps(irreps_in), format_irreps(irreps_out)


def convolution(
    module: Module, harmonics: tuple[Entry, ...]
) -> tuple[str, str, tuple[tuple[int, int, int], ...]]:
    """Return the irreps and paths of the tensor product of neighbour features and spherical harmonics."""
    module.require_class("TensorProduct")
    irreps_in, irreps_mid = module.irreps("irreps_in1"), module.irreps("irreps_out")
    found = module.irreps("irreps_in2")
    require(found == harmonics, module, "irreps_in2", format_irreps(found))
    paths, wanted = [], []
    for number, instruction in enumerate(_instructions(module)):
        require(len(instruction) == 7, module, f"instruction {number}", f"of {len(instruction)} entries")
        i, order, k = instruction[:3]
        is_path = all(type(value) is int for value in (i, order, k))
        is_path = is_path and 0 <= i < len(irreps_in) and 0 <= order < len(harmonics) and 0 <= k < len(irreps_mid)
        require(is_path, module, f"instruction {number}", "not a path between its irreps")
        paths.append((i, order, k))
        wanted.append((i, order, k, "uvu", True, irreps_mid[k].dim ** 0.5, (irreps_in[i].mul, 1)))
    _compare(module, wanted)
    require(len({k for _, _, k in paths}) == len(paths), module, "instructions", "a list with two paths to one output")
    return format_irreps(irreps_in), format_irreps(irreps_mid), tuple(paths)


def spherical_harmonics(module: Module) -> tuple[Entry, ...]:
    """Return the irreps of spherical harmonics of normalised vectors with component normalisation."""
    irreps = module.irreps("irreps_out")
    wanted = [tuple(Entry(1, order, parity**order) for order in range(len(irreps))) for parity in (-1, 1)]
    require(irreps in wanted, module, "irreps_out", format_irreps(irreps))
    require(module.attribute("normalize") is True, module, "normalize", "False")
    normalization = module.attribute("normalization")
    require(normalization == "component", module, "normalization", _shown(normalization))
    return irreps


def radial_mlp(module: Module) -> tuple[tuple[int, ...], float]:
    """Return the hidden widths and the activation scale of a ``FullyConnectedNet`` with silu."""
    module.require_class("FullyConnectedNet")
    layers = module.children()
    require(len(layers) >= 1, module, "depth", f"{len(layers)} layers")
    for layer in layers:
        variances = (layer.attribute("var_in"), layer.attribute("var_out"))
        require(variances in ((1, 1), (1.0, 1.0)), layer, "variance", "not 1")
    scales = {activation_scale(layer.child("act")) for layer in layers[:-1]}
    require(len(scales) <= 1, module, "activation", "not the same in all layers")
    require(not layers[-1].has_child("act"), layers[-1], "activation", "present after the last layer")
    return tuple(layer.array("weight").shape[-1] for layer in layers[:-1]), scales.pop() if scales else 1.0


def normalized_mlp(module: Module) -> tuple[int, ...]:
    """Return the hidden widths of a ``RadialMLP``: linear maps with biases, layer norms and silu in turn."""
    module.require_class("RadialMLP")
    steps = module.child("net").children()
    require(len(steps) % 3 == 1, module, "depth", f"{len(steps)} steps")
    for number, step in enumerate(steps):
        step.require_class(("Linear", "LayerNorm", "SiLU")[number % 3])
        if step.class_name == "LayerNorm":
            epsilon = step.attribute("eps")
            require(epsilon == NORM_EPSILON, step, "eps", _shown(epsilon))
    return tuple(step.array("weight").shape[0] for step in steps[:-1:3])


def require_gate(module: Module, irreps_message: str) -> None:
    """Raise unless a gate acts on the scalars of the message, and with gates on its other irreps."""
    if module.class_name != "Gate":
        module.require_class("GatedEquivariantBlock")
    for name, is_scalar in (("irreps_scalars", True), ("irreps_gated", False)):
        found = format_irreps(module.irreps(name))
        expected = format_irreps(entry for entry in parse_irreps(irreps_message) if (entry.order == 0) == is_scalar)
        require(found == expected, module, name, found)


def density_function(module: Module) -> None:
    """Raise unless a ``FullyConnectedNet`` is one matrix, to one number, without an activation."""
    module.require_class("FullyConnectedNet")
    layers = module.children()
    require(len(layers) == 1, module, "depth", f"{len(layers)} layers")
    variances = (layers[0].attribute("var_in"), layers[0].attribute("var_out"))
    require(variances in ((1, 1), (1.0, 1.0)), layers[0], "variance", "not 1")
    require(not layers[0].has_child("act"), layers[0], "activation", "present")


def scalar_activation(module: Module) -> tuple[str, float, str]:
    """Return the irreps, the scale and the gate of an ``Activation`` on even scalars."""
    module.require_class("Activation")
    irreps = module.irreps("irreps_in")
    is_scalar = len(irreps) == 1 and irreps[0].kind == (0, 1)
    require(is_scalar, module, "irreps_in", format_irreps(irreps))
    acts = module.child("acts")
    require(acts.has_child("0"), module, "gate", "missing")
    if acts.is_empty("0"):
        return format_irreps(irreps), 1.0, "identity"
    act = acts.child("0")
    name = _function_name(act) if not act.has_child("f") else "silu"
    gate = _GATES.get(name, name)
    require(gate in _GATES.values() or act.has_child("f"), act, "gate", name)
    return format_irreps(irreps), activation_scale(act, name), gate


def activation_scale(module: Module, function: str = "torch.nn.functional.silu") -> float:
    """Return the constant by which ``normalize2mom`` multiplies ``function``."""
    module.require_class("normalize2mom")
    if module.has_child("f"):
        module.child("f").require_class("SiLU")
    else:
        name = _function_name(module)
        require(name == function, module, "gate", name)
    return 1.0 if module.attribute("_is_id", False) is True else module.number("cst")


def _function_name(module: Module) -> str:
    function = module.attribute("f")
    if isinstance(function, GlobalName):
        return function.name
    if isinstance(function, Record) and len(function.args) == 2:  # getattr of a class and a name
        return str(function.args[1])
    return type(function).__name__


def _fan_in(irreps_in: tuple[Entry, ...], pairs: list[tuple[int, int]], k: int) -> int:
    return sum(irreps_in[i].mul for i, out in pairs if out == k)


def _instructions(module: Module) -> list[tuple]:
    instructions = module.attribute("instructions")
    is_list = isinstance(instructions, list) and all(isinstance(one, Record) for one in instructions)
    require(is_list, module, "instructions", "not a list")
    return [one.args for one in instructions]


def _compare(module: Module, wanted: list[tuple]) -> None:
    found = _instructions(module)
    require(len(found) == len(wanted), module, "instructions", f"a list of {len(found)} (expected {len(wanted)})")
    for number, (one, expected) in enumerate(zip(found, wanted, strict=True)):
        is_same = len(one) == len(expected) and all(map(_is_same, one, expected))
        require(is_same, module, f"instruction {number}", "not e3nn's default for these irreps")


def _is_same(found: Any, expected: Any) -> bool:
    if isinstance(expected, tuple):
        return isinstance(found, tuple) and len(found) == len(expected) and all(map(_is_same, found, expected))
    if isinstance(expected, float):
        return isinstance(found, int | float) and math.isclose(found, expected, rel_tol=_RELATIVE)
    return type(found) is type(expected) and found == expected


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str | int | float) else type(value).__name__
