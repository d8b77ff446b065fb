"""Sums over rows and their adjoint, the selection of rows, with gradients that AOTInductor compiles to fast code.

It compiles ``index_add``, also as the gradient of ``index_select``, to one atomic operation for each number. For
``scatter_reduce`` it calls the kernel of torch, which sorts the rows and adds them as vectors.
"""

from typing import Any

import torch
from torch import Tensor


def sum_rows(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    """Return the sums of values by row.

    Parameters
    ----------
    values
        Shape (n, ...).
    rows
        Row to which each value is added, shape (n,), int64.

    Returns
    -------
    Tensor
        Shape (n_rows, ...).
    """
    return _Sum.apply(values, rows, n_rows)


def select_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Return ``values[rows]``, shape (n, ...); rows may repeat."""
    return _Select.apply(values, rows)


def _sum(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    flat = values.reshape(values.shape[0], -1)
    zeros = flat.new_zeros(n_rows, flat.shape[1])
    return zeros.scatter_reduce(0, rows[:, None].expand_as(flat), flat, "sum").view(n_rows, *values.shape[1:])


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
        return _sum(values, rows, n_rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        (rows,) = ctx.saved_tensors
        return gradients.index_select(0, rows), None, None


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, rows: Tensor) -> Tensor:
        return values.index_select(0, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        values, rows = inputs
        ctx.save_for_backward(rows)
        ctx.n_rows = values.shape[0]

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return _sum(gradients, rows, ctx.n_rows), None
