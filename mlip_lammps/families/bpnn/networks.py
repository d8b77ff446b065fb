"""Networks of an input.nn: their widths and activation functions. This module does not import torch."""

from collections.abc import Sequence

from ase.data import chemical_symbols

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.bpnn.input_file import InputFile
from mlip_lammps.families.bpnn.spec import NetworkSpec

ACTIVATIONS = {
    "l": "identity",
    "t": "tanh",
    "s": "logistic",
    "p": "softplus",
    "r": "relu",
    "g": "gaussian",
    "c": "cos",
    "S": "reversed logistic",
    "e": "exp",
    "h": "harmonic",
}
"""Activation functions by their letter."""
_WIDEST, _DEEPEST = 10_000, 50


def network_specs(file: InputFile, elements: Sequence[int]) -> tuple[NetworkSpec, ...]:
    """Return the network of each element; entries of one element take precedence over global ones.

    Raises
    ------
    ModelFileError
        If widths or activation functions are missing, or do not match the number of hidden layers.
    UnsupportedModelError
        If an activation function is not known.
    """
    return tuple(_network(file, elements, number) for number in elements)


def _network(file: InputFile, elements: Sequence[int], number: int) -> NetworkSpec:
    symbol = chemical_symbols[number]
    n_global = file.words("global_hidden_layers_short")
    n_hidden = _words_of(file, "hidden_layers", elements, number, n_global)
    if n_hidden is None:
        raise ModelFileError(f"{file.path} lacks the keyword global_hidden_layers_short; add it")
    # Global widths are those of networks with the global number of layers only.
    is_global = n_global is not None and n_hidden[:1] == n_global[:1]
    parts = {}
    for part in ("nodes", "activation"):
        words = _words_of(file, part, elements, number, file.words(f"global_{part}_short") if is_global else None)
        if words is None:
            raise ModelFileError(f"{file.path} lacks the keyword global_{part}_short for {symbol}; add it")
        parts[part] = words
    widths = [int(word) if word.isdigit() else 0 for word in parts["nodes"]]
    letters = parts["activation"]
    count = int(n_hidden[0]) if n_hidden[0].isdigit() else -1
    if not 0 < count <= _DEEPEST or len(widths) != count or not all(0 < width <= _WIDEST for width in widths):
        raise ModelFileError(
            f"{file.path} gives {n_hidden[0]} hidden layers with the nodes {' '.join(parts['nodes'])} for {symbol}, "
            "expected one number of nodes for each layer; correct the file"
        )
    if len(letters) != count + 1:
        raise ModelFileError(
            f"{file.path} gives the activation functions {' '.join(letters)} for {symbol}, expected {count + 1}, one "
            "for each hidden layer and one for the output; correct the file"
        )
    for letter in letters:
        if letter not in ACTIVATIONS:
            raise UnsupportedModelError(
                f"{file.path} has the activation function {letter}, and this package supports "
                f"{' '.join(ACTIVATIONS)}; train with these"
            )
    return NetworkSpec((*widths, 1), tuple(ACTIVATIONS[letter] for letter in letters))


def _words_of(
    file: InputFile, part: str, elements: Sequence[int], number: int, otherwise: list[str] | None
) -> list[str] | None:
    """Return the words of ``element_PART_short`` for an element, else those of the global keyword."""
    for words in file.every(f"element_{part}_short"):
        if len(words) > 1 and elements[file.element(words[0], elements)] == number:
            return words[1:]
    return otherwise
