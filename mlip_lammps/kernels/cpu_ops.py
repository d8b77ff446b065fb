"""Custom operators of one layer's C++ kernels: for tracing, for Python, and, as C functions, for compiled programs."""

import ctypes
import functools

import torch
from torch import Tensor

from mlip_lammps.core.errors import MlipError
from mlip_lammps.kernels.cpu_contraction import ContractionShape
from mlip_lammps.kernels.cpu_source import C_TYPES, ConvolutionShape

_NAMESPACE = "mlip_lammps"

class ConvolutionOp:
    """The edge convolution of one layer as an operator with a gradient.

    Call it with features (n_sources, n_in * n_channels), edge vectors (n_edges, 3), centres, sources (rows of the
    features, (n_edges,)), the table in ``shape.table_layout`` with its intervals an angstrom and their number, and a
    tensor of n_local rows; it returns (n_local, n_mid * n_channels).
    """

    def __init__(self, shape: ConvolutionShape, digest: str):
        self.shape = shape
        self.name = f"{shape.name}_{digest}"
        self.width_in = shape.n_components_in * shape.n_channels
        self.width_out = shape.n_components_mid * shape.n_channels

    def source(self) -> str:
        """Return the C functions: on plain arrays, and on tensor handles."""
        c_type, template = C_TYPES[self.shape.dtype], f"Convolution<{self.shape.name}>"
        arguments = (
            f"const {c_type} *features, const double *vectors, const int64_t *centre, const int64_t *source, "
            f"const {c_type} *table, double intervals_per_angstrom, int64_t n_intervals"
        )
        handles = (
            "AtenTensorHandle features, AtenTensorHandle vectors, AtenTensorHandle centre, AtenTensorHandle source, "
            "AtenTensorHandle table, double intervals_per_angstrom, int64_t n_intervals"
        )
        passed = (
            f"data<{c_type}>(features), data<double>(vectors), data<int64_t>(centre), data<int64_t>(source), "
            f"data<{c_type}>(table), intervals_per_angstrom, n_intervals"
        )
        return f"""
extern "C" void {self.name}_forward(int64_t n_local, int64_t n_edges, {arguments}, {c_type} *messages)
{{
  {template}::forward(n_local, n_edges, features, vectors, centre, source,
      {{table, intervals_per_angstrom, n_intervals}}, messages);
}}

extern "C" void {self.name}_backward(int64_t n_local, int64_t n_edges, int64_t n_sources, {arguments},
    const {c_type} *gradients, {c_type} *feature_gradients, double *edge_gradients)
{{
  {template}::backward(n_local, n_edges, n_sources, features, vectors, centre, source,
      {{table, intervals_per_angstrom, n_intervals}}, gradients, feature_gradients, edge_gradients);
}}

extern "C" int32_t aoti_torch_cpu_{self.name}({handles}, AtenTensorHandle like, AtenTensorHandle *messages)
{{
  if (!all_contiguous(features, vectors, centre, source, table)) return 1;
  if (const int32_t status = empty<{c_type}>(rows(like), {self.width_out}, messages)) return status;
  {self.name}_forward(rows(like), rows(vectors), {passed}, data<{c_type}>(*messages));
  return 0;
}}

extern "C" int32_t aoti_torch_cpu_{self.name}_adjoint({handles}, AtenTensorHandle gradients,
    AtenTensorHandle *feature_gradients, AtenTensorHandle *edge_gradients)
{{
  if (!all_contiguous(features, vectors, centre, source, table, gradients)) return 1;
  if (const int32_t status = empty<{c_type}>(rows(features), {self.width_in}, feature_gradients)) return status;
  if (const int32_t status = empty<double>(rows(vectors), 3, edge_gradients)) return status;
  {self.name}_backward(rows(gradients), rows(vectors), rows(features), {passed}, data<{c_type}>(gradients),
      data<{c_type}>(*feature_gradients), data<double>(*edge_gradients));
  return 0;
}}

extern "C" int32_t aoti_torch_cpu_{self.name}_edge_adjoint({handles}, AtenTensorHandle gradients,
    AtenTensorHandle *edge_gradients)
{{
  if (!all_contiguous(features, vectors, centre, source, table, gradients)) return 1;
  if (const int32_t status = empty<double>(rows(vectors), 3, edge_gradients)) return status;
  {self.name}_backward(rows(gradients), rows(vectors), rows(features), {passed}, data<{c_type}>(gradients),
      nullptr, data<double>(*edge_gradients));
  return 0;
}}
"""

    def shims(self) -> dict[str, str]:
        """Return the C declaration for each operator name."""
        handle, result = "AtenTensorHandle", "AtenTensorHandle*"
        inputs = ", ".join([handle] * 5 + ["double", "int64_t", handle])
        name = f"aoti_torch_cpu_{self.name}"
        return {
            self.name: f"AOTITorchError {name}({inputs}, {result})",
            f"{self.name}_adjoint": f"AOTITorchError {name}_adjoint({inputs}, {result}, {result})",
            f"{self.name}_edge_adjoint": f"AOTITorchError {name}_edge_adjoint({inputs}, {result})",
        }

    def register(self, library: ctypes.CDLL) -> None:
        """Make the operators known to torch, with ``library`` behind them."""
        inputs = (
            "Tensor features, Tensor vectors, Tensor centre, Tensor source, Tensor table, "
            "float intervals_per_angstrom, int n_intervals"
        )
        forward = getattr(library, f"{self.name}_forward")
        backward = getattr(library, f"{self.name}_backward")

        def run_forward(features, vectors, centre, source, table, scale, n_intervals, like):
            messages = features.new_empty((like.shape[0], self.width_out))
            arrays = _pointers(features, vectors, centre, source, table)
            forward(
                *_integers(like.shape[0], len(vectors)),
                *arrays,
                ctypes.c_double(scale),
                *_integers(n_intervals),
                *_pointers(messages),
            )
            return messages

        def run_adjoint(features, vectors, centre, source, table, scale, n_intervals, gradients, with_features=True):
            feature_gradients = torch.empty_like(features)
            edge_gradients = torch.empty_like(vectors)
            backward(
                *_integers(len(gradients), len(vectors), len(features)),
                *_pointers(features, vectors, centre, source, table),
                ctypes.c_double(scale),
                *_integers(n_intervals),
                *_pointers(gradients),
                *(_pointers(feature_gradients) if with_features else [ctypes.c_void_p(None)]),
                *_pointers(edge_gradients),
            )
            return (feature_gradients, edge_gradients) if with_features else edge_gradients

        def fake(features, vectors, centre, source, table, scale, n_intervals, like):
            return features.new_empty((like.shape[0], self.width_out))

        def fake_adjoint(features, vectors, *rest):
            return torch.empty_like(features), torch.empty_like(vectors)

        _define(f"{self.name}({inputs}, Tensor like) -> Tensor", run_forward, fake)
        _define(f"{self.name}_adjoint({inputs}, Tensor gradients) -> (Tensor, Tensor)", run_adjoint, fake_adjoint)
        _define(
            f"{self.name}_edge_adjoint({inputs}, Tensor gradients) -> Tensor",
            functools.partial(run_adjoint, with_features=False),
            lambda features, vectors, *rest: torch.empty_like(vectors),
        )

        def setup(ctx, inputs, output):
            ctx.save_for_backward(*inputs[:5])
            ctx.table = inputs[5:7]

        def gradient(ctx, gradients):
            gradients = gradients.contiguous()
            if ctx.needs_input_grad[0]:
                found = self._op("_adjoint")(*ctx.saved_tensors, *ctx.table, gradients)
            else:
                found = (None, self._op("_edge_adjoint")(*ctx.saved_tensors, *ctx.table, gradients))
            return (*found, *[None] * 6)

        torch.library.register_autograd(f"{_NAMESPACE}::{self.name}", gradient, setup_context=setup)

    def _op(self, ending: str = "") -> torch._ops.OpOverload:
        return getattr(torch.ops.mlip_lammps, self.name + ending).default

    def __call__(self, *arguments) -> Tensor:
        return self._op()(*arguments)


