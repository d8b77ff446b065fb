"""Modules that mace-torch converted for cuEquivariance, seen as the e3nn modules that they were made from.

Weights of linear maps and tensor products are the same numbers in the same order. Those of the product basis belong to
another basis of polynomials, which the file contains as lists of terms. Layouts (``mul_ir``, ``ir_mul``) permute the
features of a running model, and not its weights.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.checkpoints.pickle_reader import GlobalName, Record, conversion_refusal
from mlip_lammps.families.irreps import Entry
from mlip_lammps.families.mace.reader.module import ADAPTED, Module

_CUE = "cuequivariance"
_GROUP = "mace.tools.cg.O3_e3nn"
"""The irreps of e3nn: other groups of cuEquivariance have other signs."""
_TOLERANCE = 1e-6
"""Relative tolerance of couplings: mace-torch computes those of float32 models in float32."""
_MOST_NUMBERS = 1 << 26
"""Largest dense array of couplings (0.5 GB); the file has only its terms."""
_ARRAYS = ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct")

NAMES = frozenset(
    {
        f"{_CUE}.group_theory.equivariant_polynomial.EquivariantPolynomial",
        f"{_CUE}.group_theory.irreps_array.irreps.Irreps",
        f"{_CUE}.group_theory.irreps_array.irreps.MulIrrep",
        f"{_CUE}.group_theory.irreps_array.irreps_and_layout.IrrepsAndLayout",
        f"{_CUE}.group_theory.irreps_array.irreps_layout.IrrepsLayout",
        f"{_CUE}.segmented_polynomials.operation.Operation",
        f"{_CUE}.segmented_polynomials.path.Path",
        f"{_CUE}.segmented_polynomials.segmented_operand.SegmentedOperand",
        f"{_CUE}.segmented_polynomials.segmented_polynomial.SegmentedPolynomial",
        f"{_CUE}.segmented_polynomials.segmented_tensor_product.SegmentedTensorProduct",
        f"{_CUE}.segmented_polynomials.subscripts.Subscripts",
        f"{_CUE}_torch.operations.linear.Linear",
        f"{_CUE}_torch.operations.symmetric_contraction.SymmetricContraction",
        f"{_CUE}_torch.operations.tp_channel_wise.ChannelWiseTensorProduct",
        f"{_CUE}_torch.operations.tp_fully_connected.FullyConnectedTensorProduct",
        f"{_CUE}_torch.primitives.segmented_polynomial.SegmentedPolynomial",
        f"{_CUE}_torch.primitives.transpose.TransposeIrrepsLayout",
        f"{_CUE}_torch.primitives.transpose.TransposeSegments",
        "numpy.ndarray",
        "torch.nn.modules.linear.Identity",
        _GROUP,
        *_ARRAYS,
    }
)
"""Globals of files that were converted for cuEquivariance on a CPU."""


class _Term(NamedTuple):
    """A product of segments of the operands, weights first and result last, and its coefficients."""

    segments: tuple[int, ...]
    coefficients: NDArray[np.float64]


def require_one_layout(product: Module) -> None:
    """Raise if a product of cuEquivariance takes features in another layout than the modules before it give them.

    The energy of mace-torch then changes with the orientation.
    """
    config = getattr(product.attribute("cueq_config", None), "state", None)
    if not isinstance(config, dict) or config.get("layout_str") != "ir_mul" or config.get("optimize_all"):
        return
    parts = ("linear", "channelwise", "symmetric", "fctp")
    is_converted = [config.get(f"optimize_{part}") is True for part in parts]
    if config.get("optimize_symmetric") and not all(is_converted):
        raise UnsupportedModelError(
            f"{product.label} has the layout ir_mul of cuEquivariance, and other modules are not converted, so that "
            "energies change with the orientation; convert the trained model with mace-torch "
            "(python -m mace.cli.convert_e3nn_cueq), or make it with optimize_all or the layout mul_ir"
        )


class _Converted(Module):
    """A module of cuEquivariance."""

    def irreps(self, name: str) -> tuple[Entry, ...]:
        given = self.attribute(name)
        try:
            group, entries = given.state["irrep_class"].name, given.state["_mulirreps"]
            found = tuple(_entry(entry.state) for entry in entries)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(name) from error
        if group != _GROUP:
            raise UnsupportedModelError(
                f"{name} of {self.label} are irreps of the group {group}, expected {_GROUP}; convert the model with "
                "mace-torch"
            )
        return found

    def array(self, name: str) -> NDArray[np.generic]:
        found = super().array(name)
        return found.reshape(-1) if name == "weight" else found

    def _terms(self, polynomial: Any) -> Iterator[tuple[int, _Term]]:
        """Yield the number of operands and each term of the operations of a polynomial."""
        try:
            for _, product in polynomial.state["operations"]:
                n_operands = len(product.state["operands_and_subscripts"])
                for path in product.state["paths"]:
                    term = _Term(tuple(path.state["indices"]), _array(path.state["coefficients"]))
                    are_places = all(type(place) is int and 0 <= place < 2**31 for place in term.segments)
                    if not are_places or len(term.segments) != n_operands or not np.isfinite(term.coefficients).all():
                        raise ValueError("a path that is not one of its operands")
                    yield n_operands, term
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._damaged("the polynomial") from error

    def _own_terms(self, n_operands: int) -> list[_Term]:
        """Return the terms of a module with one operation, in the order of their weights."""
        found = list(self._terms(self._polynomial()))
        if any(n != n_operands for n, _ in found):
            raise self._damaged("the polynomial")
        terms = sorted((term for _, term in found), key=lambda term: term.segments[0])
        if [term.segments[0] for term in terms] != list(range(len(terms))):
            raise self._damaged("the polynomial")
        return terms

    def _own_products(self) -> Iterator[tuple[tuple[int, ...], tuple[Entry, ...], NDArray[np.float64]]]:
        """Yield the places of two inputs and the output, their irreps and the coefficients, for each term."""
        irreps = [self.irreps(f"irreps_{which}") for which in ("in1", "in2", "out")]
        for (_, *places), coefficients in self._own_terms(4):
            yield tuple(places), tuple(map(_of, irreps, places)), coefficients

    def _polynomial(self) -> Any:
        record = self._table("_modules").get("f")
        if not isinstance(record, Record) or not record.args:
            raise self._damaged("the polynomial")
        return record.args[0]

    def _damaged(self, what: str) -> ModelFileError:
        return ModelFileError(f"{what} of {self.label} is not one of cuEquivariance; copy or save the model again")


class _Linear(_Converted):
    """An ``o3.Linear``."""

    def attribute(self, name: str, *default: Any) -> Any:
        if name != "instructions":
            return super().attribute(name, *default)
        given, wanted = self.irreps("irreps_in"), self.irreps("irreps_out")
        found = []
        for (_, i, k), coefficients in self._own_terms(3):
            sizes = (_of(given, i).mul, _of(wanted, k).mul)
            found.append(Record("Instruction", (i, k, sizes, float(coefficients.reshape(()).item()))))
        return found


class _ElementProduct(_Converted):
    """An ``o3.FullyConnectedTensorProduct`` with one-hot elements."""

    def attribute(self, name: str, *default: Any) -> Any:
        if name != "instructions":
            return super().attribute(name, *default)
        found = []
        for places, (given, elements, result), coefficients in self._own_products():
            expected = coefficients.flat[0] * np.eye(given.dim)
            if coefficients.size != expected.size or np.abs(coefficients.reshape(expected.shape) - expected).max() > (
                _TOLERANCE * abs(coefficients.flat[0])
            ):
                raise self._damaged("the coupling")
            # e3nn's coupling of an irrep with a scalar is the unit matrix over the root of its dimension
            weight = float(coefficients.flat[0]) * result.dim**0.5
            found.append(Record("Instruction", (*places, "uvw", True, weight, (given.mul, elements.mul, result.mul))))
        return found


class _Convolution(_Converted):
    """An ``o3.TensorProduct`` of features with spherical harmonics."""

    @property
    def class_name(self) -> str:
        return "TensorProduct"

    def attribute(self, name: str, *default: Any) -> Any:
        if name != "instructions":
            return super().attribute(name, *default)
        found = []
        for places, (given, harmonic, result), coefficients in self._own_products():
            shape = (given.dim, harmonic.dim, result.dim)
            # e3nn's couplings have the norm 1, and mace-torch gives cuEquivariance those of e3nn
            if coefficients.shape != shape or not math.isclose(
                float((coefficients**2).sum()), result.dim, rel_tol=_TOLERANCE
            ):
                raise self._damaged("the coupling")
            sizes = (given.mul, harmonic.mul)
            found.append(Record("Instruction", (*places, "uvu", True, result.dim**0.5, sizes)))
        return found


class _FusedConvolution(_Converted):
    """An ``o3.TensorProduct`` that was fused with the sum over neighbours: products of components, without irreps."""

    def __init__(self, record: Any, archive: TorchArchive, path: str):
        if record.state is not None or not record.args:  # as versions before 0.10 write it
            raise UnsupportedModelError(conversion_refusal(record.name, archive.name))
        super().__init__(Record(record.name, record.args, {}), archive, path)
        self._fused = record.args[0]
        self._irreps: dict[str, tuple[Entry, ...]] = {}
        self._instructions: list[Record] = []

    @property
    def class_name(self) -> str:
        return "TensorProduct"

    def irreps(self, name: str) -> tuple[Entry, ...]:
        return self._irreps[name]

    def attribute(self, name: str, *default: Any) -> Any:
        return self._instructions if name == "instructions" else super().attribute(name, *default)

    def between(self, features: tuple[Entry, ...], harmonics: tuple[Entry, ...]) -> Module:
        xs, ys = _components(features), _components(harmonics)  # (n, 2): entry, and component of it
        segments, values = self._products(features[0].mul, len(xs), len(ys))
        outputs: dict[int, Entry] = {}  # by the first component
        paths = []
        for weight in np.unique(segments[:, 0]):
            _, x, y, z = segments[segments[:, 0] == weight].T
            (i, *others), (j, *more) = np.unique(xs[x, 0]).tolist(), np.unique(ys[y, 0]).tolist()
            first, n_components = int(z.min()), int(np.ptp(z)) + 1
            highest = features[i].order + harmonics[j].order
            if others or more or first in outputs or n_components not in range(1, 2 * highest + 2, 2):
                raise self._damaged("the polynomial")
            coupling = np.zeros((features[i].dim, harmonics[j].dim, n_components))
            coupling[xs[x, 1], ys[y, 1], z - first] = values[segments[:, 0] == weight]
            if not math.isclose(float((coupling**2).sum()), n_components, rel_tol=_TOLERANCE):
                raise self._damaged("the coupling")
            outputs[first] = Entry(features[i].mul, n_components // 2, features[i].parity * harmonics[j].parity)
            paths.append((i, j, first))
        starts = sorted(outputs)
        if starts != np.cumsum([0] + [outputs[first].dim for first in starts])[:-1].tolist():
            raise self._damaged("the polynomial")
        for i, j, first in paths:
            sizes = features[i].mul, harmonics[j].mul
            path = i, j, starts.index(first), "uvu", True, outputs[first].dim ** 0.5, sizes
            self._instructions.append(Record("Instruction", path))
        irreps_out = tuple(outputs[first] for first in starts)
        self._irreps = {"irreps_in1": features, "irreps_in2": harmonics, "irreps_out": irreps_out}
        return self

    def _products(self, n_channels: int, n_x: int, n_y: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return weight, features, harmonic and output of each product (n, 4), and its coefficient (n)."""
        terms = [term for n, term in self._terms(self._fused) if n == 4 and term.coefficients.size == 1]
        segments = np.array([term.segments for term in terms], dtype=np.int64).reshape(-1, 4)
        try:
            found = [tuple(operand.state["segments"]) for operand in self._fused.state["inputs"]]
        except (AttributeError, KeyError, TypeError) as error:
            raise self._damaged("the polynomial") from error
        channels = (n_channels,) if n_channels > 1 else ()
        are_operands = found[1:] == [(channels,) * n_x, ((),) * n_y]
        are_weights = len(terms) > 0 and len(set(segments[:, 0])) == segments[:, 0].max() + 1
        if not are_operands or not are_weights or (segments[:, 1:3] >= (n_x, n_y)).any():
            raise self._damaged("the polynomial")
        return segments, np.array([term.coefficients.item() for term in terms])


