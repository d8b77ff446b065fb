"""Which frames a shipped model was trained on, selected with and tested on."""

import numpy as np


def split_frames(n_frames: int, n_valid: int, n_test: int, seed: int) -> dict[str, list[int]]:
    """Return sorted frame numbers of the random split, keyed train, valid and test."""
    order = np.random.default_rng(seed).permutation(n_frames)
    parts = {
        "train": order[n_test + n_valid :],
        "valid": order[n_test : n_test + n_valid],
        "test": order[:n_test],
    }
    return {name: sorted(int(i) for i in frames) for name, frames in parts.items()}
