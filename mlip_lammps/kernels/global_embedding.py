"""Constants of what global inputs, such as the total charge, add to the features before the first layer."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class GlobalTable:
    """A vector for each whole number; tensors in float64.

    Attributes
    ----------
    rows
        Vectors, shape (n_classes, n_channels).
    offset
        Row of the input 0.
    """

    rows: Tensor
    offset: int


@dataclass(frozen=True)
class GlobalNetwork:
    """A network of one number with one hidden layer of silu; tensors in float64.

    Attributes
    ----------
    matrices, biases
        Shapes (1, width) and (width, n_channels), and (width,) and (n_channels,).
    """

    matrices: tuple[Tensor, Tensor]
    biases: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class GlobalEmbedding:
    """The added features are silu of the sum over the inputs.

    Attributes
    ----------
    inputs
        In the order of the tensor ``global_inputs``.
    readout
        Energy of the features before the first layer in eV, shape (n_channels,); None without a readout.
    """

    inputs: tuple[GlobalTable | GlobalNetwork, ...]
    readout: Tensor | None
