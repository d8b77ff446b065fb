"""Reader of NequIP checkpoints: settings and weights of a Lightning module, read as data and without torch."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.nequip.arrays import Arrays
from mlip_lammps.families.nequip.design import Design
from mlip_lammps.families.nequip.package import PackagedModel, is_package, read_package
from mlip_lammps.families.nequip.settings import design_of, is_older
from mlip_lammps.families.nequip.weights import Constants

_TRAINABLE = {
    "bessel_encode.bessel_weights": "bessel_trainable",
    "per_type_energy_scale_shift.scales": "per_type_energy_scales_trainable",
    "per_type_energy_scale_shift.shifts": "per_type_energy_shifts_trainable",
}
"""Arrays that are parameters only if a setting says so."""
_NEVER_TRAINED = ("output_mask", "_rmax_recip", "_empty", "atomic_numbers", "_qqr2exesquare")
_MODULES = ("NequIPLightningModule", "EMALightningModule", "ConFIGLightningModule", "EMAConFIGLightningModule")
"""Training modules that NequIP packages with the weights of the state dict, or with their averages."""
_SCALES = "modify_PerTypeScaleShift"
_WITHOUT_EFFECT = (
    "enable_OpenEquivariance", "enable_CuEquivariance", "enable_ForceStressOutput", "disable_ForceStressOutput",
)  # fmt: skip
"""Modifiers that do not change the energy: other kernels, and whether NequIP computes forces."""
_ROUNDED_MATRICES, _ROUNDED_NEIGHBOURS = (0, 13), (0, 16)
"""Versions since which the factors of matrices and of features have the precision of the model."""
_DEEPEST = 8
_GIVE_PACKAGE = "package it with nequip-package build and give the .nequip.zip file"


@dataclass(frozen=True)
class Origin:
    """Where the modules of a checkpoint come from: settings of a builder, or a package.

    Attributes
    ----------
    trainable
        Whether scales and shifts are trained, by the names in ``_TRAINABLE``, if a modifier replaced them.
    version
        Version of NequIP that wrote the settings.
    """

    settings: Mapping[str, Any] | None
    package: PackagedModel | None
    version: str
    trainable: Mapping[str, bool] = field(default_factory=dict)

    def is_trained(self, name: str, array: np.ndarray) -> bool:
        """Return whether an array of the state dict is a parameter."""
        if name in self.trainable:
            return self.trainable[name] and array.size > 0
        if self.package is not None:
            return name in self.package.parameters
        if name in _TRAINABLE:
            # an absent scale or shift is an empty buffer
            return bool(self.settings.get(_TRAINABLE[name], False)) and array.size > 0
        last = name.rpartition(".")[2]
        return last not in _NEVER_TRAINED and not last.startswith("_w3j") and array.size > 0

    def design(self, source: str) -> Design:
        """Return the design of the model."""
        return self.package.design if self.package else design_of(self.settings, source, self.version)

    def constants(self, design: Design, source: str) -> Constants:
        """Return the numbers that are not in the state dict."""
        if self.package is not None:
            return self.package.constants
        factor = _source_factor(self.settings.get("avg_num_neighbors"), design, source)
        if not is_older(self.version, _ROUNDED_NEIGHBOURS):
            factor = factor.astype(design.dtype).astype(np.float64)
        precision = "float64" if is_older(self.version, _ROUNDED_MATRICES) else design.dtype
        return Constants((factor,) * len(design.hidden), precision=precision)


class Checkpoint:
    """An open checkpoint.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """

    def __init__(self, path: Path, files: ExitStack):
        self.archive = files.enter_context(TorchArchive(path, frozenset()))
        self._root, _ = self.archive.any_root()  # nothing in it is imported or called
        parameters = self._root["hyper_parameters"]
        info = parameters.get("info_dict") or {}
        self.version = str(info.get("versions", {}).get("nequip", "of unknown version"))[:20]
        _check_training_module(info, self._root, path.name)
        self.origin = _origin(parameters["model"], self.version, path, files)
        self.design = self.origin.design(path.name)
        self.arrays = Arrays(self._root["state_dict"], self.archive)
        self.arrays.take_averages(self.origin.is_trained)


def _check_training_module(info: Mapping[str, Any], root: Mapping[str, Any], source: str) -> None:
    """Raise if NequIP would take other weights than those of the state dict or their averages."""
    module = info.get("training_module")
    target = str(module.get("_target_", "")) if isinstance(module, dict) else ""
    if "schedulefree_optimizer_state_dict" in root or "ScheduleFree" in target:
        raise UnsupportedModelError(
            f"{source} was trained with a schedule-free optimizer, which has the weights to use in its own state; "
            f"{_GIVE_PACKAGE}"
        )
    if target and (not target.startswith("nequip.train.") or target.rpartition(".")[2] not in _MODULES):
        raise UnsupportedModelError(
            f"{source} was trained with {target[:60]}, whose weights to use are not known; {_GIVE_PACKAGE}"
        )


def _origin(settings: Any, version: str, path: Path, files: ExitStack) -> Origin:
    """Return where the modules come from, through modifiers, packages and other checkpoints."""
    trainable: dict[str, bool] = {}
    for _ in range(_DEEPEST):
        if not isinstance(settings, dict) or "_target_" not in settings:
            raise UnsupportedModelError(f"{path.name} has no single model among its settings; train one model")
        target = str(settings["_target_"])
        if target in ("nequip.model.modify", "nequip.model.modify_utils.modify"):
            # the outermost modifiers are the last ones
            trainable = _modified(settings.get("modifiers"), path.name) | trainable
            settings = settings.get("model")
        elif target.startswith("nequip.model.") and target.endswith(".ModelFromPackage"):
            package = read_package(_beside(settings.get("package_path"), path))
            files.enter_context(package.archive)
            return Origin(None, package, package.facts.nequip, trainable)
        elif target.startswith("nequip.model.") and target.endswith(".ModelFromCheckpoint"):
            path = _beside(settings.get("checkpoint_path"), path)
            if is_package(path):
                raise UnsupportedModelError(f"{path} is a package, and checkpoint_path names a checkpoint")
            archive = files.enter_context(TorchArchive(path, frozenset()))
            parameters = archive.any_root()[0]["hyper_parameters"]
            version = str((parameters.get("info_dict") or {}).get("versions", {}).get("nequip", ""))[:20]
            settings = parameters["model"]
        else:
            return Origin(settings, None, version, trainable)
    raise ModelFileError(f"{path.name} refers to more than {_DEEPEST} other files; {_GIVE_PACKAGE}")


def _beside(stated: Any, path: Path) -> Path:
    """Return the file from which a training started, at its stated place or beside the checkpoint."""
    if not isinstance(stated, str):
        raise ModelFileError(f"{path.name} does not say from which file its training started; copy it again")
    found = next((one for one in (Path(stated), path.parent / Path(stated).name) if one.is_file()), None)
    if found is None:
        raise UnsupportedModelError(
            f"{path.name} was trained from {stated[:200]}, which is missing; put it beside the checkpoint, or "
            f"{_GIVE_PACKAGE}"
        )
    return found


def _modified(modifiers: Any, source: str) -> dict[str, bool]:
    """Return which arrays are trained after the modifiers."""
    if isinstance(modifiers, dict) and len(modifiers) == 1:
        modifiers = next(iter(modifiers.values()))
    if not isinstance(modifiers, Sequence):
        raise ModelFileError(f"the modifiers of {source} are no list; copy the file again")
    trainable = {}
    for one in modifiers:
        name = one.get("modifier") if isinstance(one, dict) else None
        if name == _SCALES:
            for part in ("scales", "shifts"):
                trainable[f"per_type_energy_scale_shift.{part}"] = bool(one.get(f"{part}_trainable", False))
        elif name not in _WITHOUT_EFFECT:
            raise UnsupportedModelError(f"{source} has the modifier {str(name)[:60]}, which is not supported")
    return trainable


def _source_factor(average: Any, design: Design, source: str) -> np.ndarray:
    """Return one over the square root of the number of neighbours: a number, or one for each type."""
    values = average
    if isinstance(average, dict):
        if set(average) != set(design.type_names):
            raise ModelFileError(f"avg_num_neighbors of {source} has other types than the model; copy the file again")
        values = [average[name] for name in design.type_names]
        values = values[0] if len(values) == 1 else values
    if values is None:
        return np.array(1.0)
    every = values if isinstance(values, list) else [values]
    if not all(type(one) in (int, float) and one > 0 for one in every):
        raise ModelFileError(f"avg_num_neighbors of {source} is {str(average)[:40]}, expected numbers above 0")
    factors = [1.0 / math.sqrt(one) for one in every]
    return np.array(factors if isinstance(values, list) else factors[0])
