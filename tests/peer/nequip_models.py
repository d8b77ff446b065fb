"""Create small NequIP models and evaluate them with NequIP in float64; runs in NequIP's interpreter.

Usage: ``python nequip_models.py create FOLDER`` writes ``NAME.ckpt`` with random weights for each entry of `MODELS`,
``NAME.nequip.zip`` for each of `PACKAGES`, and the checkpoint of a training that starts from a package.
``python nequip_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each of them, and
``python nequip_models.py strip FOLDER`` removes the sources from the packages, which NequIP needs and the reader does
not. The folder ``tests/data/nequip`` was made with the three commands. With NequIP 0.9.0 and e3nn 0.5.9,
``create_old`` takes the place of ``create`` and writes ``package_0_9.nequip.zip`` and ``checkpoint_0_9.ckpt``.
"""

import os
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
from sevennet_models import structures

_COMMON = {
    "_target_": "nequip.model.NequIPGNNModel", "seed": 3, "model_dtype": "float32", "r_max": 3.5, "num_bessels": 4,
    "radial_mlp_width": 6, "avg_num_neighbors": 6.3, "per_type_energy_scales": 20.0,
}  # fmt: skip
_ZBL = {"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal"}
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
    "repulsion": {
        "type_names": ["Si", "O", "H"], "num_layers": 2, "l_max": 1, "num_features": 4, "parity": False,
        "per_edge_type_cutoff": {"Si": 3.1, "O": {"Si": 3.3, "O": 2.9}, "H": {"O": 2.7}},
        "avg_num_neighbors": {"Si": 7.0, "O": 5.0, "H": 4.0}, "readout_mlp_hidden_layers_depth": 1,
        "readout_mlp_nonlinearity": "mish", "per_type_energy_scales_trainable": True,
        "pair_potential": _ZBL | {"chemical_species": ["Si", "O", "H"]},
    },
    "packaged": {
        "_target_": "nequip.model.FullNequIPGNNModel", "type_names": ["H", "O"], "model_dtype": "float64",
        "feature_irreps_hidden": ["4x0e+4x1o+2x2e", "4x0e+2x0o+2x1o+2x1e", "4x0e"], "irreps_edge_sh": "1x0e+1x1o+1x2e",
        "radial_mlp_depth": [1, 2, 1], "radial_mlp_width": [6, 5, 4], "type_embed_num_features": 3,
        "per_edge_type_cutoff": {"H": {"H": 2.5, "O": 3.2}, "O": 3.4}, "polynomial_cutoff_p": 8,
        "avg_num_neighbors": {"H": 4.0, "O": 7.0}, "readout_mlp_hidden_layers_depth": 2,
        "readout_mlp_hidden_layers_width": 5, "convnet_nonlinearity_scalars": {"e": "ssp", "o": "tanh"},
        "per_type_energy_scales": {"H": 15.0, "O": 25.0}, "per_type_energy_shifts": {"O": -3.0, "H": -1.0},
        "pair_potential": _ZBL | {"chemical_species": ["H", "O"], "polynomial_cutoff_p": 5},
    },
}  # fmt: skip
PACKAGES = ("packaged",)
"""Models that are also packaged; their checkpoints are not committed."""
OLD = {
    "type_names": ["O", "H"], "num_layers": 2, "l_max": 1, "num_features": 4, "parity": False, "polynomial_cutoff_p": 5,
    "per_edge_type_cutoff": {"O": {"O": 3.0, "H": 3.1}, "H": {"O": 2.5, "H": 3.4}},
    "per_type_energy_shifts": {"O": -3.0, "H": -1.0}, "pair_potential": _ZBL | {"chemical_species": ["O", "H"]},
}  # fmt: skip
"""Model of NequIP 0.9, whose repulsion takes the cutoff function of the model."""
TUNED = {
    "_target_": "nequip.model.modify",
    "modifiers": [
        {"modifier": "modify_PerTypeScaleShift", "shifts": {"O": -3.5}, "shifts_trainable": True},
        {"modifier": "enable_OpenEquivariance"},
    ],
    "model": {"_target_": "nequip.model.ModelFromPackage", "package_path": "packaged.nequip.zip"},
}
"""Model of a training that starts from a package."""
_WITH_AVERAGES = ("averages", "in_float64", "packaged", "tuned")


def create(folder: Path) -> None:
    """Write ``NAME.ckpt`` for each model, in the layout of Lightning, and ``NAME.nequip.zip`` for each package."""
    from nequip.model.modify_utils import only_apply_persistent_modifiers
    from nequip.scripts import package

    os.chdir(folder)
    for name, options in MODELS.items():
        model = _COMMON | options
        if model["_target_"].endswith("FullNequIPGNNModel"):
            model.pop("num_layers", None)
        create_checkpoint(name, model, model["type_names"])
    for name in PACKAGES:
        package.main(["build", f"{name}.ckpt", f"{name}.nequip.zip"])
        Path(f"{name}.ckpt").unlink()
    with only_apply_persistent_modifiers(persistent_only=True):  # the kernels of the others need a GPU
        create_checkpoint("tuned", TUNED, MODELS["packaged"]["type_names"])


