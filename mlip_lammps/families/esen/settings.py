"""The settings of a model in a checkpoint, as a specification. This module does not import torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.settings import distance_of, whole_of
from mlip_lammps.families.esen.spec import Dataset, EsenSpec

_BACKBONES = ("eSCNMDBackbone", "escnmd_backbone", "eSCNMDMoeBackbone", "escnmd_moe_backbone")
_ENERGY_HEADS = ("MLP_EFS_Head", "MLP_Energy_Head")
_SHARED_HEAD, _EXPERT_HEAD = "DatasetSpecificSingleHeadWrapper", "DatasetSpecificMoEWrapper"
_DIRECT = (
    "forces that a network predicts (direct_forces), not the gradient of its energy, so dynamics would not conserve "
    "energy; give a conserving model"
)
_BALANCED = (
    "channels whose sum over all atoms is the charge or spin ({name}), which needs sums over the whole system in each "
    "layer; give a model without them"
)
_EXPECTED = {
    "direct_forces": (False, _DIRECT),
    "direct_stress": (False, "a stress that a network predicts (direct_stress); train with direct_stress False"),
    "distance_function": ("gaussian", "other functions of the distance (distance_function) than gaussian; train with "
                          "these"),
    "norm_type": ("rms_norm_sh", "another normalisation (norm_type) than rms_norm_sh; train with this"),
    "act_type": ("gate", "activation functions on a grid around each edge (act_type s2): energies depend on how the "
                 "grid is turned about the edge, which the package chooses at random; train with act_type gate"),
    "charge_balanced_channels": (None, _BALANCED.format(name="charge_balanced_channels")),
    "spin_balanced_channels": (None, _BALANCED.format(name="spin_balanced_channels")),
}  # fmt: skip
"""Settings that must have one value, and what another value means."""
_DEFAULTS = {
    "max_num_elements": 100, "sphere_channels": 128, "lmax": 2, "mmax": 2, "grid_resolution": None,
    "max_neighbors": 300, "cutoff": 5.0, "edge_channels": 128, "distance_function": "gaussian",
    "num_distance_basis": 512, "direct_forces": True, "direct_stress": False, "num_layers": 2, "hidden_channels": 128,
    "norm_type": "rms_norm_sh", "act_type": "gate", "ff_type": "grid", "chg_spin_emb_type": "pos_emb",
    "dataset_list": None, "dataset_mapping": None, "use_dataset_embedding": True, "charge_balanced_channels": None,
    "spin_balanced_channels": None,
}  # fmt: skip
"""Values of settings that the file does not state."""
_OF_EXPERTS = {
    "use_composition_embedding", "moe_expert_coefficient_norm", "moe_type", "moe_single", "layers_moe", "moe_dropout",
    "composition_dropout", "use_global_embedding", "moe_layer_type", "model_version", "act",
}  # fmt: skip
"""Settings of mixtures of experts, without effect if there are none."""
_WITHOUT_EFFECT = {
    "model", "num_sphere_samples", "otf_graph", "use_pbc", "use_pbc_single", "regress_forces", "regress_stress",
    "regress_hessian", "hessian_vmap", "activation_checkpointing", "cs_emb_grad", "dataset_emb_grad",
    "use_cuda_graph_wigner", "use_quaternion_wigner", "radius_pbc_version", "always_use_pbc", "edge_chunk_size",
    "execution_mode",
}  # fmt: skip
"""Settings of the training, of the neighbour list and of the program that do not change the energy."""
_MODEL_SETTINGS = {
    "_target_", "backbone", "heads", "pass_through_head_outputs", "otf_graph", "freeze_backbone",
    "supports_single_atoms", "model_id", "finetune_config",
}  # fmt: skip
_LARGEST = {"lmax": 8, "mmax": 8, "num_layers": 40, "max_num_elements": 119}
_SMALLEST = {"mmax": 0, "num_distance_basis": 2, "max_num_elements": 2}
_WIDEST = 10_000
_DENSEST = 0.18
"""Atoms per cubic angstrom in diamond."""


@dataclass(frozen=True)
class Source:
    """What a checkpoint says apart from its weights.

    Attributes
    ----------
    spec
        Specification of the model.
    references
        Reference energies in eV for each dataset, by atomic number from 0; nothing for a dataset without them.
    energy_block
        Name of the energy network among the weights.
    has_head_experts
        Whether this network has weights for each dataset.
    embedded
        Names of the datasets in the embedding of datasets, for each dataset.
    max_elements
        Rows of the embeddings of elements.
    """

    spec: EsenSpec
    references: tuple[tuple[float, ...], ...]
    energy_block: str
    has_head_experts: bool
    embedded: tuple[str, ...]
    max_elements: int


def source_of(model: Any, tasks: Any, source: str) -> Source:
    """Return what the configuration of a checkpoint says.

    Parameters
    ----------
    model, tasks
        ``model_config`` and ``tasks_config``.

    Raises
    ------
    ModelFileError
        If a setting is not what the package writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    if not isinstance(model, dict) or not isinstance(model.get("backbone"), dict) or not isinstance(tasks, list):
        raise ModelFileError(f"{source} has no configuration of a model and its tasks; copy the file again")
    refuse_unknown(model, _MODEL_SETTINGS, source)
    settings = backbone_of(model["backbone"], source)
    energy_block, has_head_experts, head_names = _head(model.get("heads"), source)
    mapping = _mapping(settings, source)
    found = _energy_tasks(tasks, source)
    if mapping and (absent := sorted(set(found) - set(mapping))):
        raise ModelFileError(f"{source} has energies of {absent[0]}, which is not among its datasets; copy it again")
    expert_names = sorted(set(head_names.values()))
    datasets = tuple(
        Dataset(name, scale, expert_names.index(head_names[name]) if has_head_experts else 0)
        for name, (scale, _) in _known(found, head_names, has_head_experts, source).items()
    )
    references = tuple(energies for _, energies in found.values())
    elements, max_elements = elements_of(references, settings, source)
    spec = spec_of(settings, datasets, elements, source)
    embedded = tuple(mapping[one.name] for one in datasets) if spec.has_dataset_embedding else ()
    return Source(spec, references, energy_block, has_head_experts, embedded, max_elements)


