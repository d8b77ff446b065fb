"""Facts of a MACE file that the reader refuses: everything that can be said without supporting the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.mace.reader.archive import TorchArchive
from mlip_lammps.families.mace.reader.identify import unwrap
from mlip_lammps.families.mace.reader.module import Module
from mlip_lammps.families.mace.reader.names import allowed_names
from mlip_lammps.families.mace.reader.pickle_reader import Record, feature_of

_OPTIONS = ("use_so3", "use_agnostic_product", "use_last_readout_only", "edge_irreps", "embedding_specs")
_DEEPEST = 20


def inspect_mace_torch(path: Path) -> dict[str, Any]:
    """Return the facts of a file that contains a model of mace-torch; empty for any other file.

    Returns
    -------
    dict
        Facts under the names that ``MaceModel.facts`` uses, as far as they are found, the classes of the interaction
        blocks, and ``unsupported``: the features that no supported model has.
    """
    try:
        with TorchArchive(path, allowed_names()) as archive:
            root, unknown = archive.any_root()
            root = unwrap(root)
            if not isinstance(root, Record) or not root.name.startswith("mace."):
                return {}
            return _facts(Module(root, archive, ""), unknown)
    except (ModelFileError, UnsupportedModelError):
        return {}


def _facts(model: Module, unknown: frozenset[str]) -> dict[str, Any]:
    parts: dict[str, Callable[[], Any]] = {
        "model_class": lambda: model.class_name,
        "atomic_numbers": lambda: model.array("atomic_numbers").reshape(-1).tolist(),
        "heads": lambda: list(model.attribute("heads", None) or ("Default",)),
        "cutoff": lambda: model.number("r_max"),
        "dtype": lambda: str(model.child("node_embedding").child("linear").array("weight").dtype),
        "interactions": lambda: [one.class_name for one in model.child("interactions").children()],
        "radial_basis": lambda: model.child("radial_embedding").child("bessel_fn").class_name,
        "distance_transform": lambda: model.child("radial_embedding").child("distance_transform").class_name,
        "readouts": lambda: [one.class_name for one in model.child("readouts").children()],
        "options": lambda: [name for name in _OPTIONS if model.attribute(name, None)],
        "n_weights": lambda: _count(model, _DEEPEST),
    }
    facts: dict[str, Any] = {}
    for name, find in parts.items():
        try:
            facts[name] = find()
        except (ModelFileError, UnsupportedModelError, TypeError, ValueError, AttributeError):
            continue
    facts["unsupported"] = sorted({feature_of(name) for name in unknown})
    return facts


def _count(module: Module, depth: int) -> int:
    """Return the number of trained parameters of a module and its submodules."""
    if depth == 0:
        raise ValueError("modules that contain themselves")
    own = sum(int(np.size(array)) for array in module.parameters())
    return own + sum(_count(child, depth - 1) for child in module.modules())
