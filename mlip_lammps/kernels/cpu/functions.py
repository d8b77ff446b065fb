"""C functions as operators of torch: one description gives source, shim for compiled programs, and operator."""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.core.errors import MlipError

NAMESPACE = "mlip_lammps"
C_TYPES = {torch.float64: "double", torch.float32: "float"}

_SCALARS = {"double": ("float", ctypes.c_double), "int64_t": ("int", ctypes.c_int64)}
_DTYPES = {"double": torch.float64, "float": torch.float32}


@dataclass(frozen=True)
class Input:
    """A tensor, read as ``const c_type *NAME`` with ``int64_t NAME_rows``."""

    name: str
    c_type: str


@dataclass(frozen=True)
class Scalar:
    """A number: double or int64_t."""

    name: str
    c_type: str


@dataclass(frozen=True)
class Output:
    """A tensor (rows of the input ``rows_of``, width), written through ``c_type *NAME``."""

    name: str
    c_type: str
    rows_of: str
    width: int


@dataclass(frozen=True)
class KernelFunction:
    """A function of tensors and numbers that gives one or two tensors.

    Attributes
    ----------
    body
        C++ statements on the names of ``inputs`` and ``outputs``.
    """

    name: str
    inputs: tuple[Input | Scalar, ...]
    outputs: tuple[Output, ...]
    body: str

    @property
    def operator(self) -> torch._ops.OpOverload:
        return getattr(getattr(torch.ops, NAMESPACE), self.name).default

    def __call__(self, *arguments) -> Tensor | tuple[Tensor, ...]:
        return self.operator(*arguments)

    def source(self) -> str:
        """Return two C functions: on plain arrays, and on tensor handles (``custom_ops_to_c_shims``)."""
        plain, handles, passed = [], [], []
        for item in self.inputs:
            if isinstance(item, Scalar):
                plain.append(f"{item.c_type} {item.name}")
                handles.append(f"{item.c_type} {item.name}")
                passed.append(item.name)
            else:
                plain.append(f"const {item.c_type} *{item.name}, int64_t {item.name}_rows")
                handles.append(f"AtenTensorHandle {item.name}")
                passed.append(f"data<{item.c_type}>({item.name}), rows({item.name})")
        plain += [f"{item.c_type} *{item.name}" for item in self.outputs]
        handles += [f"AtenTensorHandle *{item.name}" for item in self.outputs]
        passed += [f"data<{item.c_type}>(*{item.name})" for item in self.outputs]
        tensors = ", ".join(item.name for item in self._tensors())
        new = "\n".join(
            f"  if (const int32_t status = empty<{item.c_type}>(rows({item.rows_of}), {item.width}, {item.name})) "
            "return status;"
            for item in self.outputs
        )
        unused = "".join(f"  (void) {item.name}, (void) {item.name}_rows;\n" for item in self._tensors())
        return f"""
extern "C" void {self.name}({", ".join(plain)})
{{
{unused}{self.body}
}}

extern "C" int32_t aoti_torch_cpu_{self.name}({", ".join(handles)})
{{
  if (!all_contiguous({tensors})) return 1;
{new}
  try {{
    {self.name}({", ".join(passed)});
  }} catch (...) {{
    return 1;
  }}
  return 0;
}}
"""

    def shim(self) -> str:
        """Return the C declaration that AOTInductor needs."""
        types = [item.c_type if isinstance(item, Scalar) else "AtenTensorHandle" for item in self.inputs]
        types += ["AtenTensorHandle*"] * len(self.outputs)
        return f"AOTITorchError aoti_torch_cpu_{self.name}({', '.join(types)})"

    def register(self, library: ctypes.CDLL) -> None:
        """Make the operator known to torch, with ``library`` behind it."""
        function = getattr(library, self.name)
        positions = {item.name: k for k, item in enumerate(self.inputs)}

        def new_outputs(*arguments):
            results = []
            for item in self.outputs:
                like = arguments[positions[item.rows_of]]
                results.append(like.new_empty((like.shape[0], item.width), dtype=_DTYPES[item.c_type]))
            return tuple(results) if len(results) > 1 else results[0]

        def run(*arguments):
            results = new_outputs(*arguments)
            tensors = results if isinstance(results, tuple) else (results,)
            values = []
            for item, argument in zip(self.inputs, arguments, strict=True):
                if isinstance(item, Scalar):
                    values.append(_SCALARS[item.c_type][1](argument))
                else:
                    values += [_pointer(argument), ctypes.c_int64(argument.shape[0])]
            function(*values, *map(_pointer, tensors))
            return results

        arguments = ", ".join(
            f"{_SCALARS[item.c_type][0]} {item.name}" if isinstance(item, Scalar) else f"Tensor {item.name}"
            for item in self.inputs
        )
        results = ", ".join(["Tensor"] * len(self.outputs))
        _fragment.define(f"{self.name}({arguments}) -> {f'({results})' if len(self.outputs) > 1 else results}")
        _fragment.impl(self.name, run, "CPU")
        torch.library.register_fake(f"{NAMESPACE}::{self.name}", new_outputs, lib=_fragment)

    def _tensors(self) -> list[Input]:
        return [item for item in self.inputs if isinstance(item, Input)]


def register_gradient(function: KernelFunction, gradient) -> None:
    """Give ``function`` a gradient: ``gradient(ctx, *upstream)`` with all inputs in ``ctx.arguments``."""

    def setup(ctx, inputs, output):
        places = [k for k, value in enumerate(inputs) if isinstance(value, Tensor)]
        ctx.save_for_backward(*(inputs[k] for k in places))
        ctx.layout = places, [None if isinstance(value, Tensor) else value for value in inputs]

    def backward(ctx, *upstream):
        places, values = ctx.layout
        arguments = list(values)
        for k, tensor in zip(places, ctx.saved_tensors, strict=True):
            arguments[k] = tensor
        found = gradient(arguments, ctx.needs_input_grad, *[g.contiguous() for g in upstream])
        return tuple(found.get(item.name) for item in function.inputs)

    torch.library.register_autograd(f"{NAMESPACE}::{function.name}", backward, setup_context=setup)


_fragment = torch.library.Library(NAMESPACE, "FRAGMENT")


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    if not tensor.is_contiguous():
        raise MlipError("a kernel was called with a tensor that is not contiguous")
    return ctypes.c_void_p(tensor.data_ptr())