class _Contraction(_Converted):
    """A ``SymmetricContraction`` with the polynomials of cuEquivariance."""

    def child(self, name: str) -> Any:
        return _Parts(self._parts()) if name == "contractions" else super().child(name)

    def _parts(self) -> "list[_Part]":
        weights = Module.array(self, "weight")
        if self._table("_buffers").get("projection") is not None:  # mace-torch's own basis, given in that of the terms
            weights = np.einsum("zau,ab->zbu", weights, Module.array(self, "projection"))
        correlation = self.attribute("contraction_degree")
        given, wanted = self.irreps("irreps_in"), self.irreps("irreps_out")
        n, starts = sum(one.dim for one in given), np.cumsum([0, *(one.dim for one in wanted)])
        terms: dict[int, list[_Term]] = {}
        for n_operands, term in self._terms(getattr(self.attribute("etp"), "state", {}).get("polynomial")):
            weight, *factors, output = term.segments
            is_sound = weight < weights.shape[1] and max(factors, default=n) < n and output < starts[-1]
            if weights.ndim != 3 or not is_sound or term.coefficients.size != 1:
                raise self._damaged("the polynomial")
            terms.setdefault(n_operands - 2, []).append(term)
        if type(correlation) is not int or not all(1 <= degree <= min(correlation, 8) for degree in terms):
            raise self._damaged("contraction_degree")
        if max(one.dim for one in wanted) * n**correlation * weights.shape[1] > _MOST_NUMBERS:
            raise UnsupportedModelError(
                f"{self.label} has the correlation order {correlation} for {n} components, which is too large for this "
                "package; train with order 3 or less"
            )
        return [
            _Part(f"{self.path}.contractions.{k}", correlation, weights, terms, n, starts[k], one.dim)
            for k, one in enumerate(wanted)
        ]