class ContractionOp:
    """The symmetric contraction of one layer as an operator with a gradient.

    Call it with messages (n_local, n_in * n_channels), species (n_local,) and weights (n_elements, n_terms,
    n_channels); it returns (n_local, n_out * n_channels).
    """

    def __init__(self, shape: ContractionShape, digest: str):
        self.shape = shape
        self.name = f"{shape.name}_{digest}"
        self.width_in = shape.n_components_in * shape.n_channels
        self.width_out = shape.n_components_out * shape.n_channels

    def source(self) -> str:
        """Return the C functions: on plain arrays, and on tensor handles."""
        c_type, template = C_TYPES[self.shape.dtype], f"Contraction<{self.shape.name}>"
        arguments = f"int64_t n, const {c_type} *messages, const int64_t *species, const {c_type} *weights"
        handles = "AtenTensorHandle messages, AtenTensorHandle species, AtenTensorHandle weights"
        passed = f"rows(messages), data<{c_type}>(messages), data<int64_t>(species), data<{c_type}>(weights)"
        return f"""
extern "C" void {self.name}_forward({arguments}, {c_type} *result)
{{
  {template}::forward(n, messages, species, weights, result);
}}

extern "C" void {self.name}_backward({arguments}, const {c_type} *gradients, {c_type} *result)
{{
  {template}::backward(n, messages, species, weights, gradients, result);
}}

extern "C" int32_t aoti_torch_cpu_{self.name}({handles}, AtenTensorHandle *result)
{{
  if (!all_contiguous(messages, species, weights)) return 1;
  if (const int32_t status = empty<{c_type}>(rows(messages), {self.width_out}, result)) return status;
  {self.name}_forward({passed}, data<{c_type}>(*result));
  return 0;
}}

extern "C" int32_t aoti_torch_cpu_{self.name}_adjoint({handles}, AtenTensorHandle gradients, AtenTensorHandle *result)
{{
  if (!all_contiguous(messages, species, weights, gradients)) return 1;
  if (const int32_t status = empty<{c_type}>(rows(messages), {self.width_in}, result)) return status;
  {self.name}_backward({passed}, data<{c_type}>(gradients), data<{c_type}>(*result));
  return 0;
}}
"""

    def shims(self) -> dict[str, str]:
        """Return the C declaration for each operator name."""
        handle, result = "AtenTensorHandle", "AtenTensorHandle*"
        name = f"aoti_torch_cpu_{self.name}"
        return {
            self.name: f"AOTITorchError {name}({handle}, {handle}, {handle}, {result})",
            f"{self.name}_adjoint": f"AOTITorchError {name}_adjoint({handle}, {handle}, {handle}, {handle}, {result})",
        }

    def register(self, library: ctypes.CDLL) -> None:
        """Make the operators known to torch, with ``library`` behind them."""
        forward = getattr(library, f"{self.name}_forward")
        backward = getattr(library, f"{self.name}_backward")

        def run_forward(messages, species, weights):
            result = messages.new_empty((messages.shape[0], self.width_out))
            forward(*_integers(len(messages)), *_pointers(messages, species, weights, result))
            return result

        def run_adjoint(messages, species, weights, gradients):
            result = torch.empty_like(messages)
            backward(*_integers(len(messages)), *_pointers(messages, species, weights, gradients, result))
            return result

        inputs = "Tensor messages, Tensor species, Tensor weights"
        _define(
            f"{self.name}({inputs}) -> Tensor",
            run_forward,
            lambda messages, species, weights: messages.new_empty((messages.shape[0], self.width_out)),
        )
        _define(
            f"{self.name}_adjoint({inputs}, Tensor gradients) -> Tensor",
            run_adjoint,
            lambda messages, species, weights, gradients: torch.empty_like(messages),
        )

        def setup(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        def gradient(ctx, gradients):
            return self._op("_adjoint")(*ctx.saved_tensors, gradients.contiguous()), None, None

        torch.library.register_autograd(f"{_NAMESPACE}::{self.name}", gradient, setup_context=setup)

    def _op(self, ending: str = "") -> torch._ops.OpOverload:
        return getattr(torch.ops.mlip_lammps, self.name + ending).default

    def __call__(self, *arguments) -> Tensor:
        return self._op()(*arguments)


_fragment = torch.library.Library(_NAMESPACE, "FRAGMENT")


def _define(schema: str, implementation, fake) -> None:
    name = schema.partition("(")[0]
    _fragment.define(schema)
    _fragment.impl(name, implementation, "CPU")
    torch.library.register_fake(f"{_NAMESPACE}::{name}", fake, lib=_fragment)


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    for tensor in tensors:
        if not tensor.is_contiguous():
            raise MlipError("a kernel was called with a tensor that is not contiguous")
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _integers(*values: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(value) for value in values]
