"""Average the weights of several models that were trained from the same initial weights.

    python training/average.py OUT.safetensors FILE FILE [FILE ...]

The models have partly uncorrelated errors; averaging their weights reduces them (Wortsman et al., Model soups,
ICML 2022). Each FILE is a mace-torch file or a portable model; all models must have the same shape.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlip_lammps.core.errors import MlipError
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceModel, write_portable


class UnlikeModels(MlipError):
    """Models that cannot be averaged."""


def mean_of_weights(models: Sequence[MaceModel]) -> MaceModel:
    """Return the model with the mean of the trained weights of ``models``.

    Raises
    ------
    UnlikeModels
        If shapes, elements or coupling tensors differ.
    """
    first = models[0]
    if unlike := next((model for model in models if model.spec != first.spec), None):
        number = models.index(unlike) + 1
        raise UnlikeModels(
            f"model {number} ({unlike.source_name}) has another shape than the first; give models of equal shape"
        )
    weights = {}
    for name, array in first.weights.items():
        weights[name] = np.mean([model.weights[name] for model in models], axis=0, dtype=np.float64).astype(array.dtype)
        if ".U_matrix_" not in name:
            continue
        # not trained; the mean of two different bases would not be a valid basis
        weights[name] = array
        if not all(np.allclose(model.weights[name], array, rtol=0, atol=1e-6) for model in models):
            raise UnlikeModels(f"{name} differs between the models; train all of them with the same mace-torch")
    names, digests = zip(*((model.source_name, model.source_sha256) for model in models), strict=True)
    return replace(
        first,
        weights=weights,
        source_sha256=hashlib.sha256("".join(digests).encode()).hexdigest(),
        source_name=f"mean of {', '.join(names)}",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="portable file to write")
    parser.add_argument("files", type=Path, nargs="+", help="trained models")
    arguments = parser.parse_args()
    try:
        write_portable(mean_of_weights([read_model(file) for file in arguments.files]), arguments.out)
    except MlipError as error:
        print(f"average.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
