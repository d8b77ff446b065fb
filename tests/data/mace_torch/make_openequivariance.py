"""Write a small model as mace-torch saves it with the convolutions of OpenEquivariance, and the results before.

    pip install mace-torch==0.3.16
    pip download --no-deps --no-binary :all: openequivariance==0.7.0 && tar xzf openequivariance-0.7.0.tar.gz
    PYTHONPATH=openequivariance-0.7.0 python tests/data/mace_torch/make_openequivariance.py

It writes ``oeq-residual.model.xz`` and ``oeq-residual.npz`` beside itself, as ``make.py`` does. Convolutions of
OpenEquivariance can be made on a GPU only. Here a class of the same name stands in for theirs, with the same state: the
description of the tensor product, which is a class of OpenEquivariance itself.
"""

import copy
import os
import sys
import types

os.environ |= {"OEQ_NOTORCH": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}

import numpy as np
import torch
from mace.modules.wrapper_ops import OEQConfig
from make import STATES, make_model, write
from openequivariance import TPProblem


class TensorProductConv(torch.nn.Module):
    """State of the class of OpenEquivariance."""

    def __init__(self, problem: TPProblem):
        super().__init__()
        self.input_args = {
            "problem": problem, "deterministic": False, "kahan": False, "torch_op": True, "use_opaque": False
        }  # fmt: skip

    def __getstate__(self) -> dict:
        return self.input_args


def stand_in() -> None:
    """Give the class its name in OpenEquivariance."""
    module = types.ModuleType("openequivariance._torch.TensorProductConv")
    TensorProductConv.__module__, module.TensorProductConv = module.__name__, TensorProductConv
    sys.modules[module.__name__] = module


def convert(model):
    """Return the model with other convolutions, as ``mace.cli.convert_e3nn_oeq`` makes them."""
    converted = copy.deepcopy(model)
    for interaction in converted.interactions:
        old = interaction.conv_tp
        interaction.oeq_config = OEQConfig(enabled=True, optimize_all=True, conv_fusion="atomic")
        interaction.conv_tp = TensorProductConv(
            TPProblem(
                str(old.irreps_in1), str(old.irreps_in2), str(old.irreps_out),
                [tuple(instruction)[:5] for instruction in old.instructions],
                shared_weights=False, internal_weights=False, irrep_dtype=np.float64, weight_dtype=np.float64,
            )
        )  # fmt: skip
    return converted


def main() -> None:
    """Write the files."""
    torch.set_default_dtype(torch.float64)
    stand_in()
    model = make_model(STATES["0.3.6"])
    write("oeq-residual", convert(model), model)


if __name__ == "__main__":
    main()