class _Parts:
    """The contractions of all output irreps."""

    def __init__(self, parts: "list[_Part]"):
        self._parts = parts

    def children(self) -> "list[_Part]":
        return self._parts


class _Part:
    """The contraction of one output irrep: couplings and weights by order, under the names of mace-torch."""

    def __init__(
        self,
        path: str,
        correlation: int,
        weights: NDArray[np.generic],
        terms: dict[int, list[_Term]],
        n_components: int,
        start: int,
        dim: int,
    ):
        self.path = path
        self._correlation = correlation
        self._arrays = {}
        for order in range(1, correlation + 1):
            own = [term for term in terms.get(order, []) if start <= term.segments[-1] < start + dim]
            rows = sorted({term.segments[0] for term in own})
            coupling = np.zeros((dim, *[n_components] * order, max(1, len(rows))))
            for (weight, *factors, output), coefficients in own:
                coupling[(output - start, *factors, rows.index(weight))] += coefficients.item()
            chosen = weights[:, rows] if rows else np.zeros_like(weights[:, :1])
            self._arrays[f"U_matrix_{order}"] = coupling if dim > 1 else coupling[0]
            self._arrays["weights_max" if order == correlation else str(correlation - 1 - order)] = chosen

    def attribute(self, name: str) -> int | None:
        return self._correlation if name == "correlation" else None

    def child(self, name: str) -> "_Part":
        """Return this part: weights of lower orders are arrays of a list ``weights`` in mace-torch."""
        return self

    def array(self, name: str) -> NDArray[np.generic]:
        return self._arrays[name]


