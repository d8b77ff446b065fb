"""Reader of the checkpoints of CHGNet: arguments and weights, as data and without torch."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.checkpoints.archive import TorchArchive, small_pickle
from mlip_lammps.families.checkpoints.weights import weight_of
from mlip_lammps.families.chgnet.settings import spec_of
from mlip_lammps.families.chgnet.spec import N_ELEMENTS, CHGNetModel, CHGNetSpec

CITATION = "Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3"

_MARKS = (b"bond_graph_cutoff", b"bond_basis_expansion.rbf_expansion_bg.", b"chgnet.model.")
_VERSIONS = {
    "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1": "0.3.0",
    "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad": "r2scan",
}
"""Versions of the trained files in the package by their SHA-256, which the files do not state."""


def is_checkpoint(path: Path, start: bytes) -> bool:
    """Return whether a file contains a model or weights of CHGNet."""
    pickled = small_pickle(path, start)
    return pickled is not None and any(mark in pickled for mark in _MARKS)


def read_checkpoint(path: Path) -> CHGNetModel:
    """Read a potential from the checkpoint of its training.

    Raises
    ------
    ModelFileError
        If the file is damaged or contains weights only.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    with TorchArchive(path, frozenset()) as archive:
        root = archive.root()
        found = root.get("model", root) if isinstance(root, dict) else None
        parts = [found.get(name) for name in ("model_args", "state_dict")] if isinstance(found, dict) else []
        if len(parts) != 2 or not all(isinstance(part, dict) for part in parts):
            raise ModelFileError(
                f"{path} contains no model_args and state_dict of CHGNet; give a checkpoint of its Trainer, or "
                'save {"model": model.as_dict()} with torch.save'
            )
        options, records = parts
        spec = spec_of(options, records, str(path))
        weights = _weights(spec, records, archive, options.get("composition_model", "MPtrj") is not None)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    version = _VERSIONS.get(digest) or options.get("version")
    remarks = {"version": version} if isinstance(version, str) else {}
    return CHGNetModel(spec, weights, digest, path.name, remarks | {"citation": CITATION})


def _weights(
    spec: CHGNetSpec, records: Mapping[str, Any], archive: TorchArchive, has_constants: bool
) -> dict[str, NDArray[np.floating]]:
    weights = {name: weight_of(archive, records, name, shape) for name, shape in spec.weight_shapes().items()}
    rows = np.array(spec.atomic_numbers) - 1
    embedding = "atom_embedding.embedding.weight"
    weights[embedding] = weights[embedding][rows]
    constants = np.zeros((1, N_ELEMENTS))
    if has_constants:
        constants = weight_of(archive, records, "composition_model.fc.weight", constants.shape)
    weights["constants"] = constants[0, rows]
    return weights
