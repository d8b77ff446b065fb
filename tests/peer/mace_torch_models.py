"""Create random-weight models with mace-torch and write their results; runs in mace-torch's interpreter.

Usage: ``python mace_torch_models.py FOLDER``. For each entry of `MODELS`, the script writes ``NAME.model``
(``torch.save`` of the module, as in training) and ``NAME.npz`` (structures and mace-torch results).
"""

import inspect
import sys
import types
from functools import cache
from pathlib import Path

import numpy as np

RESIDUAL, PLAIN = "RealAgnosticResidualInteractionBlock", "RealAgnosticInteractionBlock"
NON_LINEAR = "RealAgnosticResidualNonLinearInteractionBlock"
ATTENTION = "RealAgnosticAttResidualInteractionBlock"
DENSITY, DENSITY_RESIDUAL = "RealAgnosticDensityInteractionBlock", "RealAgnosticDensityResidualInteractionBlock"

_TABLE = {"type": "categorical", "per": "graph"}
_NUMBER = {"type": "continuous", "per": "graph", "in_dim": 1}

MODELS = {
    "one_layer_scalar": {"n_layers": 1, "hidden": "16x0e", "l_max": 1, "correlation": 1, "elements": [14]},
    "one_layer_plain": {
        "n_layers": 1, "hidden": "16x0e", "l_max": 3, "correlation": 3, "elements": [8, 1], "first": PLAIN,
    },
    "two_layers_scalar": {"n_layers": 2, "hidden": "16x0e", "l_max": 2, "correlation": 2, "elements": [1, 8]},
    "two_layers_vector": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 3, "correlation": 3, "elements": [1, 8], "first": PLAIN,
    },
    "two_layers_unscaled": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 3, "elements": [1, 6, 8], "scaled": False,
        "radial": [24], "n_basis": 5, "power": 6,
    },
    "two_layers_tensor": {
        "n_layers": 2, "hidden": "16x0e+16x1o+16x2e", "l_max": 1, "correlation": 2, "elements": [1, 6, 7, 8],
        "first": PLAIN,
    },
    "two_layers_tensor_high": {
        "n_layers": 2, "hidden": "16x0e+16x1o+16x2e", "l_max": 3, "correlation": 2, "elements": [7, 1, 8],
    },
    "two_layers_cutoff_on_weights": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": [3, 2], "elements": [1, 8],
        "apply_cutoff": False,
    },
    "two_layers_all_plain": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 8], "first": PLAIN,
        "later": PLAIN, "scaled": False,
    },
    "radial_without_hidden_layers": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 2, "elements": [1, 8], "radial": [],
    },
    "three_layers_vector": {
        "n_layers": 3, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": [1, 2, 3], "elements": [1, 6, 7, 8],
        "keep_last_layer_irreps": True,
    },
    "two_layers_odd": {
        "n_layers": 2, "hidden": "8x0e+8x0o+8x1o+8x1e", "l_max": 1, "correlation": 2, "elements": [1, 8],
    },
    "two_layers_odd_high": {
        "n_layers": 2, "hidden": "8x0e+8x0o+8x1o+8x1e", "l_max": 2, "correlation": 2, "elements": [1, 8],
    },
    "single_precision": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 8], "dtype": "float32",
    },
    "repulsion": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [14, 28, 8],
        "extra": {"pair_repulsion": True},
    },
    "repulsion_unscaled": {
        "n_layers": 1, "hidden": "16x0e", "l_max": 1, "correlation": 2, "elements": [28, 6, 8], "scaled": False,
        "power": 6, "extra": {"pair_repulsion": True},
    },
    "repulsion_single_precision": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 1, "elements": [14], "dtype": "float32",
        "extra": {"pair_repulsion": True},
    },
    "heads": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 8, 14],
        "extra": {"heads": ["pbe", "scan", "replay"]}, "head": "scan",
    },
    "heads_unscaled": {
        "n_layers": 1, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "scaled": False,
        "extra": {"heads": ["pbe", "scan"]}, "head": "pbe",
    },
    "heads_single_precision": {
        "n_layers": 3, "hidden": "8x0e+8x1o", "l_max": 1, "correlation": 2, "elements": [1, 8], "dtype": "float32",
        "extra": {"heads": ["pbe", "scan"]}, "head": "scan",
    },
    "last_readout": {
        "n_layers": 3, "hidden": "8x0e+8x1o", "l_max": 1, "correlation": 2, "elements": [1, 8],
        "extra": {"use_last_readout_only": True},
    },
    "last_readout_of_heads": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "head": "b",
        "keep_last_layer_irreps": True, "extra": {"use_last_readout_only": True, "heads": ["a", "b"]},
    },
    "gate_tanh": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "extra": {"gate": "tanh"},
    },
    "gate_abs": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "extra": {"gate": "abs"},
    },
    "gate_none": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "extra": {"gate": None},
    },
    "single_precision_buffers": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 1, "elements": [1, 8], "buffers": "float32",
    },
    "double_precision_buffers": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 1, "elements": [1, 8], "buffers": "float64",
        "dtype": "float32",
    },
    "biased": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "biased": True,
    },
    "biased_heads": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "biased": True,
        "extra": {"heads": ["a", "b", "c"]}, "head": "b",
    },
    "simplified": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 2, "elements": [1, 8], "older": True,
        "simplified": True,
    },
    "density": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [14, 28, 8],
        "first": DENSITY, "later": DENSITY_RESIDUAL,
    },
    "density_agnesi": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 3, "correlation": 2, "elements": [8, 1, 28],
        "first": DENSITY, "later": DENSITY_RESIDUAL, "extra": {"distance_transform": "Agnesi"},
    },
    "density_cutoff_on_weights": {
        "n_layers": 1, "hidden": "16x0e", "l_max": 2, "correlation": 2, "elements": [6, 1, 8],
        "first": DENSITY_RESIDUAL, "apply_cutoff": False,
    },
    "density_agnesi_cutoff_on_weights_repulsion": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [14, 28, 8],
        "first": DENSITY_RESIDUAL, "later": DENSITY, "apply_cutoff": False,
        "extra": {"distance_transform": "Agnesi", "pair_repulsion": True},
    },
    "density_agnesi_repulsion": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 3, "elements": [28, 6, 8],
        "first": DENSITY_RESIDUAL, "later": DENSITY_RESIDUAL,
        "extra": {"distance_transform": "Agnesi", "pair_repulsion": True},
    },
    "density_single_precision": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8, 6], "dtype": "float32",
        "first": DENSITY, "later": DENSITY_RESIDUAL, "extra": {"distance_transform": "Agnesi"},
    },
    "agnesi": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 6, 8],
        "extra": {"distance_transform": "Agnesi"},
    },
    "soft": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 6, 8],
        "extra": {"distance_transform": "Soft"},
    },
    "gaussian": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 2, "elements": [1, 6, 8],
        "extra": {"radial_type": "gaussian"},
    },
    "agnostic": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 3, "elements": [1, 6, 8],
        "extra": {"use_agnostic_product": True},
    },
    "so3": {
        "n_layers": 2, "hidden": "8x0e+8x1e", "l_max": 2, "correlation": 2, "elements": [1, 8],
        "extra": {"use_so3": True},
    },
    "edge_irreps": {
        "n_layers": 3, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 6, 8], "first": PLAIN,
        "extra": {"edge_irreps": "8x0e+8x1o+8x2e"},
    },
    "nonlinear": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [8, 1, 6],
        "first": NON_LINEAR, "later": NON_LINEAR,
    },
    "nonlinear_foundation": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 3, "correlation": 3, "elements": [14, 28, 8],
        "first": NON_LINEAR, "later": NON_LINEAR, "apply_cutoff": False, "head": "b",
        "extra": {
            "edge_irreps": "8x0e+8x1o", "use_edge_irreps_first": True, "use_agnostic_product": True,
            "distance_transform": "Agnesi", "pair_repulsion": True, "heads": ["a", "b"],
        },
    },
    "nonlinear_without_hidden_layers": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 1, "correlation": 2, "elements": [1, 8],
        "first": NON_LINEAR, "later": NON_LINEAR, "apply_cutoff": False, "radial": [],
    },
    "nonlinear_three_layers": {
        "n_layers": 3, "hidden": "16x0e+16x1o+16x2e", "l_max": 2, "correlation": 2, "elements": [1, 8, 6],
        "first": NON_LINEAR, "later": NON_LINEAR, "apply_cutoff": False, "dtype": "float32",
    },
    "nonlinear_later": {
        "n_layers": 2, "hidden": "16x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "first": DENSITY_RESIDUAL,
        "later": NON_LINEAR, "keep_last_layer_irreps": True, "radial": [24],
    },
    "older_repulsion": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 1, "correlation": 2, "elements": [14, 28, 8], "power": 6,
        "older_repulsion": True, "extra": {"pair_repulsion": True},
    },
    "attention": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 6, 8],
        "first": ATTENTION, "later": ATTENTION, "apply_cutoff": False, "radial": [256] * 3,
    },
    "attention_later": {
        "n_layers": 3, "hidden": "8x0e+8x1o", "l_max": 1, "correlation": 2, "elements": [14, 28], "first": RESIDUAL,
        "later": ATTENTION, "keep_last_layer_irreps": True, "extra": {"pair_repulsion": True}, "radial": [256] * 3,
    },
    "attention_with_charge": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 2, "correlation": 2, "elements": [8, 1, 6], "first": ATTENTION,
        "later": DENSITY_RESIDUAL, "apply_cutoff": False, "dtype": "float32", "radial": [256] * 3,
        "extra": {"embedding_specs": {"total_charge": {**_TABLE, "num_classes": 5, "emb_dim": 6, "offset": 2}}},
        "inputs": [{"charge": -2}, {"charge": 1}, {}],
    },
    "lora": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 6, 8], "lora": True,
        "extra": {"cueq_config": "off"},
    },
    "lora_of_heads": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 2, "elements": [1, 8], "first": NON_LINEAR,
        "later": NON_LINEAR, "head": "b", "dtype": "float32", "lora": True, "biased": True,
        "extra": {
            "heads": ["a", "b"],
            "embedding_specs": {"total_charge": {**_TABLE, "num_classes": 3, "emb_dim": 4, "offset": 1}},
        },
        "inputs": [{"charge": -1}, {"charge": 1}, {}],
    },
    "charge": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 2, "correlation": 2, "elements": [1, 6, 8],
        "extra": {"embedding_specs": {"total_charge": {**_TABLE, "num_classes": 5, "emb_dim": 6, "offset": 2}}},
        "inputs": [{"charge": -2}, {"charge": 1}, {}],
    },
    "charge_and_spin": {
        "n_layers": 2, "hidden": "16x0e+16x1o", "l_max": 3, "correlation": 2, "elements": [1, 8, 6],
        "first": NON_LINEAR, "later": NON_LINEAR, "apply_cutoff": False,
        "extra": {
            "edge_irreps": "8x0e+8x1o", "use_edge_irreps_first": True, "use_embedding_readout": True,
            "embedding_specs": {
                "total_spin": {**_TABLE, "num_classes": 8, "emb_dim": 8},
                "total_charge": {**_TABLE, "num_classes": 9, "emb_dim": 4, "offset": 4},
            },
        },
        "inputs": [{"charge": 4, "spin": 3}, {"spin": 2}, {"charge": -1.0}],
    },
    "charge_of_heads": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 1, "correlation": 2, "elements": [1, 8], "first": DENSITY,
        "head": "b", "dtype": "float32",
        "extra": {
            "heads": ["a", "b"], "use_embedding_readout": True,
            "embedding_specs": {
                "total_charge": {**_NUMBER, "emb_dim": 5, "use_bias": False}, "total_spin": {**_NUMBER, "emb_dim": 3},
            },
        },
        "inputs": [{"charge": 0.25, "spin": 3}, {"charge": -1.5}, {}],
    },
    "charge_unscaled": {
        "n_layers": 1, "hidden": "8x0e", "l_max": 1, "correlation": 2, "elements": [1, 8], "scaled": False,
        "extra": {
            "use_embedding_readout": True,
            "embedding_specs": {"total_charge": {**_TABLE, "num_classes": 3, "emb_dim": 4, "offset": 1}},
        },
        "inputs": [{"charge": -1}, {"charge": 1}, {}],
    },
    "made_in_single_precision": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 2, "elements": [1, 8], "dtype": "float32",
        "conversions": ["float64"],
    },
    "made_in_single_precision_without_products": {
        "n_layers": 3, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 1, "elements": [1, 8], "dtype": "float32",
        "conversions": ["float64"], "trained_further": True,
    },
    "in_half_precision": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 2, "elements": [1, 8],
        "dtype": "float32", "conversions": ["float16"],
    },
    "in_half_precision_before": {
        "n_layers": 2, "hidden": "8x0e+8x1o+8x1e", "l_max": 3, "correlation": 2, "elements": [1, 8],
        "dtype": "float32", "conversions": ["bfloat16", "float32"],
    },
    "older_version": {"n_layers": 2, "hidden": "16x0e", "l_max": 1, "correlation": 1, "elements": [1], "older": True},
    "chebyshev": {
        "n_layers": 2, "hidden": "8x0e+8x1o", "l_max": 2, "correlation": 1, "elements": [1, 6, 8], "n_basis": 2,
        "extra": {"radial_type": "chebyshev"},
    },
    "chebyshev_agnesi": {
        "n_layers": 2, "hidden": "8x0e", "l_max": 2, "correlation": 2, "elements": [1, 6, 8], "apply_cutoff": False,
        "first": DENSITY, "later": DENSITY, "extra": {"radial_type": "chebyshev", "distance_transform": "Agnesi"},
    },
}  # fmt: skip

