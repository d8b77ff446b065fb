"""Create small NequIP checkpoints and evaluate them with NequIP in float64; runs in NequIP's interpreter.

Usage: ``python nequip_models.py create FOLDER`` writes ``NAME.ckpt`` with random weights for each entry of `MODELS`,
and ``python nequip_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each of them. The
folder ``tests/data/nequip`` was made with both commands.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sevennet_models import structures

_COMMON = {
    "_target_": "nequip.model.NequIPGNNModel", "seed": 3, "model_dtype": "float32", "r_max": 3.5, "num_bessels": 4,
    "radial_mlp_width": 6, "avg_num_neighbors": 6.3, "per_type_energy_scales": 20.0,
}  # fmt: skip
MODELS = {
    "averages": {
        "type_names": ["O", "H"], "num_layers": 3, "l_max": 1, "num_features": 4,
        "per_type_energy_shifts": {"O": -3.0, "H": -1.0},
    },
    "two_orders": {
        "type_names": ["Si", "O", "H"], "num_layers": 2, "l_max": 2, "num_features": [4, 2, 2], "parity": False,
        "radial_mlp_depth": 2, "type_embed_num_features": 3, "polynomial_cutoff_p": 5, "bessel_trainable": True,
        "per_type_energy_shifts": -2.0,
    },
    "in_float64": {
        "type_names": ["O", "H"], "num_layers": 2, "l_max": 1, "num_features": 4, "model_dtype": "float64",
        "per_type_energy_shifts": {"O": -3.0, "H": -1.0}, "per_type_energy_shifts_trainable": True,
    },
}  # fmt: skip
_WITH_AVERAGES = ("averages", "in_float64")


def create(folder: Path) -> None:
    """Write ``NAME.ckpt`` for each model, in the layout of Lightning."""
    import torch
    from nequip.train import EMALightningModule, NequIPLightningModule

    for name, options in MODELS.items():
        kind = EMALightningModule if name in _WITH_AVERAGES else NequIPLightningModule
        versions = {"nequip": "0.19.1", "e3nn": "0.6.0"}
        info = {"versions": versions, "training_module": {"_target_": f"nequip.train.{kind.__name__}"}}
        counts = {"train": 1, "val": 1, "test": 0, "predict": 0}
        module = kind(model=_COMMON | options, num_datasets=counts, info_dict=info)
        states = module.state_dict()
        generator = torch.Generator().manual_seed(1)
        for key, value in states.items():
            if key.startswith("ema.ema_weight_"):  # so that they differ from the last weights
                value.add_(0.1 * torch.randn(value.shape, generator=generator).to(value.dtype))
        content = {"epoch": 1, "global_step": 3, "pytorch-lightning_version": "2.6", "state_dict": states}
        torch.save(content | {"hyper_parameters": dict(module.hparams)}, folder / f"{name}.ckpt")


def evaluate(folder: Path) -> None:
    """Write ``NAME.npz`` for each model of ``MODELS`` in ``folder``: structures, energies, forces and stresses."""
    from nequip.model import ModelFromCheckpoint

    for name, options in MODELS.items():
        model = in_float64(ModelFromCheckpoint(str(folder / f"{name}.ckpt"))["sole_model"])
        stored = {}
        for number, atoms in enumerate(structures(options["type_names"])):
            for part in ("numbers", "positions", "pbc"):
                stored[f".{number}.{part}"] = getattr(atoms, part)
            stored[f".{number}.cell"] = atoms.cell.array
            results = results_of(model, options["type_names"], _COMMON["r_max"], atoms)
            stored |= {f".{number}.{part}": value for part, value in results.items()}
        np.savez_compressed(folder / f"{name}.npz", **stored)


def in_float64(model):
    """Return a model of NequIP in float64, with constants as it rounded them."""
    import torch

    for module in model.modules():
        for name in ("_output_dtype", "model_dtype"):
            if hasattr(module, name):
                setattr(module, name, torch.float64)
    return model.double().eval()


def results_of(model, type_names: list[str], cutoff: float, atoms) -> dict[str, np.ndarray]:
    """Return energy (eV), forces (eV/angstrom) and, for a periodic structure, stress in ASE's order and sign."""
    from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper

    data = compute_neighborlist_(from_ase(atoms), r_max=cutoff)
    found = model(ChemicalSpeciesToAtomTypeMapper(type_names)(data))
    energy, forces = found[AtomicDataDict.TOTAL_ENERGY_KEY], found[AtomicDataDict.FORCE_KEY]
    results = {"energy": energy.reshape(()), "forces": forces}
    if atoms.pbc.all():
        results["stress"] = found[AtomicDataDict.STRESS_KEY].reshape(9)[[0, 4, 8, 5, 2, 1]]
    return {name: value.detach().numpy() for name, value in results.items()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import torch
    from nequip.utils.global_state import set_global_state

    set_global_state()
    torch.set_default_dtype(torch.float64)
    {"create": create, "evaluate": evaluate}[sys.argv[1]](Path(sys.argv[2]))
