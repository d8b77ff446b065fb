"""Write small models that mace-torch converted for cuEquivariance, and the results of the models before it.

    pip install mace-torch==0.3.16 cuequivariance==0.13.0 cuequivariance-torch==0.13.0
    python tests/data/mace_torch/make_converted.py

It writes ``cueq-NAME.model.xz`` and ``cueq-NAME.npz`` beside itself, as ``make.py`` does. No GPU is needed: fused
convolutions are made as on a GPU, but not run, and constants stand in for the library of their kernels.
"""

import os
import sys
import types


def stand_in() -> None:
    """Name the constants of the library of kernels."""
    kernels = types.ModuleType("cuequivariance_ops_torch.uniform_1d")
    for number, name in enumerate(("AUTO", "SHARED", "BATCHED", "INDEXED")):
        setattr(kernels, f"BATCH_DIM_{name}", number)
    sys.modules |= {"cuequivariance_ops_torch": types.ModuleType("cuequivariance_ops_torch"), kernels.__name__: kernels}


def main() -> None:
    """Write all files."""
    import torch
    from mace.cli import convert_e3nn_cueq
    from make import STATES, make_model, write

    # options, layout of the features, and whether convolutions are fused as on a GPU
    states = {
        "residual": (STATES["0.3.6"] | {"correlation": 3}, "mul_ir", False),
        "nonlinear": (STATES["0.3.16"], "ir_mul", False),
        "fused": (STATES["0.3.6"] | {"max_ell": 2}, "ir_mul", True),
    }
    torch.set_default_dtype(torch.float64)
    plain = convert_e3nn_cueq.CuEquivarianceConfig
    for name, (state, layout, is_fused) in states.items():
        convert_e3nn_cueq.CuEquivarianceConfig = lambda fused=is_fused, **options: plain(
            **options | {"conv_fusion": fused}
        )
        model = make_model(state)
        write(f"cueq-{name}", convert_e3nn_cueq.run(model, layout=layout), model)


if __name__ == "__main__":
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    stand_in()
    main()