_SMALL = {"n_layers": 1, "hidden": "4x0e", "l_max": 1, "correlation": 1, "elements": [1, 8]}

UNSUPPORTED = {
    "sin": {"n_layers": 2, "extra": {"gate": "sin"}},
    "embedding": {"extra": {"embedding_specs": {"elec_temp": {**_NUMBER, "emb_dim": 4}}}},
    "cuequivariance": {"converted": "cuequivariance_torch.operations.other.Linear"},
    "openequivariance": {"converted": "openequivariance.impl_torch.TensorProductConv.TensorProductConv"},
    "embedding_of_atoms": {"extra": {"embedding_specs": {
        "total_charge": {"type": "continuous", "per": "atom", "in_dim": 1, "emb_dim": 4},
    }}},
}  # fmt: skip
"""Variants of a small model that the reader refuses."""

WRAPPED = ("wrapped_dictionary.model", "wrapped_parallel.model", "wrapped_compile.model", "wrapped-mliap_lammps.pt")
"""Files that contain the model of ``wrapped_not.model``."""

OTHER_MODELS = {
    "AtomicDipolesMACE": {},
    "EnergyDipolesMACE": {"atomic_energies": np.ones(2)},
    "AtomicDielectricMACE": {"use_polarizability": True},
}

_ATTRIBUTES_OF_NEWER_VERSIONS = (
    "heads", "apply_cutoff", "edge_irreps", "use_reduced_cg", "use_agnostic_product", "use_so3",
    "use_last_readout_only", "use_edge_irreps_first", "lammps_mliap", "cueq_config", "oeq_config",
)  # fmt: skip


