"""Create small eSEN models of fairchem and evaluate them with fairchem-core 2 in float64.

Usage: ``python esen_models.py create FOLDER`` writes an inference checkpoint ``NAME.pt`` with random weights for each
entry of `MODELS`, and ``python esen_models.py evaluate FOLDER`` writes ``NAME.npz`` (structures and results) for each
of them. The folder ``tests/data/esen`` was made with both commands. ``python esen_models.py published FOLDER`` writes
``published.pt``, a model of published size, for measurements of speed.
"""

import copy
import sys
import warnings
from pathlib import Path

import numpy as np
from sevennet_models import structures

_UMA = "fairchem.core.models.uma"
_COMMON = {
    "max_num_elements": 12, "otf_graph": True, "max_neighbors": 300, "use_pbc": True, "use_pbc_single": True,
    "distance_function": "gaussian", "regress_forces": True, "regress_stress": True, "direct_forces": False,
    "norm_type": "rms_norm_sh", "act_type": "gate", "cutoff": 3.5, "cs_emb_grad": True, "dataset_emb_grad": True,
}  # fmt: skip
MODELS = {
    "datasets": {
        "backbone": {
            "model": f"{_UMA}.escn_moe.eSCNMDMoeBackbone", "num_experts": 0, "sphere_channels": 6, "lmax": 2, "mmax": 2,
            "edge_channels": 5, "num_distance_basis": 8, "num_layers": 2, "hidden_channels": 4, "ff_type": "spectral",
            "chg_spin_emb_type": "rand_emb",
            "dataset_mapping": {"omat": "omat", "omol": "omol", "omat_rattle": "omat"},
        },
        "head": {"module": f"{_UMA}.escn_moe.DatasetSpecificSingleHeadWrapper"},
        "structured": True,
    },
    "grid": {
        "backbone": {
            "model": f"{_UMA}.escn_md.eSCNMDBackbone", "sphere_channels": 4, "lmax": 3, "mmax": 2, "edge_channels": 6,
            "num_distance_basis": 6, "num_layers": 1, "hidden_channels": 5, "ff_type": "grid",
            "chg_spin_emb_type": "pos_emb", "use_dataset_embedding": False,
        },
        "head": {"module": f"{_UMA}.escn_md.MLP_EFS_Head"},
        "datasets": ("omol",),
    },
    "heads": {
        "backbone": {
            "model": "escnmd_backbone", "sphere_channels": 4, "lmax": 5, "mmax": 1, "edge_channels": 4,
            "num_distance_basis": 6, "num_layers": 2, "hidden_channels": 3, "ff_type": "spectral",
            "chg_spin_emb_type": "pos_emb", "dataset_list": ["omol", "oc20"],
        },
        "head": {"module": f"{_UMA}.escn_moe.DatasetSpecificMoEWrapper"},
    },
}  # fmt: skip
_PUBLISHED = {
    "backbone": MODELS["datasets"]["backbone"] | {
        "max_num_elements": 100, "sphere_channels": 128, "edge_channels": 128, "hidden_channels": 128, "num_layers": 4,
        "num_distance_basis": 64, "cutoff": 6.0,
    },
    "head": MODELS["datasets"]["head"],
}  # fmt: skip
"""Settings of the size of the published eSEN-sm."""
ELEMENTS = ("O", "H", "C")
STATES = ((0, 1), (-2, 3))
"""Charge and spin of the evaluations."""


def datasets_of(name: str) -> tuple[str, ...]:
    """Return the datasets of a model, each with a reference energy for each element."""
    found = MODELS[name]["backbone"].get("dataset_mapping", MODELS[name]["backbone"].get("dataset_list", ()))
    return MODELS[name].get("datasets", tuple(found))


def model_config(name: str) -> dict:
    """Return the configuration of a model as a training stores it."""
    head = dict(MODELS[name]["head"])
    if "escn_moe" in head["module"]:
        head |= {
            "head_cls": f"{_UMA}.escn_md.MLP_EFS_Head",
            "head_kwargs": {"wrap_property": False},
            "dataset_names": list(datasets_of(name)),
        }
    return {
        "_target_": "fairchem.core.models.base.HydraModel",
        "backbone": _COMMON | MODELS[name]["backbone"],
        "heads": {"energyandforcehead": head},
        "pass_through_head_outputs": True,
    }


def tasks_config(name: str) -> list[dict]:
    """Return tasks for energies, forces and stresses of each dataset."""
    modules = "fairchem.core.modules.normalization"
    tasks = []
    for number, dataset in enumerate(datasets_of(name)):
        prefix = "" if "escn_md." in MODELS[name]["head"]["module"] else f"{dataset}_"
        references = [0.0] + [-1.5 * z - 0.1 * number for z in range(1, 12)]
        references[2] = 0.0  # an element without training data
        for quantity, level in (("energy", "system"), ("forces", "atom"), ("stress", "system")):
            task = {
                "_target_": "fairchem.core.units.mlip_unit.mlip_unit.Task",
                "name": prefix + quantity,
                "level": level,
                "property": quantity,
                "loss_fn": {
                    "_target_": "fairchem.core.modules.loss.DDPMTLoss",
                    "loss_fn": {"_target_": "fairchem.core.modules.loss.MAELoss"},
                    "coefficient": 20,
                },
                "out_spec": {"dim": {"energy": [1], "forces": [3], "stress": [1, 9]}[quantity], "dtype": "float32"},
                "normalizer": {"_target_": f"{modules}.normalizer.Normalizer", "mean": 0.0, "rmsd": 1.423},
                "datasets": [dataset],
                "metrics": ["mae"],
            }
            if quantity == "energy":
                task["element_references"] = {
                    "_target_": f"{modules}.element_references.ElementReferences",
                    "element_references": {"_target_": "torch.DoubleTensor", "_args_": [references]},
                }
            tasks.append(task)
    return tasks


