"""Write small models that mace-torch converted for cuEquivariance, and the results of the models before it.

    pip install mace-torch==0.3.16 cuequivariance==0.13.0 cuequivariance-torch==0.13.0
    python tests/data/mace_torch/make_converted.py

It writes ``cueq-NAME.model.xz`` and ``cueq-NAME.npz`` beside itself, as ``make.py`` does. No GPU is needed.
"""

import os

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

import torch
from mace.cli.convert_e3nn_cueq import run as convert
from make import STATES, make_model, write

STATES = {
    "residual": (STATES["0.3.6"] | {"correlation": 3}, "mul_ir"),
    "nonlinear": (STATES["0.3.16"], "ir_mul"),
}
"""Options and layout of the features of each model."""


def main() -> None:
    """Write all files."""
    torch.set_default_dtype(torch.float64)
    for name, (state, layout) in STATES.items():
        model = make_model(state)
        write(f"cueq-{name}", convert(model, layout=layout), model)


if __name__ == "__main__":
    main()