def make_structures(numbers: list[int], cutoff: float) -> list:
    """Return rattled structures: a triclinic cell, a cell smaller than the cutoff, and a molecule without a cell."""
    from ase import Atoms

    rng = np.random.default_rng(7)
    cell = np.array([[5.6, 0.0, 0.0], [1.1, 5.2, 0.0], [-0.7, 0.9, 6.1]])
    grid = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(3)]) / [2.0, 2.0, 3.0]
    bulk = Atoms(rng.permutation(np.resize(numbers, len(grid))), scaled_positions=grid, cell=cell, pbc=True)
    small = Atoms(
        np.resize(numbers, 2), positions=[[0.1, 0.0, 0.0], [1.3, 1.1, 0.9]], pbc=True,
        cell=[[0.6 * cutoff, 0.0, 0.2], [0.5, 0.65 * cutoff, 0.0], [0.0, 0.4, 0.7 * cutoff]],
    )  # fmt: skip
    corners = 1.6 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    molecule = Atoms(np.resize(numbers, 5), positions=corners)
    for structure in (bulk, small, molecule):
        structure.positions += rng.normal(scale=0.12, size=(len(structure), 3))
    return [bulk, small, molecule]


def make_model(options: dict, seed: int):
    """Return a mace-torch model with random weights."""
    import torch
    from e3nn import o3
    from mace import modules

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    numbers = options["elements"]
    arguments = {
        "r_max": 4.3,
        "num_bessel": options.get("n_basis", 8),
        "num_polynomial_cutoff": options.get("power", 5),
        "max_ell": options["l_max"],
        "interaction_cls": modules.interaction_classes[options.get("later", RESIDUAL)],
        "interaction_cls_first": modules.interaction_classes[options.get("first", RESIDUAL)],
        "num_interactions": options["n_layers"],
        "num_elements": len(numbers),
        "hidden_irreps": o3.Irreps(options["hidden"]),
        "MLP_irreps": o3.Irreps("12x0e"),
        "atomic_energies": rng.uniform(-20.0, -1.0, len(numbers)),
        "avg_num_neighbors": 9.7,
        "atomic_numbers": numbers,
        "correlation": options["correlation"],
        "gate": torch.nn.functional.silu,
        "radial_MLP": options.get("radial", [32, 16]),
        "apply_cutoff": options.get("apply_cutoff", True),
        "keep_last_layer_irreps": options.get("keep_last_layer_irreps", False),
    }
    arguments |= options.get("extra", {})
    if options.get("biased", False):
        arguments["readout_cls"] = modules.blocks.NonLinearBiasReadoutBlock
    if arguments.get("cueq_config") == "off":
        arguments["cueq_config"] = modules.wrapper_ops.CuEquivarianceConfig(enabled=False)
    if isinstance(arguments["gate"], str):
        arguments["gate"] = getattr(torch, arguments["gate"])
    if "edge_irreps" in arguments:
        arguments["edge_irreps"] = o3.Irreps(arguments["edge_irreps"])
    if len(arguments.get("heads", [])) > 1:
        n_heads = len(arguments["heads"])
        arguments["atomic_energies"] = rng.uniform(-20.0, -1.0, (n_heads, len(numbers)))
        scale, shift = rng.uniform(0.5, 2.0, n_heads), rng.uniform(-0.5, 0.5, n_heads)
    else:
        scale, shift = 1.7, -0.3
    if not options.get("scaled", True):
        return modules.MACE(**arguments)
    model = modules.ScaleShiftMACE(atomic_inter_scale=scale, atomic_inter_shift=shift, **arguments)
    if options.get("simplified", False):
        merge_inputs_of_linear(model)
    if options.get("biased", False):
        for linear in (model.readouts[-1].linear_mid, model.readouts[-1].linear_2):
            torch.nn.init.normal_(linear.bias)
    for interaction in model.interactions:
        if hasattr(interaction, "beta"):
            make_normalization_matter(interaction)
    if "converted" in options:
        replace_by_class(model, options["converted"])
    if options.get("lora", False):
        add_low_rank_weights(model)
    if "buffers" in options:
        cast_buffers(model, getattr(torch, options["buffers"]))
    if options.get("older_repulsion", False):
        make_repulsion_older(model.pair_repulsion_fn, arguments)
    if options.get("older", False):
        for module in model.modules():
            for name in _ATTRIBUTES_OF_NEWER_VERSIONS:
                module.__dict__.pop(name, None)
    for precision in options.get("conversions", []):
        model = model.to(getattr(torch, precision))
    if options.get("trained_further", False):
        for parameter in model.parameters():
            parameter.data *= 1.0 + 0.01 * torch.rand_like(parameter)
    return model


