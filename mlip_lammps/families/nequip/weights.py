"""The weights of a NequIP model in the normalisation of ``GatedModel``. This module does not import torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.gated.spec import GatedSpec, Weights
from mlip_lammps.families.irreps import linear_pairs, linear_size, parse_irreps
from mlip_lammps.families.nequip.arrays import Arrays
from mlip_lammps.families.nequip.design import Design

READOUT = "per_atom_energy_readout.mlp_module.mlp"


def radial_home(t: int) -> str:
    """Return the name of the radial network of a layer."""
    return f"layer{t}_convnet.conv.edge_mlp.mlp"


@dataclass(frozen=True)
class Constants:
    """Numbers that are no arrays of a state dict.

    Attributes
    ----------
    source_factors
        What multiplies the features that atoms send in each layer, one over the square root of the number of
        neighbours: a number, or one for each type.
    matrix_factors
        What multiplies the matrices of networks, by network and number, if the file has them; otherwise they are those
        of NequIP.
    precision
        Precision to which NequIP rounds what it multiplies matrices by.
    """

    source_factors: tuple[NDArray[np.float64], ...]
    matrix_factors: Mapping[tuple[str, int], float] = field(default_factory=dict)
    precision: str = "float64"


def weights_of(design: Design, spec: GatedSpec, arrays: Arrays, constants: Constants, source: str) -> Weights:
    """Return the weights.

    Raises
    ------
    ModelFileError
        If an array is missing or has another shape.
    """
    n_elements = len(spec.atomic_numbers)
    embedding = arrays["type_embed.embed_module.weight"].astype(np.float64)
    weights: Weights = {
        "wave_numbers": math.pi / spec.cutoff * arrays["bessel_encode.bessel_weights"].astype(np.float64).reshape(-1),
        "embedding.weight": (n_elements**0.5 * embedding).reshape(-1),
    }
    networks = _Networks(arrays, constants)
    for k in range(len(spec.readout)):
        n_matrices = len(spec.readout)
        matrix = networks.matrix(READOUT, k, n_matrices, design.readout_activation is not None)
        weights[f"readout.{k}.weight"] = matrix.reshape(-1)
    for t, layer in enumerate(spec.layers):
        home = f"layer{t}_convnet.conv"
        n_matrices = len(layer.radial_widths) + 1
        for k in range(n_matrices):
            matrix = networks.matrix(radial_home(t), k, n_matrices, is_activated=True)
            weights[f"layers.{t}.radial.{k}.weight"] = matrix
        weights[f"layers.{t}.denominator"] = np.array(1.0 / constants.source_factors[t])
        for name, part in (("up", "linear_1"), ("message", "linear_2")):
            weights[f"layers.{t}.{name}.weight"] = arrays[f"{home}.{part}.weight"]
        if layer.self_connection == "element":
            self_connection = arrays[f"{home}.sc.weight"].astype(np.float64)
            weights[f"layers.{t}.self_connection.weight"] = _by_element(
                self_connection, embedding, layer.irreps_in, layer.gate.irreps_in
            )
    for part, default in (("shift", 0.0), ("scale", 1.0)):
        array = arrays[f"per_type_energy_scale_shift.{part}s"].astype(np.float64).reshape(-1)
        array = np.full(1, default) if array.size == 0 else array
        weights[part] = np.broadcast_to(array, (n_elements,)).copy() if array.size == 1 else array
    if (cutoffs := _pair_cutoffs(spec, arrays, source)) is not None:
        weights["pair_cutoffs"] = cutoffs
    for name in arrays.records:
        head, mark, orders = name.rpartition("._w3j_")
        if mark and head.endswith("tp._compiled_main_left_right"):
            weights[f"couplings.{orders}"] = arrays[name]
    return weights


def _pair_cutoffs(spec: GatedSpec, arrays: Arrays, source: str) -> NDArray[np.float64] | None:
    """Return the cutoffs of pairs in angstrom; None if there is one cutoff, which must be that of the model."""
    inverse = arrays["edge_norm._rmax_recip"].astype(np.float64)
    if not (inverse > 0).all():
        raise ModelFileError(f"a cutoff of {source} is not positive; copy the file again")
    if spec.has_pair_cutoffs:
        n_elements = len(spec.atomic_numbers)
        if inverse.size != n_elements**2:
            raise ModelFileError(f"{source} has {inverse.size} cutoffs of pairs, expected {n_elements**2}")
        return (1.0 / inverse).reshape(n_elements, n_elements)
    if inverse.size != 1 or abs(float(inverse.reshape(-1)[0]) * spec.cutoff - 1.0) > 1e-12:
        raise ModelFileError(f"the cutoff of the edges of {source} is not r_max {spec.cutoff}; copy the file again")
    return None


@dataclass(frozen=True)
class _Networks:
    arrays: Arrays
    constants: Constants

    def matrix(self, home: str, k: int, n_matrices: int, is_activated: bool) -> NDArray[np.float64]:
        """Return a matrix of a network, whose activations are not normalised, in e3nn's normalisation."""
        matrix = self._array(home, k)
        given = self.constants.matrix_factors.get((home, k))
        factor = self._factor(home, k, n_matrices, is_activated) if given is None else given
        return matrix * factor * matrix.shape[0] ** 0.5

    def _array(self, home: str, k: int) -> NDArray[np.float64]:
        deep = f"{home}.weights.{k}"
        matrix = self.arrays[deep if deep in self.arrays else f"{home}.{2 * k}.weight"].astype(np.float64)
        if matrix.ndim != 2:
            raise ModelFileError(f"{home} has a weight of {matrix.ndim} dimensions, expected a matrix; copy it again")
        return matrix

    def _factor(self, home: str, k: int, n_matrices: int, is_activated: bool) -> float:
        """Return NequIP's factor of a matrix, rounded as the model has it.

        A network without activations multiplies the product of its matrices by the product of the factors.
        """
        precision = np.dtype(self.constants.precision).type
        if is_activated or n_matrices == 1:
            return float(precision((1.0 if k == 0 else math.sqrt(2.0)) / math.sqrt(self._array(home, k).shape[0])))
        if k > 0:
            return 1.0
        factors = [precision(1.0 / math.sqrt(self._array(home, n).shape[0])) for n in range(n_matrices)]
        return float(math.prod(factors[1:], start=factors[0]))


def _by_element(weight: np.ndarray, embedding: np.ndarray, irreps_in: str, irreps_out: str) -> np.ndarray:
    """Return a tensor product with the embeddings of elements as one with one-hot elements."""
    before, after = parse_irreps(irreps_in), parse_irreps(irreps_out)
    n_elements, n_embedding = embedding.shape
    if weight.size != n_embedding * linear_size(before, after):
        raise ModelFileError(f"a self-connection has {weight.size} weights, which do not fit its irreps; copy it again")
    blocks, offset = [], 0
    for i, k in linear_pairs(before, after):
        shape = before[i].mul, n_embedding, after[k].mul
        block = weight[offset : offset + math.prod(shape)].reshape(shape)
        by_element = np.einsum("uvw,zv->uzw", block, embedding) * (n_elements / n_embedding) ** 0.5
        blocks.append(by_element.reshape(-1))
        offset += math.prod(shape)
    return np.concatenate(blocks)