def spec_of(
    settings: Mapping[str, Any], datasets: tuple[Dataset, ...], elements: tuple[int, ...], source: str
) -> EsenSpec:
    """Return the specification of a model with the settings that ``backbone_of`` returned."""
    cutoff, max_neighbors = distance_of(settings, "cutoff", source), _whole(settings, "max_neighbors", source)
    needed = math.ceil(4.0 / 3.0 * math.pi * cutoff**3 * _DENSEST)
    if max_neighbors < needed:
        raise UnsupportedModelError(
            f"{source} counts {max_neighbors} neighbours of an atom (max_neighbors), and an atom in diamond has "
            f"{needed} within its cutoff {cutoff:g} A: its energy jumps where other atoms become the nearest; give a "
            "model with more"
        )
    max_degree, max_order = (_whole(settings, name, source) for name in ("lmax", "mmax"))
    if max_order > max_degree:
        raise ModelFileError(f"{source} has mmax {max_order}, which is larger than lmax {max_degree}; copy it again")
    width = _whole(settings, "sphere_channels", source)
    state = settings["chg_spin_emb_type"]
    if state != "":
        state = _choice(settings, "chg_spin_emb_type", ("rand_emb", "pos_emb"), source)
    if width % 2 != 0:
        raise ModelFileError(f"{source} has an odd number of sphere_channels, {width}; copy it again")
    return EsenSpec(
        atomic_numbers=elements,
        cutoff=cutoff,
        max_neighbors=max_neighbors,
        max_degree=max_degree,
        max_order=max_order,
        n_gaussians=_whole(settings, "num_distance_basis", source),
        sphere_width=width,
        edge_width=_whole(settings, "edge_channels", source),
        hidden_width=_whole(settings, "hidden_channels", source),
        n_blocks=_whole(settings, "num_layers", source),
        grid=_grid(settings, max_degree, source),
        state_embedding=state,
        has_dataset_embedding=bool(settings["use_dataset_embedding"]),
        datasets=datasets,
    )