def make_normalization_matter(interaction) -> None:
    """Give a non-linear block random values where mace-torch starts with zeros and ones."""
    import torch

    torch.nn.init.uniform_(interaction.beta, 0.5, 2.0)
    for embedding in (interaction.source_embedding, interaction.target_embedding):
        torch.nn.init.normal_(embedding.weight)
    for step in (*interaction.conv_tp_weights.net, *interaction.density_fn.net):
        if isinstance(step, torch.nn.LayerNorm):
            torch.nn.init.uniform_(step.weight, 0.5, 2.0)
            torch.nn.init.normal_(step.bias)


def replace_by_class(model, name: str) -> None:
    """Put an object of a class of this name, which need not be installed, into the model."""
    import torch

    module_name, _, class_name = name.rpartition(".")
    module = types.ModuleType(module_name)
    module.__dict__[class_name] = type(class_name, (torch.nn.Module,), {"__module__": module_name})
    parts = module_name.split(".")
    for k in range(1, len(parts)):
        sys.modules.setdefault(".".join(parts[:k]), types.ModuleType(".".join(parts[:k])))
    sys.modules[module_name] = module
    model.interactions[0].linear_up = module.__dict__[class_name]()


def make_repulsion_older(repulsion, arguments: dict) -> None:
    """Give a repulsion the attributes that it had in the repository of mace-torch before version 0.3.5."""
    import torch
    from mace.modules.radial import PolynomialCutoff

    for name in ("p", "covalent_radii", "a_exp", "a_prefactor"):
        delattr(repulsion, name)
    repulsion.register_buffer("r_max", torch.tensor(arguments["r_max"]))
    repulsion.cutoff = PolynomialCutoff(arguments["r_max"], arguments["num_polynomial_cutoff"])


