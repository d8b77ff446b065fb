"""Names of the arrays in a state dict of TorchANI, of versions 1 and 2. This module does not import torch."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers as number_of_symbol
from ase.data import chemical_symbols

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.ani.parts import Floats, LayerParts, Parts

_POTENTIAL = r"(?:potentials\.(?:nnp|2)\.)?"
_TERMS = re.compile(_POTENTIAL + r"aev_computer\.(?:(radial|angular)(?:_terms)?\.)?(\w+)")
_OLD_TERMS = {
    "EtaR": ("radial", "eta"),
    "ShfR": ("radial", "shifts"),
    "EtaA": ("angular", "eta"),
    "Zeta": ("angular", "zeta"),
    "ShfA": ("angular", "shifts"),
    "ShfZ": ("angular", "sections"),
}
_NETWORK = re.compile(
    _POTENTIAL + r"neural_networks\.(?:members\.)?(?:(\d+)\.)?(?:atomics\.)?"
    r"([A-Z][a-z]?)\.(?:layers\.)?(\d+|final_layer)\.(weight|bias)"
)
_REPULSION = re.compile(r"potentials\.(?:repulsion_xtb|1)\.(y|sqrt_alpha|k_rep)_ab")
_DISPERSION = re.compile(r"potentials\.(?:dispersion_d3|0)\.")
_WITHOUT_MEANING = (
    "atomic_numbers", "conv_tensor", "_conv_tensor", "triu_index", "default_shifts", "default_cell",
)  # fmt: skip
_LAST = 1 << 30


def is_state_dict(content: object) -> bool:
    """Return whether an object of a file is a dictionary with the names of an ANI potential."""
    return isinstance(content, dict) and any(
        isinstance(name, str) and _TERMS.fullmatch(name) is not None for name in content
    )


def parts_of(arrays: Mapping[str, Floats], path: Path, members: Sequence[int] | None = None) -> Parts:
    """Return the numbers of a state dict.

    Parameters
    ----------
    members
        Members of the ensemble to take; all of them if None.

    Raises
    ------
    ModelFileError
        If arrays are missing.
    UnsupportedModelError
        If there are arrays of parts that are not supported; the message names one.
    """
    terms: dict[str, dict[str, Floats]] = {"radial": {}, "angular": {}}
    networks: dict[int, dict[str, dict[int, dict[str, Floats]]]] = {}
    repulsion = {}
    for name, array in arrays.items():
        if _DISPERSION.match(name):
            raise UnsupportedModelError(
                f"{path} has a D3 dispersion correction ({name}), which this package does not support; use a model "
                "without it, such as ANI-2xr"
            )
        if name.rpartition(".")[2] in _WITHOUT_MEANING or name == "energy_shifter.self_energies":
            continue
        if found := _NETWORK.fullmatch(name):
            member, symbol, layer, part = found.groups()
            place = _LAST if layer == "final_layer" else int(layer)
            of_element = networks.setdefault(int(member or 0), {}).setdefault(symbol, {})
            of_element.setdefault(place, {})[part] = array
        elif found := _REPULSION.fullmatch(name):
            repulsion["k" if found[1] == "k_rep" else found[1]] = array
        elif (found := _TERMS.fullmatch(name)) and (found[1] or found[2] in _OLD_TERMS):
            kind, part = (found[1], found[2]) if found[2] not in _OLD_TERMS else _OLD_TERMS[found[2]]
            terms[kind][part] = array.reshape(-1)
        else:
            raise UnsupportedModelError(
                f"{path} has the array {name}, which no supported ANI potential has; give a model of TorchANI with "
                "ANINetworks and the terms ANIRadial and ANIAngular"
            )
    chosen = sorted(networks) if members is None else [one for one in members if one in networks]
    numbers = _elements(arrays, networks, path)
    try:
        return Parts(
            numbers,
            {name: terms["radial"][name] for name in ("eta", "shifts")},
            {name: terms["angular"][name] for name in ("eta", "zeta", "shifts", "sections")},
            tuple(tuple(_layers(networks[m][chemical_symbols[z]]) for z in numbers) for m in chosen),
            arrays["energy_shifter.self_energies"],
            {name: repulsion[name] for name in ("y", "sqrt_alpha", "k")} if repulsion else {},
        )
    except KeyError as error:
        raise ModelFileError(
            f"{path} lacks the array {error.args[0]} of an ANI potential; copy the file again"
        ) from error


def _elements(arrays: Mapping[str, Floats], networks: dict, path: Path) -> tuple[int, ...]:
    """Return the atomic numbers in the order of the inputs; older files have them as the order of the networks only."""
    symbols = list(next(iter(networks.values()), {}))
    if not symbols or not all(symbol in number_of_symbol for symbol in symbols):
        raise ModelFileError(
            f"{path} has no networks of elements ({', '.join(symbols)}); give the state dict of a whole model"
        )
    if "atomic_numbers" in arrays:
        return tuple(int(number) for number in arrays["atomic_numbers"].reshape(-1))
    return tuple(number_of_symbol[symbol] for symbol in symbols)


def _layers(layers: dict[int, dict[str, Floats]]) -> tuple[LayerParts, ...]:
    found = [layers[place] for place in sorted(layers)]
    for one in found:
        if np.ndim(one["weight"]) != 2:
            raise KeyError("weight with two axes")
    return tuple(LayerParts(one["weight"], one.get("bias")) for one in found)