def create_old(folder: Path) -> None:
    """Write a package and a checkpoint of an old version; the checkpoint has the same cutoff function in newer ones."""
    from nequip.scripts import package

    os.chdir(folder)
    loss = {"_target_": "nequip.train.EnergyForceLoss", "coeffs": {"total_energy": 1.0, "forces": 1.0}}
    metrics = {"_target_": "nequip.train.EnergyForceMetrics", "coeffs": {"total_energy_mae": 1.0, "forces_mae": 1.0}}
    for name, change in (("package_0_9", {}), ("checkpoint_0_9", {"polynomial_cutoff_p": 6})):
        create_checkpoint(name, _COMMON | OLD | change, OLD["type_names"], loss=loss, val_metrics=metrics)
    package.data_dict_from_checkpoint = lambda _: {}  # examples of data, which no test reads
    package.main(["build", "package_0_9.ckpt", "package_0_9.nequip.zip"])
    Path("package_0_9.ckpt").unlink()


def create_checkpoint(name: str, model: dict, type_names: list[str], **settings: dict) -> None:
    """Write ``NAME.ckpt`` into the current folder; ``settings`` are further ones of the training module."""
    import ase.io
    import nequip
    import torch
    from ase.calculators.singlepoint import SinglePointCalculator
    from nequip.train import EMALightningModule, NequIPLightningModule

    atoms = structures(type_names)[0]
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)))
    ase.io.write(f"{name}.xyz", atoms)
    transforms = [
        {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": type_names},
        {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": _COMMON["r_max"]},
    ]
    data = {
        "_target_": "nequip.data.datamodule.ASEDataModule", "seed": 1, "train_file_path": f"{name}.xyz",
        "val_file_path": f"{name}.xyz", "transforms": transforms,
    }  # fmt: skip
    kind = EMALightningModule if name in _WITH_AVERAGES else NequIPLightningModule
    versions = {"nequip": nequip.__version__, "e3nn": "0.6.0"}
    info = {"versions": versions, "training_module": {"_target_": f"nequip.train.{kind.__name__}"}, "data": data}
    counts = {"train": 1, "val": 1, "test": 0, "predict": 0}
    module = kind(model=model, num_datasets=counts, info_dict=info, **settings)
    states = module.state_dict()
    generator = torch.Generator().manual_seed(1)
    for key, value in states.items():
        # averages differ from the last weights, and those of a later training from those of the package
        if key.startswith("ema.ema_weight_") or (name == "tuned" and "linear_" in key):
            value.add_(0.1 * torch.randn(value.shape, generator=generator).to(value.dtype))
    content = {"epoch": 1, "global_step": 3, "pytorch-lightning_version": "2.6", "state_dict": states}
    torch.save(content | {"hyper_parameters": dict(module.hparams)}, f"{name}.ckpt")


def evaluate(folder: Path) -> None:
    """Write the structures, energies, forces and stresses of each model in ``folder``."""
    from nequip.model import ModelFromCheckpoint, ModelFromPackage
    from nequip.model.modify_utils import only_apply_persistent_modifiers

    os.chdir(folder)
    for path in sorted([*Path().glob("*.ckpt"), *Path().glob("*.nequip.zip")]):
        load = ModelFromCheckpoint if path.suffix == ".ckpt" else ModelFromPackage
        with only_apply_persistent_modifiers(persistent_only=True):
            model = in_float64(load(str(path))["sole_model"])
        stored = {}
        every = structures(list(model.type_names))
        every.append(every[1].copy())
        every[2].positions[1] = every[2].positions[0] + [0.5, 0.4, -0.3]  # two nuclei close together
        for number, atoms in enumerate(every):
            for part in ("numbers", "positions", "pbc"):
                stored[f".{number}.{part}"] = getattr(atoms, part)
            stored[f".{number}.cell"] = atoms.cell.array
            results = results_of(model, list(model.type_names), _COMMON["r_max"], atoms)
            stored |= {f".{number}.{part}": value for part, value in results.items()}
        np.savez_compressed(path.with_suffix(".npz"), **stored)


def strip(folder: Path) -> None:
    """Remove from each package what the reader does not read: sources, other models and examples of data."""
    for path in folder.glob("*.nequip.zip"):
        with zipfile.ZipFile(path) as archive:
            kept = {
                name: archive.read(name)
                for name in archive.namelist()
                if not name.endswith((".py", "/compile_model.pkl", "/example_data.pkl"))
                or name.endswith("/nequip/__init__.py")
            }
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in kept.items():
                archive.writestr(zipfile.ZipInfo(name), content)


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
    commands = {"create": create, "create_old": create_old, "evaluate": evaluate, "strip": strip}
    commands[sys.argv[1]](Path(sys.argv[2]).resolve())