def older_repulsion(self, x, node_attrs, edge_index, atomic_numbers):
    """Return the energies of atoms as that version computed them; this one no longer can."""
    import torch

    charges = atomic_numbers[node_attrs.argmax(dim=1)].to(x.dtype).unsqueeze(1)
    z_i, z_j = charges[edge_index[1]], charges[edge_index[0]]
    reduced = x * (z_i**0.23 + z_j**0.23) / (0.8854 * 0.529)
    exponents = torch.tensor([3.2, 0.9423, 0.4028, 0.2016], dtype=x.dtype)
    screened = (torch.exp(-reduced * exponents) * self.c).sum(dim=1, keepdim=True)
    terms = 14.3996 * z_i * z_j / x * screened * self.cutoff(x)
    return torch.zeros_like(charges).index_add(0, edge_index[1], terms).squeeze(1)


def chebyshev_with_gradient(self, x):
    """Return the values of mace-torch's ``ChebychevBasis``, with the gradient that torch lacks: d T_n = n U_(n-1)."""
    import torch

    class Polynomials(torch.autograd.Function):
        @staticmethod
        def forward(context, x, n):
            context.save_for_backward(x, n)
            return torch.special.chebyshev_polynomial_t(x, n)

        @staticmethod
        def backward(context, gradient):
            x, n = context.saved_tensors
            return (gradient * n * torch.special.chebyshev_polynomial_u(x, n - 1)).sum(dim=1, keepdim=True), None

    return Polynomials.apply(x, self.n)


