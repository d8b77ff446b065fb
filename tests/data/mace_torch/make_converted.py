"""Write small models that mace-torch converted for cuEquivariance, and the results of the models before it.

    pip install mace-torch==0.3.16 cuequivariance==0.13.0 cuequivariance-torch==0.13.0
    python tests/data/mace_torch/make_converted.py

It writes ``cueq-NAME.model.xz`` and ``cueq-NAME.npz`` beside itself, as ``make.py`` does. No GPU is needed: fused
convolutions are made as on a GPU, but not run, and constants stand in for the library of their kernels.
"""

import os
import sys
import types

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

KERNELS = types.ModuleType("cuequivariance_ops_torch.uniform_1d")
for number, name in enumerate(("AUTO", "SHARED", "BATCHED", "INDEXED")):
    setattr(KERNELS, f"BATCH_DIM_{name}", number)
sys.modules |= {"cuequivariance_ops_torch": types.ModuleType("cuequivariance_ops_torch"), KERNELS.__name__: KERNELS}

import torch
from mace.cli import convert_e3nn_cueq
from make import STATES, make_model, write

STATES = {
    "residual": (STATES["0.3.6"] | {"correlation": 3}, "mul_ir", False),
    "nonlinear": (STATES["0.3.16"], "ir_mul", False),
    "fused": (STATES["0.3.6"] | {"max_ell": 2}, "ir_mul", True),
}
"""Options, layout of the features, and whether convolutions are fused as on a GPU."""


def main() -> None:
    """Write all files."""
    torch.set_default_dtype(torch.float64)
    plain = convert_e3nn_cueq.CuEquivarianceConfig
    for name, (state, layout, is_fused) in STATES.items():
        convert_e3nn_cueq.CuEquivarianceConfig = lambda fused=is_fused, **options: plain(
            **options | {"conv_fusion": fused}
        )
        model = make_model(state)
        write(f"cueq-{name}", convert_e3nn_cueq.run(model, layout=layout), model)


if __name__ == "__main__":
    main()
