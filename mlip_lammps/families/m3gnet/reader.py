"""Reader of the folders of MatGL: arguments in ``model.pt`` and weights in ``state.pt``, as data and without torch."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive, small_pickle
from mlip_lammps.families.checkpoints.weights import weight_of
from mlip_lammps.families.m3gnet.settings import spec_of
from mlip_lammps.families.m3gnet.spec import M3GNetModel, M3GNetSpec
from mlip_lammps.models import MATGL_NAMES

ARGUMENTS_NAME, DESCRIPTION_NAME = MATGL_NAMES
STATE_NAME = "state.pt"

CITATION = "Chen and Ong, Nat. Comput. Sci. 2, 718 (2022), doi:10.1038/s43588-022-00349-3"

_MARKS = (b"matgl.", b"threebody_cutoff", b"three_body_interactions.")
_TRANSFORMERS = frozenset(f"matgl.data.transformer.{name}" for name in ("Normalizer", "LinearScaler", "LogTransformer"))
"""Classes in files of property models, which are named in their refusal."""


def is_matgl_file(path: Path, start: bytes) -> bool:
    """Return whether a file is one of the three in a folder of MatGL."""
    if path.name == DESCRIPTION_NAME:
        return True
    pickled = small_pickle(path, start)
    return pickled is not None and any(mark in pickled for mark in _MARKS)


def read_potential(path: Path) -> M3GNetModel:
    """Read a potential from its folder.

    Parameters
    ----------
    path
        ``model.pt`` or ``model.json`` in the folder.

    Raises
    ------
    ModelFileError
        If a file is missing or damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    arguments = path.with_name(ARGUMENTS_NAME) if path.name == DESCRIPTION_NAME else path
    name = path.absolute().parent.name or path.name
    options = _contents(arguments)
    if "data_std" in options and "model" not in options:
        raise ModelFileError(f"{path} contains weights only; give {ARGUMENTS_NAME} or the folder that contains both")
    spec = spec_of(options, str(arguments))
    state = path.with_name(STATE_NAME)
    with _open(state) as archive:
        records = archive.root()
        if not isinstance(records, dict):
            raise ModelFileError(f"{state} contains no state dict; copy the file again")
        weights = _weights(spec, records, archive)
    digest = hashlib.sha256(arguments.read_bytes() + state.read_bytes()).hexdigest()
    return M3GNetModel(spec, weights, digest, name, {"citation": CITATION})


def _open(path: Path) -> TorchArchive:
    if not path.is_file():
        raise ModelFileError(
            f"{path} is missing: a potential of MatGL is a folder with {ARGUMENTS_NAME} and {STATE_NAME}; copy both"
        )
    return TorchArchive(path, _TRANSFORMERS)


def _contents(path: Path) -> Mapping[str, Any]:
    with _open(path) as archive:
        root = archive.root()
    if not isinstance(root, dict):
        raise ModelFileError(f"{path} contains no arguments of a MatGL model; copy the file again")
    return root


def _weights(
    spec: M3GNetSpec, records: Mapping[str, Any], archive: TorchArchive
) -> dict[str, NDArray[np.floating]]:
    n_elements = len(spec.atomic_numbers)

    def array(name: str, shape: tuple[int, ...]) -> NDArray[np.floating]:
        return weight_of(archive, records, name, shape)

    weights = {name: array(f"model.{name}", shape) for name, shape in spec.weight_shapes().items()}
    weights["scale"] = array("data_std", ())
    mean = float(array("data_mean", ()))
    if mean != 0.0:
        raise UnsupportedModelError(
            f"{archive.name} has a data_mean of {mean:g} eV, which MatGL adds to the energy of a structure of any "
            "size; train with data_mean 0 and element_refs"
        )
    has_references = any(name.startswith("element_refs.") for name in records)
    weights["constants"] = (
        array("element_refs.property_offset", (n_elements,)) if has_references else np.zeros(n_elements)
    )
    return weights
