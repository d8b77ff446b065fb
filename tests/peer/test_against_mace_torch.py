"""The reader and the reference model against mace-torch, for models that mace-torch created and saved."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from mace_torch_models import MODELS

from mlip_lammps.families import read_model, select_head
from mlip_lammps.families.mace import MaceReference, write_portable
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import (
    assert_energies_agree,
    assert_forces_agree,
    assert_node_energies_agree,
    assert_virials_agree,
)

N_STRUCTURES = 3
RESULTS = ("numbers", "positions", "cell", "pbc", "energy", "node_energies", "forces", "stress", "charge", "spin")


@cache
def _expected(folder: Path, name: str) -> list[dict[str, np.ndarray]]:
    with np.load(folder / f"{name}.npz") as stored:
        named = [[(key, f"{number}.{key}") for key in RESULTS] for number in range(N_STRUCTURES)]
        return [{key: stored[name] for key, name in names if name in stored} for names in named]


def _atoms(expected: dict[str, np.ndarray]) -> Atoms:
    info = {name: expected[name].item() for name in ("charge", "spin") if name in expected}
    return Atoms(expected["numbers"], expected["positions"], cell=expected["cell"], pbc=expected["pbc"], info=info)


@pytest.mark.parametrize("name", MODELS)
def test_reference_gives_mace_torch_energies_forces_and_stress(peer_folder, name):
    model = MaceReference(select_head(read_model(peer_folder / f"{name}.model"), MODELS[name].get("head")))
    for expected in _expected(peer_folder, name):
        found = model.evaluate(_atoms(expected))
        numbers = expected["numbers"]
        assert found.graph.n_edges > 0
        assert_energies_agree(found.energy, expected["energy"], len(numbers), tolerances.REFERENCE_ENERGY_PER_ATOM)
        if not MODELS[name].get("extra", {}).get("use_embedding_readout"):  # mace-torch leaves it out of node energies
            assert_node_energies_agree(
                found.node_energies, expected["node_energies"], tolerances.REFERENCE_ENERGY_PER_ATOM, numbers
            )
        assert_forces_agree(found.forces, expected["forces"], tolerances.REFERENCE_FORCE, numbers)
        assert (found.stress is not None) == bool(expected["pbc"].any())
        if found.stress is not None:
            assert_virials_agree(found.stress, expected["stress"], tolerances.REFERENCE_STRESS, "eV/angstrom^3")


@pytest.mark.parametrize("name", MODELS)
def test_forces_of_the_peer_are_large_enough_to_compare(peer_folder, name):
    for expected in _expected(peer_folder, name):
        assert np.abs(expected["forces"]).max() > 1e-3


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].get("extra", {}).get("pair_repulsion")])
def test_nuclei_are_close_enough_to_repel_each_other(peer_folder, name):
    trained = select_head(read_model(peer_folder / f"{name}.model"), MODELS[name].get("head"))
    silent = replace(trained, spec=replace(trained.spec, pair_repulsion=None))
    for expected in _expected(peer_folder, name):
        without = MaceReference(silent).evaluate(_atoms(expected))
        assert expected["energy"] - without.energy > 1e-3


@pytest.mark.parametrize("name", [name for name in MODELS if "inputs" in MODELS[name]])
def test_charge_and_spin_change_energies_and_forces(peer_folder, name):
    model = MaceReference(select_head(read_model(peer_folder / f"{name}.model"), MODELS[name].get("head")))
    for expected in _expected(peer_folder, name)[:2]:
        atoms = _atoms(expected)
        found, names = model.evaluate(atoms), list(atoms.info)
        for key in names:
            without = atoms.copy()
            del without.info[key]
            plain = model.evaluate(without)
            assert abs(found.energy - plain.energy) > 1e-3
            assert np.abs(found.forces - plain.forces).max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_the_spec_has_the_options_of_the_model(peer_folder, name):
    options, spec = MODELS[name], read_model(peer_folder / f"{name}.model").spec
    correlation = options["correlation"]
    expected = [correlation] * options["n_layers"] if isinstance(correlation, int) else correlation
    assert spec.n_layers == options["n_layers"]
    assert spec.atomic_numbers == tuple(options["elements"])
    assert spec.l_max == options["l_max"]
    assert [layer.correlation for layer in spec.layers] == expected
    assert spec.layers[0].interaction == options.get("first", "RealAgnosticResidualInteractionBlock")
    assert spec.model_class == ("ScaleShiftMACE" if options.get("scaled", True) else "MACE")
    assert spec.radial.cutoff_on == ("basis" if options.get("apply_cutoff", True) else "weights")
    assert spec.radial.distance_transform == options.get("extra", {}).get("distance_transform")
    assert spec.radial.n_basis == options.get("n_basis", 8)
    assert spec.radial.cutoff_power == options.get("power", 5)
    assert (spec.pair_repulsion is not None) == options.get("extra", {}).get("pair_repulsion", False)
    if spec.pair_repulsion is not None:
        assert spec.pair_repulsion.cutoff_power == options.get("power", 5)
    assert spec.dtype == options.get("dtype", "float64")
    assert all(list(layer.radial_widths) == options.get("radial", [32, 16]) for layer in spec.layers)
    extra = options.get("extra", {})
    assert spec.radial.basis == extra.get("radial_type", "bessel")
    assert spec.is_product_by_element == (not extra.get("use_agnostic_product", False))
    assert spec.has_even_harmonics == extra.get("use_so3", False)
    assert spec.layers[-1].irreps_edge == extra.get("edge_irreps", spec.layers[-1].irreps_in)


@pytest.mark.parametrize(
    "name",
    [
        "two_layers_tensor", "two_layers_odd", "single_precision", "repulsion", "heads", "density_agnesi_repulsion",
        "nonlinear_foundation", "charge_and_spin", "charge_of_heads",
    ],
)
def test_the_portable_format_of_a_mace_torch_model_is_exact(peer_folder, tmp_path, name):
    trained = read_model(peer_folder / f"{name}.model")
    write_portable(trained, tmp_path / "portable.safetensors")
    again = read_model(tmp_path / "portable.safetensors")
    assert again.spec == trained.spec
    assert (again.source_sha256, again.source_name) == (trained.source_sha256, trained.source_name)
    assert again.weights.keys() == trained.weights.keys()
    for key, array in trained.weights.items():
        assert (again.weights[key].dtype, again.weights[key].shape) == (array.dtype, array.shape)
        assert again.weights[key].tobytes() == array.tobytes()
