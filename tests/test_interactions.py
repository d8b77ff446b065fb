"""An interaction block is one class: once registered, it is read, evaluated by the reference, and lowered."""

from dataclasses import replace

import numpy as np
import pytest
from uncompiled import run_layers

from mlip_lammps.compilation import export_model
from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.families import family_of, read_model
from mlip_lammps.families.mace import MaceReference, interactions, write_portable
from mlip_lammps.families.mace.interactions.real_agnostic_residual import RealAgnosticResidual
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.random_models import REAL_AGNOSTIC, RESIDUAL, random_model
from mlip_lammps.testing.structures import rattled_triclinic

FACTOR = 0.7


class Damped(RealAgnosticResidual):
    """A residual block that scales its message by an additional setting."""

    name = "DampedInteractionBlock"

    def reference(self, modules, inputs):
        message, skip = super().reference(modules, inputs)
        return modules.layer.settings["factor"] * message, skip

    def lower(self, lowering):
        lowered = super().lower(lowering)
        factor = lowering.layer.settings["factor"]
        message = tuple(replace(block, matrix=factor * block.matrix) for block in lowered.message)
        return replace(lowered, message=message)


@pytest.fixture
def damped(monkeypatch, tmp_path):
    """Return a portable file of a model with the block, and the same model with its base class."""
    monkeypatch.setattr(interactions, "_blocks", dict(interactions._blocks))
    interactions.register(Damped())
    plain = random_model(seed=8)
    first, second = plain.spec.layers
    second = replace(second, interaction=Damped.name, settings={"factor": FACTOR})
    model = replace(plain, spec=replace(plain.spec, layers=(first, second)))
    write_portable(model, tmp_path / "damped.safetensors")
    return tmp_path / "damped.safetensors", plain


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_a_registered_block_goes_from_the_file_to_the_compiled_model(damped, device, tmp_path):
    source, plain = damped
    trained = read_model(source)
    assert [layer.interaction for layer in trained.spec.layers] == [REAL_AGNOSTIC, Damped.name]
    atoms = rattled_triclinic(repeat=(2, 2, 2), seed=3)
    expected, without = MaceReference(trained).evaluate(atoms), MaceReference(plain).evaluate(atoms)
    assert np.abs(expected.forces - without.forces).max() > 1e-3
    export_model(source, tmp_path / "damped.pt2", dtype="float64", device=device)
    found = CompiledModel(tmp_path / "damped.pt2", n_threads=1).evaluate(expected.graph)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=tolerances.TABLE_REFERENCE)


def test_the_kernels_of_a_registered_block_equal_the_reference(damped, tmp_path):
    trained = read_model(damped[0])
    layers, reference = family_of(trained).layers(trained, trained.atomic_numbers), MaceReference(trained)
    operators = layers.operators("cpu", "float64", "table", tmp_path)
    operators.compile()
    atoms = rattled_triclinic(repeat=(2, 2, 2), seed=3)
    found = run_layers(layers, reference, atoms, "float64", operators)
    found.assert_equal(reference.evaluate(atoms), tolerances.TABLE_REFERENCE)


def test_a_block_that_is_not_registered_is_refused_by_name(damped, monkeypatch):
    source, _ = damped
    known = {name: interactions._blocks[name] for name in (REAL_AGNOSTIC, RESIDUAL)}
    monkeypatch.setattr(interactions, "_blocks", known)
    with pytest.raises(UnsupportedModelError, match=f"{Damped.name} is not supported; train with .* {REAL_AGNOSTIC}, "):
        read_model(source)