def _components(irreps: tuple[Entry, ...]) -> NDArray[np.int64]:
    """Return the entry of each component of one channel, and its number in that entry, of shape (n, 2)."""
    return np.array([(i, m) for i, one in enumerate(irreps) for m in range(one.dim)])


def _of(irreps: tuple[Entry, ...], k: int) -> Entry:
    if k >= len(irreps):
        raise ValueError(f"entry {k} of {len(irreps)} irreps")
    return irreps[k]


def _entry(state: dict) -> Entry:
    mul, irrep = state["mul"], state["ir"].state
    values = mul, irrep["l"], irrep["p"]
    if not all(type(one) is int for one in values) or not (0 < mul < 10**6 and 0 <= values[1] < 100):
        raise ValueError("not an irrep")
    if values[2] not in (-1, 1):
        raise ValueError("not a parity")
    return Entry(*values)


def _array(record: Any) -> NDArray[np.float64]:
    """Return a pickled NumPy array of float64 numbers."""
    _, shape, kind, is_fortran, content = record.state
    code = kind.args[0] if isinstance(kind, Record) and kind.name == "numpy.dtype" else None
    if record.name not in _ARRAYS or not isinstance(record.args[0], GlobalName) or code not in ("f8", "f4"):
        raise ValueError("not an array of numbers")
    if isinstance(content, Record) and content.name == "_codecs.encode":
        content = content.args[0].encode("latin1")
    values = np.frombuffer(content, dtype=f"<{code}").astype(np.float64)
    return values.reshape(shape, order="F" if is_fortran is True else "C")


ADAPTED |= {
    f"{_CUE}_torch.operations.linear.Linear": _Linear,
    f"{_CUE}_torch.operations.symmetric_contraction.SymmetricContraction": _Contraction,
    f"{_CUE}_torch.operations.tp_channel_wise.ChannelWiseTensorProduct": _Convolution,
    f"{_CUE}_torch.operations.tp_fully_connected.FullyConnectedTensorProduct": _ElementProduct,
    f"{_CUE}_torch.primitives.segmented_polynomial.SegmentedPolynomial": _FusedConvolution,
}
