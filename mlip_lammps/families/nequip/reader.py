"""Reader of NequIP's files: checkpoints of a training, and packaged models. This module does not import torch."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import small_pickle
from mlip_lammps.families.gated.spec import GatedModel
from mlip_lammps.families.gated.validation import check_weights
from mlip_lammps.families.nequip.arrays import Arrays
from mlip_lammps.families.nequip.checkpoint import Checkpoint
from mlip_lammps.families.nequip.design import Design
from mlip_lammps.families.nequip.package import PackagedModel, is_compiled, is_package, read_package
from mlip_lammps.families.nequip.weights import Constants, weights_of

FAMILY_NAME = "nequip"
CITATION = "Batzner et al., Nat. Commun. 13, 2453 (2022), doi:10.1038/s41467-022-29939-5"
_MARKS = (b"hyper_parameters", b"nequip.")


def is_nequip_file(path: Path, start: bytes) -> bool:
    """Return whether a file looks like one of NequIP: a checkpoint, a packaged or a compiled model."""
    if start[:2] == b"PK" and (is_package(path) or is_compiled(path)):
        return True
    pickled = small_pickle(path, start)
    return pickled is not None and all(mark in pickled for mark in _MARKS)


def read_nequip(path: Path) -> GatedModel:
    """Read a checkpoint or a packaged model without running its content.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    if is_compiled(path):
        raise UnsupportedModelError(
            f"{path} was compiled by nequip-compile and does not contain the trained model; give the checkpoint "
            "(.ckpt) or the packaged file (.nequip.zip) that it was made from"
        )
    is_packaged = is_package(path)
    with ExitStack() as files, _as_damage(path, "package" if is_packaged else "checkpoint"):
        remarks = {"citation": CITATION}
        if is_packaged:
            packaged = read_package(path)
            files.enter_context(packaged.archive)
            version, arrays = packaged.facts.nequip, packaged.arrays()
            design, constants = packaged.design, packaged.constants
            remarks |= _remarks(packaged)
        else:
            checkpoint = Checkpoint(path, files)
            packaged, version, arrays = checkpoint.origin.package, checkpoint.version, checkpoint.arrays
            design = checkpoint.design
            constants = checkpoint.origin.constants(design, path.name)
        trained = _model(path, version, design, arrays, constants, remarks)
        if packaged is not None:
            packaged.check(trained.spec)
    check_weights(trained)
    return trained


def _model(
    path: Path, version: str, design: Design, arrays: Arrays, constants: Constants, remarks: dict[str, str]
) -> GatedModel:
    charges, strength = None, 0.0
    if design.repulsion_power is not None:
        charges = arrays["pair_potential.atomic_numbers"].reshape(-1)
        strength = 2.0 * float(arrays["pair_potential._qqr2exesquare"].reshape(()))
    spec = design.specification(path.name, f"NequIP {version}", charges, strength)
    weights = weights_of(design, spec, arrays, constants, path.name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return GatedModel(FAMILY_NAME, spec, weights, digest, path.name, remarks)


def _remarks(packaged: PackagedModel) -> dict[str, str]:
    versions = packaged.facts.versions
    named = [f"{name} {versions[name]}" for name in ("nequip", "e3nn", "torch") if name in versions]
    return {"packaged_with": ", ".join(named)}


@contextmanager
def _as_damage(path: Path, form: str) -> Iterator[None]:
    """Raise an unexpected structure of the file as damage."""
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise ModelFileError(f"{path} cannot be read as a {form} of NequIP ({error}); copy it again") from error