def backbone_of(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return all settings of a backbone from those that a file states.

    Raises
    ------
    UnsupportedModelError
        If one of them is not supported; the message names it.
    """
    class_name = _class_of(given.get("model"))
    if class_name not in _BACKBONES:
        raise UnsupportedModelError(
            f"{source} is a model of fairchem with the backbone {class_name[:40]}, and this package runs those with "
            "eSCNMDBackbone and eSCNMDMoeBackbone (eSEN and UMA)"
        )
    settings = dict(_DEFAULTS)
    if "moe" in class_name.lower():
        settings |= {"num_experts": 8}
    refuse_unknown(given, set(settings) | _WITHOUT_EFFECT | _OF_EXPERTS, source)
    settings |= given
    _refuse_experts(settings, source)
    for key, (value, words) in _EXPECTED.items():
        if settings[key] != value and not (value is None and settings[key] == []):
            raise UnsupportedModelError(f"{source} has {words}")
    return settings


def refuse_unknown(given: Mapping[str, Any], known: set[str], source: str) -> None:
    """Raise ``UnsupportedModelError`` if a setting is not among those that are known."""
    if unknown := sorted(str(name) for name in set(given) - known):
        raise UnsupportedModelError(
            f"{source} has the setting {unknown[0][:40]}, which version 2.24 of fairchem-core does not have; use a "
            "model that this version reads"
        )


def _grid(settings: Mapping[str, Any], max_degree: int, source: str) -> tuple[int, int] | None:
    if _choice(settings, "ff_type", ("spectral", "grid"), source) == "spectral":
        return None
    if settings["grid_resolution"] is None:
        return 2 * (max_degree + 1), 2 * (max_degree + 1) + 1
    points = whole_of(settings, "grid_resolution", source, 100, 2 * (max_degree + 1))
    return points, points


def _refuse_experts(settings: Mapping[str, Any], source: str) -> None:
    n_experts = settings.get("num_experts", 0)
    if n_experts != 0:
        raise UnsupportedModelError(
            f"{source} is a mixture of {str(n_experts)[:10]} linear experts (UMA): their weights depend on the "
            "composition, charge, spin and dataset of the whole system, which programs of layers do not have; give a "
            "model without experts (eSEN)"
        )


def _head(heads: Any, source: str) -> tuple[str, bool, dict[str, str]]:
    """Return the name of the energy network, whether it has experts, and the expert of each dataset."""
    if not isinstance(heads, dict) or not all(isinstance(one, dict) for one in heads.values()) or not heads:
        raise ModelFileError(f"{source} has no heads; copy the file again")
    for head in heads.values():
        _refuse_other_head(head, source)
    if len(heads) > 1:
        raise UnsupportedModelError(f"{source} has {len(heads)} heads, and this package supports one; train with one")
    ((name, head),) = heads.items()
    class_name = _class_of(head.get("module"))
    if class_name in _ENERGY_HEADS:
        return f"output_heads.{name}.energy_block", False, {}
    names = head.get("dataset_mapping") or {one: one for one in head.get("dataset_names") or ()}
    return f"output_heads.{name}.head.energy_block", class_name == _EXPERT_HEAD, _names(names, "heads", source)


def _refuse_other_head(head: Mapping[str, Any], source: str) -> None:
    inner = _class_of(head.get("module"))
    if inner in (_SHARED_HEAD, _EXPERT_HEAD):
        inner = _class_of(head.get("head_cls"))
    if inner not in _ENERGY_HEADS:
        raise UnsupportedModelError(
            f"{source} has the head {inner[:40]}; this package runs models with {' or '.join(_ENERGY_HEADS)}, whose "
            "forces are the gradient of the energy"
        )
    arguments = head | (head.get("head_kwargs") or {})
    if arguments.get("reduce", "sum") != "sum":
        raise UnsupportedModelError(
            f"{source} gives energies per atom of a structure (reduce {str(arguments['reduce'])[:20]}); train with "
            "reduce sum"
        )


def _class_of(path: Any) -> str:
    return str(path).rpartition(".")[2]


def _mapping(settings: Mapping[str, Any], source: str) -> dict[str, str]:
    """Return the name of each dataset in the embedding; empty without one."""
    if not settings["use_dataset_embedding"]:
        return {}
    listed = settings["dataset_list"]
    mapping = settings["dataset_mapping"] if listed is None else {one: one for one in listed}
    found = _names(mapping, "datasets", source)
    if not found:
        raise ModelFileError(f"{source} has an embedding of datasets and no names of datasets; copy the file again")
    return found


def _names(mapping: Any, what: str, source: str) -> dict[str, str]:
    is_sound = isinstance(mapping, dict) and len(mapping) <= 1000
    if not is_sound or not all(isinstance(one, str) for pair in mapping.items() for one in pair):
        raise ModelFileError(f"the names of the {what} of {source} are not text; copy the file again")
    return mapping


def _known(
    found: dict[str, tuple[float, Any]], head_names: dict[str, str], has_head_experts: bool, source: str
) -> dict[str, tuple[float, Any]]:
    if has_head_experts and (absent := sorted(set(found) - set(head_names))):
        raise ModelFileError(f"{source} has energies of {absent[0]}, which its head does not know; copy it again")
    return found


def _energy_tasks(tasks: list[Any], source: str) -> dict[str, tuple[float, tuple[float, ...]]]:
    """Return the factor of energies and the reference energies of each dataset."""
    found, scales = {}, {}
    for task in tasks:
        if not isinstance(task, dict) or not isinstance(task.get("datasets"), list):
            raise ModelFileError(f"{source} has a task without datasets; copy the file again")
        quantity = task.get("property")
        for dataset in task["datasets"]:
            if quantity == "energy" and isinstance(dataset, str):
                found[dataset] = _scale(task, source), _references(task, source)
            elif quantity == "forces":
                scales[dataset] = _scale(task, source)
    if not found:
        raise UnsupportedModelError(f"{source} has no task for energies; give a model that was trained on energies")
    for dataset, (scale, _) in found.items():
        if scales.get(dataset, scale) != scale:
            raise UnsupportedModelError(
                f"{source} scales forces of {dataset} by {scales[dataset]:g} and energies by {scale:g}, so forces are "
                "not the gradient of the energy; train with one value (rmsd)"
            )
    return found


def _scale(task: Mapping[str, Any], source: str) -> float:
    normaliser = task.get("normalizer")
    values = (
        [normaliser.get(name, default) for name, default in (("mean", 0.0), ("rmsd", 1.0))]
        if isinstance(normaliser, dict)
        else []
    )
    is_known = len(values) == 2 and set(normaliser) <= {"_target_", "mean", "rmsd"}
    if not is_known or not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        raise UnsupportedModelError(
            f"{source} has a normalizer without the numbers mean and rmsd in the file; save the model with numbers"
        )
    if values[0] != 0:
        raise UnsupportedModelError(
            f"{source} adds the mean {values[0]:g} to the energy of a structure of any size, which is not a sum over "
            "atoms; train with mean 0"
        )
    return float(values[1])


def _references(task: Mapping[str, Any], source: str) -> tuple[float, ...]:
    """Return the reference energies by atomic number; nothing without them."""
    found = task.get("element_references")
    if found is None:
        return ()
    tensor = found.get("element_references") if isinstance(found, dict) else None
    values = tensor.get("_args_") if isinstance(tensor, dict) else None
    values = values[0] if isinstance(values, list) and len(values) == 1 else None
    is_list = isinstance(values, list) and 2 <= len(values) <= 1000
    if not is_list or not all(type(one) in (int, float) and math.isfinite(one) for one in values):
        raise UnsupportedModelError(
            f"{source} has element_references without their numbers in the file; save the model with numbers"
        )
    if str(tensor.get("_target_")) != "torch.DoubleTensor":
        return tuple(float(np.float32(one)) for one in values)
    return tuple(map(float, values))


def elements_of(
    references: tuple[tuple[float, ...], ...], settings: Mapping[str, Any], source: str
) -> tuple[tuple[int, ...], int]:
    """Return the elements that have a reference energy in a dataset, and the rows of the embeddings of elements.

    Without reference energies all elements of the embeddings are known.
    """
    max_elements = _whole(settings, "max_num_elements", source)
    last = min(max_elements, *(len(energies) for energies in references if energies), max_elements)
    elements = tuple(z for z in range(1, last) if any(energies and energies[z] != 0.0 for energies in references))
    return elements or tuple(range(1, last)), max_elements


def _whole(settings: Mapping[str, Any], name: str, source: str) -> int:
    return whole_of(settings, name, source, _LARGEST.get(name, _WIDEST), _SMALLEST.get(name, 1))


def _choice(settings: Mapping[str, Any], name: str, known: tuple[str, ...], source: str) -> str:
    value = settings[name]
    if value not in known:
        raise UnsupportedModelError(
            f"{source} has {name} {str(value)[:20]}, and this package supports {' and '.join(known)}; train with one "
            "of these"
        )
    return value