def published(folder: Path) -> None:
    """Write ``published.pt``."""
    MODELS["published"] = _PUBLISHED
    create(folder, ("published",))


def create(folder: Path, names: tuple[str, ...] = tuple(MODELS)) -> None:
    """Write ``NAME.pt`` for each model."""
    import torch
    from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    for name in names:
        options = MODELS[name]
        torch.manual_seed(4)
        config = model_config(name)
        model = instantiate(config)
        for key, weight in model.named_parameters():
            if key.endswith(("source_embedding.weight", "target_embedding.weight")):
                weight.data.normal_()
            else:
                weight.data += 0.3 * torch.randn_like(weight)  # so that no norm is the identity
        weights = model.state_dict()
        averaged = {f"module.{key}": weight for key, weight in weights.items()}
        last = {key: weight * 0.9 for key, weight in weights.items()} if name == "grid" else {}
        tasks = tasks_config(name)
        if options.get("structured", False):
            config, tasks = OmegaConf.create(config), OmegaConf.create(tasks)
        averaged["n_averaged"] = torch.tensor(7)
        torch.save(MLIPInferenceCheckpoint(config, last, averaged, tasks), folder / f"{name}.pt")


def evaluate(folder: Path) -> None:
    """Write ``NAME.npz`` for each model of ``MODELS`` in ``folder``."""
    for name in MODELS:
        stored = {}
        for dataset in datasets_of(name):
            for number, atoms in enumerate([*structures(ELEMENTS), small_cell(), poles()]):
                start = f"{dataset}.{number}."
                for part in ("numbers", "positions", "pbc"):
                    stored[start + part] = getattr(atoms, part)
                stored[start + "cell"] = atoms.cell.array
                charge, spin = STATES[number % 2]
                stored |= {f"{start}charge": np.array(charge), f"{start}spin": np.array(spin)}
                found = results_of(predictor(folder / f"{name}.pt"), atoms, dataset, charge, spin)
                stored |= {start + part: value for part, value in found.items()}
        np.savez_compressed(folder / f"{name}.npz", **stored)


def small_cell():
    """Return two atoms in a cell in which each is a neighbour of its own images."""
    from ase import Atoms

    cell = [[2.4, 0.0, 0.0], [0.4, 2.5, 0.0], [-0.3, 0.35, 3.1]]
    return Atoms("OH", positions=[[0.3, 0.2, 0.4], [1.4, 1.3, 2.2]], cell=cell, pbc=True)


def poles():
    """Return a molecule with edges along each axis and its opposite."""
    from ase import Atoms

    positions = [[0, 0, 0], [0, 1.1, 0], [0, -1.2, 0], [1.3, 0, 0], [-1.0, 0, 0], [0, 0, 1.4], [0, 0, -1.2]]
    return Atoms("COHHOCH", positions=positions)


def predictor(path: Path):
    """Return the predictor of a checkpoint in float64."""
    import torch
    from fairchem.core.units.mlip_unit import InferenceSettings
    from fairchem.core.units.mlip_unit.predict import MLIPPredictUnit

    settings = InferenceSettings(base_precision_dtype=torch.float64, activation_checkpointing=False)
    return MLIPPredictUnit(str(path), inference_settings=settings)


def results_of(unit, atoms, dataset: str, charge: int, spin: int) -> dict[str, np.ndarray]:
    """Return energy (eV), forces (eV/angstrom) and, for a periodic structure, stress (eV/angstrom^3, Voigt order)."""
    import torch
    from fairchem.core.datasets.atomic_data import AtomicData, atomicdata_list_to_batch

    atoms = copy.deepcopy(atoms)
    atoms.info |= {"charge": charge, "spin": spin}
    is_periodic = bool(atoms.pbc.all())
    if not is_periodic:
        atoms.set_cell(np.ptp(atoms.positions, axis=0) + 20.0)
    data = AtomicData.from_ase(
        atoms, task_name=dataset, r_edges=False, r_data_keys=["spin", "charge"], target_dtype=torch.float64
    )
    found = unit.predict(atomicdata_list_to_batch([data]))
    results = {
        "energy": found["energy"][0].detach().numpy(),
        "forces": found["forces"].detach().numpy(),
    }
    if is_periodic:
        stress = found["stress"].detach().numpy().reshape(3, 3)
        results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return results


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"create": create, "evaluate": evaluate, "published": published}[sys.argv[1]](Path(sys.argv[2]))
