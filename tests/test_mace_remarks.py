"""Remarks on MACE models that run, but differ from mace-torch or from physics."""

from dataclasses import replace

import numpy as np
import pytest

from mlip_lammps.families.mace.remarks import remarks_of
from mlip_lammps.testing.random_models import NON_LINEAR, RESIDUAL, random_model


def remarks(trained) -> str:
    return "; ".join(remarks_of(trained.spec, trained.weights))


def test_a_usual_model_has_no_remark():
    trained = random_model()
    assert remarks(trained) == ""
    assert "remark" not in trained.facts()


@pytest.mark.parametrize(("cutoff_on", "has_steps"), [("basis", True), ("weights", False)])
def test_blocks_that_do_not_vanish_at_the_cutoff_are_remarked(cutoff_on, has_steps):
    trained = random_model(interaction=NON_LINEAR, cutoff_on=cutoff_on)
    assert ("steps where an atom crosses the cutoff" in remarks(trained)) == has_steps
    assert remarks(random_model(interaction=RESIDUAL, cutoff_on="basis")) == ""


@pytest.mark.parametrize("bits", [np.float16, "bfloat16"])
@pytest.mark.parametrize("kept", [np.float32, np.float64])
def test_couplings_in_half_precision_are_remarked(bits, kept):
    trained = random_model()
    rounded = {}
    for name, array in trained.weights.items():
        single = np.asarray(array).astype(np.float32)
        cut = single.view(np.uint32) & 0xFFFF0000
        rounded[name] = (cut.view(np.float32) if bits == "bfloat16" else single.astype(bits)).astype(kept)
    assert "rounded to half precision" in remarks(replace(trained, weights=rounded))
    single = {name: np.asarray(array).astype(np.float32) for name, array in trained.weights.items()}
    assert remarks(replace(trained, weights=single)) == ""
