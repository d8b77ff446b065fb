"""The portable format of a model: one safetensors file without code, with the spec as JSON in its header."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.mace.reader.validation import check_model, check_spec
from mlip_lammps.families.mace.spec import (
    EmbeddingSpec,
    LayerSpec,
    MaceModel,
    ModelSpec,
    PairRepulsionSpec,
    RadialSpec,
    ReadoutSpec,
)
from mlip_lammps.structure.latent_ewald import LatentEwald

FORMAT = "mlip_lammps-model"
FORMAT_VERSION = 2
_READ_VERSIONS = ("1", "2")
"""Version 1 has one head."""
_CHECKSUM = "content_sha256"
"""Entry of the header; files of version 0.1.0 have none."""
_MOST_DENSE_NUMBERS = 2**28
"""Largest size of a coupling tensor (2 GiB in float64), so that a damaged shape cannot exhaust the memory."""


def write_portable(trained: MaceModel, path: str | Path) -> None:
    """Write ``trained`` as one ``.safetensors`` file; `read_model` restores it exactly.

    Notes
    -----
    Coupling tensors are sparse and often equal in several layers. Each distinct tensor is stored once, as its nonzero
    values and their indices in the flattened tensor.
    """
    check_model(trained)
    tensors, couplings = _pack(trained.weights)
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "spec": json.dumps(dataclasses.asdict(trained.spec)),
        "couplings": json.dumps(couplings),
        "source_sha256": trained.source_sha256,
        "source_name": trained.source_name,
    }
    header[_CHECKSUM] = _checksum(header, tensors)
    # Not save_file, which creates a file that only its owner can read.
    Path(path).write_bytes(save(tensors, metadata=header))


def read_portable(path: Path) -> MaceModel:
    """Read a file written by `write_portable`.

    Raises
    ------
    ModelFileError
        If the file is damaged, or was written by another program or a newer version.
    """
    try:
        with safe_open(path, framework="numpy") as archive:
            header = archive.metadata() or {}
            _check_header(header, path)
            stored = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 (no iterator)
        if _CHECKSUM in header and header.pop(_CHECKSUM) != _checksum(header, stored):
            raise ModelFileError(f"{path} is damaged: its content does not match its checksum; copy the model again")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is a damaged safetensors file ({error}); copy the model again") from error
    try:
        spec = _spec(json.loads(header["spec"]))
        couplings = json.loads(header["couplings"])
        check_spec(spec, path.name)
        weights = _unpack(stored, couplings)
        trained = MaceModel(spec, weights, header["source_sha256"], header["source_name"])
        check_model(trained)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise ModelFileError(f"the header of {path} is damaged ({error}); copy the model again") from error
    return trained


def _checksum(header: dict[str, str], tensors: dict[str, NDArray[np.generic]]) -> str:
    """Return the SHA-256 of all entries of the header and all tensors with their names, shapes and types."""
    digest = hashlib.sha256(json.dumps(sorted(header.items())).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()


def _check_header(header: dict[str, str], path: Path) -> None:
    if header.get("format") != FORMAT:
        raise ModelFileError(
            f"{path} is a safetensors file with format {str(header.get('format'))[:40]!r}, expected {FORMAT!r}; give a "
            ".model file of mace-torch or a portable model"
        )
    version = header.get("format_version")
    if version not in _READ_VERSIONS:
        raise ModelFileError(
            f"{path} has format version {version}, but this package reads {' and '.join(_READ_VERSIONS)}; "
            "update mlip-lammps"
        )


def _pack(weights: dict[str, NDArray[np.generic]]) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
    tensors: dict[str, NDArray[np.generic]] = {}
    couplings: dict[str, Any] = {}
    known: dict[tuple, str] = {}
    for name, array in weights.items():
        if ".U_matrix_" not in name:
            tensors[name] = np.array(array, order="C")
            continue
        flat = np.ascontiguousarray(array).reshape(-1)
        # Negative zeros are stored too, so that the round trip is exact.
        places = np.flatnonzero((flat != 0) | np.signbit(flat))
        places = places.astype(np.int32 if flat.size < 2**31 else np.int64)
        values = flat[places]
        key = (array.shape, array.dtype.str, places.tobytes(), values.tobytes())
        stored = known.setdefault(key, name)
        couplings[name] = {"stored": stored, "shape": list(array.shape)}
        if stored == name:
            tensors[f"{name}.values"], tensors[f"{name}.places"] = values, places
    return tensors, couplings


def _unpack(stored: dict[str, NDArray[np.generic]], couplings: dict[str, Any]) -> dict[str, NDArray[np.generic]]:
    parts = {f"{entry['stored']}.{part}" for entry in couplings.values() for part in ("values", "places")}
    weights = {name: array for name, array in stored.items() if name not in parts}
    for name, entry in couplings.items():
        shape = tuple(int(n) for n in entry["shape"])
        values, places = stored[f"{entry['stored']}.values"], stored[f"{entry['stored']}.places"]
        size = math.prod(shape)
        if min(shape) < 0 or size > _MOST_DENSE_NUMBERS or values.shape != places.shape:
            raise ValueError(f"shape of {name}")
        if places.size and not 0 <= places.min() <= places.max() < size:
            raise ValueError(f"places of {name}")
        dense = np.zeros(size, dtype=values.dtype)
        dense[places] = values
        weights[name] = dense.reshape(shape)
    return weights


def _spec(fields: dict[str, Any]) -> ModelSpec:
    layers = tuple(_layer(layer) for layer in fields.pop("layers"))
    radial = RadialSpec(**fields.pop("radial"))
    numbers, heads = tuple(fields.pop("atomic_numbers")), tuple(fields.pop("heads"))
    stored = fields.pop("pair_repulsion", None)
    repulsion = None if stored is None else PairRepulsionSpec(**stored)
    ewald = fields.pop("latent_ewald", None)
    return ModelSpec(
        layers=layers,
        radial=radial,
        atomic_numbers=numbers,
        heads=heads,
        pair_repulsion=repulsion,
        latent_ewald=None if ewald is None else LatentEwald(**ewald),
        embeddings=tuple(EmbeddingSpec(**one) for one in fields.pop("embeddings", ())),
        **fields,
    )


def _layer(fields: dict[str, Any]) -> LayerSpec:
    readout = fields.pop("readout")
    if "is_residual" in fields:  # format of versions before 0.2
        fields["interaction"] = f"RealAgnostic{'Residual' if fields.pop('is_residual') else ''}InteractionBlock"
    fields.setdefault("irreps_edge", fields["irreps_in"])
    paths = tuple((int(i), int(order), int(k)) for i, order, k in fields.pop("paths"))
    return LayerSpec(
        readout=None if readout is None else ReadoutSpec(**readout),
        paths=paths,
        radial_widths=tuple(int(n) for n in fields.pop("radial_widths")),
        **fields,
    )
