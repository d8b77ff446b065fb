"""Averages of correlated series."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

N_BLOCKS = 8


@dataclass(frozen=True)
class Average:
    """Mean and standard error of a series; the error is None for series that are too short."""

    mean: float
    error: float | None


def block_average(values: ArrayLike, n_blocks: int = N_BLOCKS) -> Average:
    """Return the mean of a series and its standard error from the means of blocks.

    Parameters
    ----------
    values
        Series at equal intervals, shape (n,).
    n_blocks
        Number of blocks. The error is right if a block is longer than the correlation time.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2 * n_blocks:
        return Average(float(values.mean()), None)
    means = [block.mean() for block in np.array_split(values, n_blocks)]
    return Average(float(values.mean()), float(np.std(means, ddof=1) / np.sqrt(n_blocks)))