def add_low_rank_weights(model) -> None:
    """Wrap the linear maps of a model for low-rank adaptation, with weights that matter."""
    import torch
    from mace.modules.lora import inject_LoRAs

    inject_LoRAs(model, rank=3, alpha=2.0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)


def cast_buffers(model, dtype) -> None:
    """Give cutoff, radial basis, energies of isolated atoms, scale and shift another precision than the weights."""
    for module in (model.radial_embedding, model.atomic_energies_fn, model.scale_shift):
        module.to(dtype)
    model.r_max = model.r_max.to(dtype)


def merge_inputs_of_linear(model) -> None:
    """Give the linear map after each convolution the simplified irreps of mace-torch up to 0.3.8."""
    from e3nn import o3

    for interaction in model.interactions:
        old = interaction.linear
        interaction.linear = o3.Linear(old.irreps_in.simplify(), old.irreps_out)
        interaction.linear.weight.data.copy_(old.weight.data)


def evaluate(model, structure, head: str | None = None) -> dict:
    """Return the mace-torch results for ``structure``."""
    from mace import data, tools

    table = tools.AtomicNumberTable([int(z) for z in model.atomic_numbers])
    heads = getattr(model, "heads", ["Default"])
    # the names that mace-torch's calculator takes from atoms.info
    keys = data.KeySpecification(info_keys={"total_charge": "charge", "total_spin": "spin"}, arrays_keys={})
    configuration = data.config_from_atoms(structure, key_specification=keys, head_name=head or heads[0])
    graph = data.AtomicData.from_config(configuration, z_table=table, cutoff=float(model.r_max), heads=heads)
    batch = next(iter(tools.torch_geometric.dataloader.DataLoader([graph], batch_size=1)))
    is_periodic = bool(structure.pbc.any())
    out = model(batch.to_dict(), compute_stress=is_periodic)
    stress = out["stress"].detach().numpy()[0] if is_periodic else np.zeros((3, 3))
    return {
        "numbers": structure.numbers,
        "positions": structure.positions,
        "cell": structure.cell[:],
        "pbc": structure.pbc,
        **structure.info,
        "energy": out["energy"].detach().numpy()[0],
        "node_energies": out["node_energy"].detach().numpy(),
        "forces": out["forces"].detach().numpy(),
        "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
    }


