"""The repulsion of nuclei (ZBL): its formula, and agreement of reference, compiled file and LAMMPS.

``tests/peer`` compares it with mace-torch.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from lammps_run import run_driver
from lammps_structures import parity_structures

from mlip_lammps.compilation import check, compiled_model
from mlip_lammps.core.errors import MlipError, ModelFileError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import read_model
from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.families.mace import MaceModel, MaceReference, lower, write_portable
from mlip_lammps.families.mace.layers import MaceChain
from mlip_lammps.kernels.cpu.layer_operators import CpuOperators
from mlip_lammps.kernels.torch.layer_operators import TorchOperators
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.model_file.contract import DTYPES
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import (
    assert_energies_agree,
    assert_forces_agree,
    assert_node_energies_agree,
    assert_virials_agree,
)
from mlip_lammps.testing.random_models import random_model

ELEMENTS = ("Si", "O", "Ni")
# The cutoff is below the sum of two covalent radii of nickel, 2.48 angstrom, so it also ends the repulsion.
CUTOFF = 2.4
SHAPE = dict(elements=ELEMENTS, hidden_irreps="4x0e+4x1o", l_max=1, correlation=2, n_layers=2, cutoff=CUTOFF)


@pytest.fixture(scope="module")
def trained() -> MaceModel:
    return random_model(seed=3, pair_repulsion=True, **SHAPE)


@pytest.fixture(scope="module")
def silent_model() -> MaceModel:
    """Return the same model without the repulsion."""
    return random_model(seed=3, **SHAPE)


@pytest.fixture(scope="module")
def silent(silent_model) -> MaceReference:
    return MaceReference(silent_model)


@pytest.fixture(scope="module")
def compiled_file(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("repulsion") / "repulsion.safetensors"
    write_portable(trained, path)
    return compiled_model(path, dtype="float64")


def structures() -> dict[str, Atoms]:
    """Return compressed parity structures, in which atoms are closer than the sum of their covalent radii."""
    drawn = parity_structures(ELEMENTS)
    for name, atoms in drawn.items():
        factor = 1.0 if name in ("molecule", "molecule_in_a_corner", "one_atom") else 0.8
        atoms.set_cell(factor * atoms.cell[:], scale_atoms=True)
    return drawn


def dimer(first: str, second: str, distance: float) -> Atoms:
    return Atoms([first, second], positions=[[0, 0, 0], [0.6 * distance, 0.8 * distance, 0]])


def test_the_repulsion_of_two_atoms_follows_the_formula(trained, silent):
    model, scale = MaceReference(trained), float(trained.weights["scale_shift.scale"][0])
    distance, screening = 0.9, 0.4543 * 0.529 / (14**0.3 + 8**0.3)
    x, u = distance / screening, distance / (covalent_radii[14] + covalent_radii[8])
    decay = 0.1818 * np.exp(-3.2 * x) + 0.5099 * np.exp(-0.9423 * x)
    decay += 0.2802 * np.exp(-0.4028 * x) + 0.02817 * np.exp(-0.2016 * x)
    envelope = 1 - 21 * u**5 + 35 * u**6 - 15 * u**7
    expected = scale * 14.3996 * 14 * 8 / distance * decay * envelope
    atoms = dimer("Si", "O", distance)
    found = model.evaluate(atoms).node_energies - silent.evaluate(atoms).node_energies
    assert expected > 1
    np.testing.assert_allclose(found, expected / 2, rtol=1e-10)


@pytest.mark.parametrize("pair", [("Si", "Si"), ("Si", "O"), ("Ni", "Ni")])
def test_there_is_no_repulsion_beyond_the_radii_or_the_cutoff(pair, trained, silent):
    reach = min(CUTOFF, sum(covalent_radii[atomic_numbers[symbol]] for symbol in pair))
    model = MaceReference(trained)
    for distance, is_felt in ((0.97 * reach, True), (reach + 1e-6, False)):
        atoms = dimer(*pair, distance)
        difference = model.evaluate(atoms).energy - silent.evaluate(atoms).energy
        assert (difference > 1e-9) == is_felt
        assert difference == 0.0 or is_felt


def test_forces_are_minus_the_gradient_of_the_energy(trained):
    model, step = MaceReference(trained), tolerances.CENTRAL_DIFFERENCE_STEP
    atoms = dimer("Si", "Ni", 1.3)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[1, 1] += sign * step
        energies.append(model.evaluate(moved).energy)
    slope = (energies[0] - energies[1]) / (2 * step)
    assert abs(slope + model.evaluate(atoms).forces[1, 1]) < 10 * tolerances.CENTRAL_DIFFERENCE_FORCE
    assert slope < -1


def test_the_compiled_model_equals_the_reference(trained, silent, compiled_file):
    compiled, reference = CompiledModel(compiled_file, n_threads=1), MaceReference(trained)
    n_felt = 0
    for atoms in structures().values():
        expected = reference.evaluate(atoms)
        found = compiled.evaluate(build_graph(atoms, CUTOFF))
        tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
        assert_node_energies_agree(found.node_energies, expected.node_energies, tolerance, atoms.numbers)
        scale = max(1.0, np.abs(expected.edge_gradients).max(initial=0.0))
        assert_forces_agree(found.edge_gradients, expected.edge_gradients, scale * tolerances.LAMMPS_FORCE)
        n_felt += expected.energy - silent.evaluate(atoms).energy > 0.1
    assert n_felt >= 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_repulsion_is_computed_in_float64_in_every_precision(dtype, trained, silent_model):
    atoms, results = dimer("Ni", "O", 0.3), []
    for model in (trained, silent_model):
        lowered, graph = lower(model), build_graph(atoms, CUTOFF)
        chain = MaceChain(lowered, dtype, TorchOperators(lowered, dtype))
        species = torch.tensor([2, 1])
        vectors = torch.tensor(graph.edge_vectors, requires_grad=True)
        pairs = (torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour))
        edges = EdgeGraph(species, vectors, *pairs, species)
        result, energies = chain.update(1, edges, None, chain.messages(1, edges, None))
        handed = chain.hand_on(1, edges, result)
        messages = chain.messages(2, edges, handed["features_1"])
        energies = energies + chain.update(2, edges, handed.get("skips_1"), messages)[1]
        (gradients,) = torch.autograd.grad(energies.sum(), vectors)
        results.append((energies.detach().numpy(), gradients.numpy()))
    (with_energies, with_gradients), (energies, gradients) = results
    reference, without = MaceReference(trained).evaluate(atoms), MaceReference(silent_model).evaluate(atoms)
    expected = reference.node_energies - without.node_energies
    assert expected.min() > 100
    np.testing.assert_allclose(with_energies - energies, expected, rtol=1e-12)
    expected = reference.edge_gradients - without.edge_gradients
    np.testing.assert_allclose(with_gradients - gradients, expected, rtol=1e-12, atol=1e-9)


def test_lammps_on_two_ranks_equals_ase(compiled_file, tmp_path):
    run_driver("lammps_driver.py", 2, tmp_path, compiled_file, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as results:
        for name, atoms in parity_structures(ELEMENTS).items():
            atoms.calc = MlipCalculator(compiled_file, n_threads=1)
            found = {key: results[f"{name}/{key}"] for key in ("energy", "forces")}
            tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
            assert_energies_agree(found["energy"], atoms.get_potential_energy(), len(atoms), tolerance)
            assert_forces_agree(found["forces"], atoms.get_forces(), tolerances.LAMMPS_FORCE, atoms.numbers)
            if atoms.pbc.all():
                per_atom = atoms.get_volume() / len(atoms)
                stress = per_atom * results[f"{name}/stress"]
                assert_virials_agree(stress, per_atom * atoms.get_stress(), tolerances.LAMMPS_VIRIAL_PER_ATOM)


def test_the_portable_format_keeps_the_repulsion(trained, tmp_path):
    write_portable(trained, tmp_path / "model.safetensors")
    again = read_model(tmp_path / "model.safetensors")
    assert again.spec == trained.spec
    for name, array in trained.weights.items():
        assert again.weights[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("covalent_radii", np.ones(20), "expected a positive radius for every element of .* up to atomic number 28"),
        ("covalent_radii", np.zeros(119), "expected a positive radius for every element of .* up to atomic number 28"),
        ("a_prefactor", np.array(0.0), "a_prefactor of random-3 is 0.0"),
        ("c", np.ones(3), "expected 4"),
        ("a_exp", None, "lacks the weight pair_repulsion_fn.a_exp"),
    ],
)
def test_an_invalid_repulsion_is_refused(trained, name, value, words, tmp_path):
    weights = dict(trained.weights)
    del weights[f"pair_repulsion_fn.{name}"]
    if value is not None:
        weights[f"pair_repulsion_fn.{name}"] = value
    with pytest.raises(ModelFileError, match=words):
        write_portable(dataclasses.replace(trained, weights=weights), tmp_path / "model.safetensors")


def test_tables_may_change_more_where_atoms_are_closer_than_a_bond(compiled_file, trained, tmp_path, monkeypatch):
    compiled = CompiledModel(compiled_file, n_threads=1)
    kernels = CpuOperators(lower(trained), torch.float64, tmp_path)
    right = kernels.tabulated()
    monkeypatch.setitem(check.TO_REFERENCE, "float64", dataclasses.replace(check.TO_REFERENCE["float64"], force=1e-4))

    def off_when_close(error: float) -> list:
        return [lambda r, table=table: table(r) * (1.0 + error * (r < 0.85).double().unsqueeze(1)) for table in right]

    def expected(error: float) -> list[check.ExpectedResults]:
        return check.expected_results(MaceReference(trained), compiled.elements, "float64", off_when_close(error))

    found = check.check_compiled(compiled, expected(1e-6))
    assert found.table_force_ev_per_angstrom > check.TABLE_FORCE["float64"]
    with pytest.raises(MlipError, match="radial tables change a force"):
        expected(1e-2)
