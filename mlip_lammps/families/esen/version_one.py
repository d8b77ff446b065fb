"""Checkpoints of fairchem-core 1: those of eSEN as data, and why its other models are refused.

A checkpoint is a dictionary with a configuration, weights, and normalisers of energies. This module does not import
torch.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.esen.settings import Source, backbone_of, elements_of, refuse_unknown, spec_of
from mlip_lammps.families.esen.spec import Dataset

ESEN = "esen_backbone"
HEAD = "energy"
"""Name of the only head: the files do not name the dataset of the training."""
_HEADS = ("esen_mlp_efs_head", "esen_mlp_energy_head")
_RANDOM = (
    "it turns the frames of edges at random and outside of the gradient, and its messages do not fade at the cutoff, "
    "so its energy is not a smooth function of positions"
)
_NEAREST = "it counts a fixed number of nearest neighbours, so its energy jumps where other atoms become the nearest"
_OTHERS = {
    "equiformer_v2": ("EquiformerV2", _RANDOM),
    "escn": ("eSCN", _RANDOM),
    "scn": ("SCN", _RANDOM),
    "gemnet": ("GemNet", _NEAREST),
    "gp_gemnet": ("GemNet", _NEAREST),
    "painn": ("PaiNN", _NEAREST),
    "schnet": ("SchNet", _NEAREST),
    "dimenetplusplus": ("DimeNet++", _NEAREST),
}
"""Other models by the start of their names in a configuration."""
_DENOISING = "esen_backbone_dens"
_DEFAULTS = {
    "act_type": "s2", "mlp_type": "grid", "use_envelope": False, "direct_forces": True, "num_distance_basis": 512,
    "chg_spin_emb_type": "", "use_dataset_embedding": False,
}  # fmt: skip
"""Values of settings that a file does not state, where they differ from those of version 2."""
_MODEL_SETTINGS = {
    "name", "backbone", "heads", "pass_through_head_outputs", "otf_graph", "freeze_backbone", "finetune_config",
}  # fmt: skip
_RESUME = (
    "{path} is the state of a training with averaged weights beside the others; give the checkpoint for inference "
    "(best_checkpoint.pt)"
)


def marks() -> tuple[bytes, ...]:
    """Return what the pickle of a checkpoint contains, if it is of one of the models."""
    names = (ESEN, _DENOISING, *_all_names())
    return tuple(b"X" + len(name).to_bytes(4, "little") + name.encode() for name in names)


def _all_names() -> tuple[str, ...]:
    plain = ("equiformer_v2", "escn", "scn", "gemnet_oc", "gemnet_t", "gp_gemnet_t", "painn", "schnet")
    return (*plain, "dimenetplusplus", *(f"{name}_backbone" for name in (*plain, "dimenetplusplus")))


def model_config_of(root: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the configuration of the eSEN model of a checkpoint.

    Raises
    ------
    ModelFileError
        If it has none.
    UnsupportedModelError
        If it is another model.
    """
    config = root.get("config")
    model = config.get("model") if isinstance(config, dict) else None
    if isinstance(model, str):
        model = {"name": model, **(config.get("model_attributes") or {})}
    if not isinstance(model, dict) or not isinstance(root.get("state_dict"), dict):
        raise ModelFileError(f"{path} has no model and weights of fairchem; give a checkpoint of its training")
    backbone = model.get("backbone")
    name = str(backbone.get("model") if isinstance(backbone, dict) else model.get("name"))
    if name == ESEN:
        return model
    for start, (shown, reason) in _OTHERS.items():
        if name.startswith(start):
            raise UnsupportedModelError(f"{path} is a {shown} model of fairchem ({name}), which is not run: {reason}")
    raise UnsupportedModelError(
        f"{path} is a model of fairchem with {name[:40]}, and this package runs eSEN models with {ESEN}"
    )


def source_of_version_one(root: Mapping[str, Any], archive: TorchArchive, path: Path) -> Source:
    """Return what a checkpoint says apart from its weights; see ``settings.source_of``."""
    model, source = model_config_of(root, path), str(path)
    if root.get("ema"):
        raise UnsupportedModelError(_RESUME.format(path=path))
    refuse_unknown(model, _MODEL_SETTINGS, source)
    given = _DEFAULTS | model["backbone"]
    if given.pop("use_envelope") is not True:
        raise UnsupportedModelError(
            f"{source} has messages that do not fade at the cutoff (use_envelope False), so its energy jumps there; "
            "train with use_envelope True"
        )
    settings = backbone_of(given | {"model": "escnmd_backbone", "ff_type": given.pop("mlp_type")}, source)
    scale, references = _normalisers(root, archive, source)
    elements, max_elements = elements_of((references,), settings, source)
    spec = spec_of(settings, (Dataset(HEAD, scale, 0),), elements, source)
    return Source(spec, (references,), _energy_block(model.get("heads"), source), False, (), max_elements)


def _energy_block(heads: Any, source: str) -> str:
    is_one = isinstance(heads, dict) and len(heads) == 1
    name, head = next(iter(heads.items())) if is_one else ("", None)
    if not isinstance(head, dict) or head.get("module") not in _HEADS:
        raise UnsupportedModelError(
            f"{source} has other heads than one of {' or '.join(_HEADS)}, whose forces are the gradient of the energy"
        )
    if head.get("reduce", "sum") != "sum":
        raise UnsupportedModelError(f"{source} gives energies per atom of a structure (reduce); train with reduce sum")
    return f"output_heads.{name}.energy_block"


def _normalisers(root: Mapping[str, Any], archive: TorchArchive, source: str) -> tuple[float, tuple[float, ...]]:
    """Return the factor of energies, and reference energies by atomic number, or nothing."""
    parts = {name: root.get(name) or {} for name in ("normalizers", "elementrefs")}
    if not all(isinstance(part, dict) for part in parts.values()) or not all(
        isinstance(one, dict) for part in parts.values() for one in part.values()
    ):
        raise ModelFileError(f"the normalizers of {source} are not dictionaries; copy the file again")
    scales = {}
    for quantity, one in parts["normalizers"].items():
        mean, scale = (_number(one, names, archive) for names in (("mean",), ("rmsd", "std")))
        scales[quantity] = 1.0 if scale is None else scale
        if quantity == "energy" and mean:
            raise UnsupportedModelError(
                f"{source} adds the mean {mean:g} to the energy of a structure of any size, which is not a sum over "
                "atoms; train with mean 0"
            )
    scale = scales.get("energy", 1.0)
    if scales.get("forces", scale) != scale:
        raise UnsupportedModelError(
            f"{source} scales forces by {scales['forces']:g} and energies by {scale:g}, so forces are not the gradient "
            "of the energy; train with one value (rmsd)"
        )
    if "energy" not in parts["elementrefs"]:
        return scale, ()
    record = parts["elementrefs"]["energy"].get("element_references")
    references = archive.array(record, "element_references").ravel()
    if not 2 <= len(references) <= 1000 or not all(map(math.isfinite, references)):
        raise ModelFileError(f"the element_references of {source} are not finite numbers; copy the file again")
    return scale, tuple(map(float, references))


def _number(part: Mapping[str, Any], names: tuple[str, ...], archive: TorchArchive) -> float | None:
    value = next((part[name] for name in names if name in part), None)
    if value is None or type(value) in (int, float):
        return value
    found = archive.array(value, names[0])
    if found.size != 1 or not math.isfinite(float(found.ravel()[0])):
        raise ModelFileError(f"the {names[0]} of a normalizer of {archive.name} is not a number; copy the file again")
    return float(found.ravel()[0])