def main(folder: Path) -> None:
    """Write all models and their results to ``folder``."""
    import torch

    torch.set_num_threads(1)
    # torch.jit would parse the same classes for each of several hundred modules
    inspect.getsourcelines = cache(inspect.getsourcelines)
    for seed, (name, options) in enumerate(MODELS.items()):
        dtype = torch.float32 if options.get("dtype") == "float32" else torch.float64
        torch.set_default_dtype(dtype)
        model = make_model(options, seed)
        torch.save(model, folder / f"{name}.model")
        torch.set_default_dtype(torch.float64)
        model = model.double()
        if options.get("older_repulsion", False):
            model.pair_repulsion_fn.forward = types.MethodType(older_repulsion, model.pair_repulsion_fn)
        if options.get("extra", {}).get("radial_type") == "chebyshev":
            basis = model.radial_embedding.bessel_fn
            distances = torch.linspace(0.1, 4.0, 9).unsqueeze(1)
            assert torch.equal(chebyshev_with_gradient(basis, distances), basis(distances))
            basis.forward = types.MethodType(chebyshev_with_gradient, basis)
        results = {}
        for number, structure in enumerate(make_structures(options["elements"], 4.3)):
            structure.info = options.get("inputs", [{}] * 3)[number]
            for key, value in evaluate(model, structure, options.get("head")).items():
                results[f"{number}.{key}"] = value
        np.savez(folder / f"{name}.npz", **results)
    for name, options in UNSUPPORTED.items():
        model = make_model(_SMALL | options, 0)
        torch.save(model, folder / f"unsupported_{name}.model")
        n_weights = sum(parameter.numel() for parameter in model.parameters())
        (folder / f"unsupported_{name}.txt").write_text(str(n_weights))
    model = make_model(_SMALL, 0)
    torch.save(model.state_dict(), folder / "state_dict.pt")
    torch.save({"model": model.state_dict(), "optimizer": {}, "epoch": 3}, folder / "checkpoint.pt")
    torch.save(model, folder / "legacy.model", _use_new_zipfile_serialization=False)
    model.radial_embedding.bessel_fn.bessel_weights[1] = float("nan")
    torch.save(model, folder / "not_finite.model")
    model = make_model(_SMALL, 0)
    model.interactions[0].avg_num_neighbors = np.float64(9.7)
    torch.save(model, folder / "numbers.model")
    save_wrapped(folder)


def save_wrapped(folder: Path) -> None:
    """Write the model of numbers.model in all forms in which it is still the same model."""
    import torch
    from mace.calculators.lammps_mliap_mace import LAMMPS_MLIAP_MACE

    model = make_model(_SMALL, 0)
    torch.save(model, folder / "wrapped_not.model")
    torch.save({"model": model}, folder / "wrapped_dictionary.model")
    torch.save(torch.nn.DataParallel(model), folder / "wrapped_parallel.model")
    torch.save(torch.compile(model), folder / "wrapped_compile.model")
    torch.save(LAMMPS_MLIAP_MACE(model), folder / "wrapped-mliap_lammps.pt")
    save_other_models(folder)


def save_other_models(folder: Path) -> None:
    """Write models of mace-torch that predict something else than energies."""
    import torch
    from e3nn import o3
    from mace import modules

    irreps = o3.Irreps("4x0e+4x1o+4x2e")
    arguments = {
        "r_max": 4.0, "num_bessel": 4, "num_polynomial_cutoff": 5, "max_ell": 1, "num_interactions": 2,
        "interaction_cls": modules.interaction_classes[RESIDUAL], "num_elements": 2, "avg_num_neighbors": 3.0,
        "interaction_cls_first": modules.interaction_classes[RESIDUAL], "atomic_numbers": [1, 8], "correlation": 1,
        "gate": torch.nn.functional.silu, "hidden_irreps": irreps, "MLP_irreps": irreps, "atomic_energies": None,
    }  # fmt: skip
    for name, extra in OTHER_MODELS.items():
        torch.save(getattr(modules, name)(**arguments | extra), folder / f"other_{name}.model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
