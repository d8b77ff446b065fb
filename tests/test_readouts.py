"""Readouts other than the usual ones: gates, and a readout after the last layer only."""

import pytest

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.families.mace import MaceReference, lower, write_portable
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.testing.structures import rattled_triclinic

SHAPE = {"hidden_irreps": "4x0e+4x1o", "l_max": 1, "n_layers": 2, "seed": 5}
READOUTS = {
    "tanh": {"gate": "tanh"},
    "abs": {"gate": "abs"},
    "none": {"gate": "identity"},
    "biased": {"has_biased_readout": True, "gate": "tanh"},
    "last": {"has_last_readout_only": True},
}
ON_GPU = ("none", "last")


def _portable(folder, name):
    path = folder / f"{name}.safetensors"
    write_portable(random_model(**SHAPE, **READOUTS[name]), path)
    return path


@pytest.mark.parametrize(("name", "device"), [*((n, "cpu") for n in READOUTS), *((n, "emulated") for n in ON_GPU)])
def test_compiled_readouts_give_the_energies_and_forces_of_the_reference(tmp_path, name, device):
    model = random_model(**SHAPE, **READOUTS[name])
    compiled = compiled_model(_portable(tmp_path, name), dtype="float64", device=device)
    atoms = rattled_triclinic(("H", "O"), seed=3)
    expected = MaceReference(model).evaluate(atoms)
    atoms.calc = MlipCalculator(compiled, n_threads=1)
    limit = 10 * tolerances.TABLE_REFERENCE
    assert_energies_agree(atoms.get_potential_energy(), expected.energy, len(atoms), limit)
    assert_forces_agree(atoms.get_forces(), expected.forces, limit, atoms.numbers)


@pytest.mark.parametrize("name", ["tanh", "abs"])
def test_gates_that_the_gpu_kernels_lack_are_refused(tmp_path, name):
    with pytest.raises(UnsupportedModelError, match=f"gate {name}, .* export with --device cpu"):
        compiled_model(_portable(tmp_path, name), device="emulated")


def test_a_readout_without_gate_is_one_linear_map():
    assert [len(layer.readout_matrices) for layer in lower(random_model(**SHAPE, gate="identity")).layers] == [1, 1]


def test_gates_change_the_energies():
    atoms = rattled_triclinic(("H", "O"), seed=3)
    energies = {
        round(MaceReference(random_model(**SHAPE, **READOUTS[name])).evaluate(atoms).energy, 6) for name in READOUTS
    }
    assert len(energies) == len(READOUTS)
