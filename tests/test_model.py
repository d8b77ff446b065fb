"""Symmetries, derivatives and limits of the reference model; ``tests/peer`` compares it with mace-torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceReference, write_portable
from mlip_lammps.families.mace.reference import blocks
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree, assert_virials_agree
from mlip_lammps.testing.random_models import RESIDUAL, random_model
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic, smaller_than_cutoff

MODELS = {
    "plain_first": {},
    "residual_first": {"interaction": RESIDUAL, "cutoff_on": "weights"},
    "one_layer": {"n_layers": 1, "correlation": 3, "l_max": 3, "hidden_irreps": "8x0e"},
    "three_layers": {
        "n_layers": 3, "correlation": (2, 1, 3), "hidden_irreps": "8x0e+8x1o+8x2e", "elements": ("O", "H"),
    },
    "odd": {"hidden_irreps": "4x0e+4x0o+4x1o+4x1e", "model_class": "MACE"},
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> MaceReference:
    return MaceReference(random_model(**MODELS[request.param], seed=2))


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    return rattled_triclinic(seed=1)


def test_forces_are_minus_the_gradient_of_the_energy(model, atoms):
    forces, step = model.evaluate(atoms).forces, tolerances.CENTRAL_DIFFERENCE_STEP
    for atom, axis in [(0, 0), (5, 1), (11, 2)]:
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(model.evaluate(moved).energy)
        slope = (energies[0] - energies[1]) / (2 * step)
        assert abs(slope + forces[atom, axis]) < tolerances.CENTRAL_DIFFERENCE_FORCE
    assert np.abs(forces).max() > 1e-3


@pytest.mark.parametrize("make", [rattled_triclinic, smaller_than_cutoff])
def test_stress_is_the_gradient_of_the_energy_in_the_strain(model, make):
    atoms, step = make(seed=3), tolerances.CENTRAL_DIFFERENCE_STEP
    stress = model.evaluate(atoms).stress
    for component, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
            energies.append(model.evaluate(strained).energy)
        slope = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert abs(slope - stress[component]) < tolerances.CENTRAL_DIFFERENCE_FORCE


def test_rotation_and_inversion_turn_the_forces(model, atoms):
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    before = model.evaluate(atoms)
    for matrix in (turn, -turn):
        turned = atoms.copy()
        turned.set_cell(atoms.cell[:] @ matrix)
        turned.positions = atoms.positions @ matrix
        after = model.evaluate(turned)
        assert_energies_agree(after.energy, before.energy, len(atoms), tolerances.EXACT_SYMMETRY)
        assert_forces_agree(after.forces, before.forces @ matrix, tolerances.EXACT_SYMMETRY, atoms.numbers)


def test_order_wrapping_and_translation_do_not_matter(model, atoms):
    rng = np.random.default_rng(5)
    order = rng.permutation(len(atoms))
    moved = atoms[order]
    moved.positions += np.array([0.7, -1.3, 2.1]) + rng.integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell[:]
    before, after = model.evaluate(atoms), model.evaluate(moved)
    assert_energies_agree(after.energy, before.energy, len(atoms), tolerances.EXACT_SYMMETRY)
    assert_forces_agree(after.forces, before.forces[order], tolerances.EXACT_SYMMETRY, moved.numbers)
    assert_virials_agree(after.stress, before.stress, tolerances.EXACT_SYMMETRY, "eV/angstrom^3")


def test_a_supercell_has_the_energy_of_its_cells(model):
    cell = smaller_than_cutoff(seed=6)
    one, eight = model.evaluate(cell), model.evaluate(cell * (2, 2, 2))
    assert_energies_agree(eight.energy, 8 * one.energy, 16, tolerances.EXACT_SYMMETRY)
    assert_forces_agree(eight.forces, np.tile(one.forces, (8, 1)), tolerances.EXACT_SYMMETRY)
    assert_virials_agree(eight.stress, one.stress, tolerances.EXACT_SYMMETRY, "eV/angstrom^3")


def test_forces_sum_to_zero_and_node_energies_to_the_energy(model, atoms):
    found = model.evaluate(atoms)
    assert np.abs(found.forces.sum(axis=0)).max() < tolerances.EXACT_SYMMETRY
    assert_energies_agree(found.node_energies.sum(), found.energy, len(atoms), tolerances.EXACT_SYMMETRY)


def test_edge_gradients_give_forces_and_stress(model, atoms):
    found = model.evaluate(atoms)
    graph, gradients = found.graph, found.edge_gradients
    forces = np.zeros((len(atoms), 3))
    for i, j, gradient in zip(graph.edge_centre, graph.edge_neighbour, gradients, strict=True):
        forces[i] += gradient
        forces[j] -= gradient
    assert_forces_agree(forces, found.forces, tolerances.EXACT_SYMMETRY)
    virial = graph.edge_vectors.T @ gradients
    assert np.abs(virial - virial.T).max() < tolerances.EXACT_SYMMETRY
    stress = (virial / atoms.get_volume())[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    assert_virials_agree(stress, found.stress, tolerances.EXACT_SYMMETRY, "eV/angstrom^3")


def test_energy_is_continuous_at_the_cutoff(model):
    energies = [
        model.evaluate(Atoms("OH", positions=[[0, 0, 0], [0, 0, model.spec.cutoff + shift]])).energy
        for shift in (-1e-6, 1e-6)
    ]
    assert_energies_agree(*energies, 2, tolerances.EXACT_SYMMETRY)


def test_atoms_without_neighbours_have_no_forces(model):
    single = model.evaluate(Atoms("O"))
    far = model.evaluate(Atoms("O3", positions=[[0, 0, 0], [20, 0, 0], [0, 30, 0]]))
    assert single.graph.n_edges == far.graph.n_edges == 0
    assert single.stress is None
    assert not far.forces.any()
    assert_energies_agree(far.energy, 3 * single.energy, 3, tolerances.EXACT_SYMMETRY)


def test_no_atoms_have_no_energy(model):
    nothing = model.evaluate(Atoms())
    assert nothing.energy == 0.0
    assert nothing.forces.shape == (0, 3)


def test_a_molecule_has_no_stress_and_in_a_large_box_the_same_forces(model):
    alone, boxed = isolated_molecule(box=None, seed=8), isolated_molecule(box=40.0, seed=8)
    a, b = model.evaluate(alone), model.evaluate(boxed)
    assert a.stress is None
    assert b.stress is not None
    assert_forces_agree(a.forces, b.forces, tolerances.EXACT_SYMMETRY)


def test_elements_outside_the_model_are_named(model):
    with pytest.raises(UserInputError, match=r"contains Si, U, but the model knows"):
        model.evaluate(Atoms("OUSi", positions=[[0, 0, 0], [2, 0, 0], [0, 2, 0]]))


def test_swapped_elements_change_the_forces(model, atoms):
    swapped = atoms.copy()
    swapped.numbers = np.where(atoms.numbers == 1, 8, 1)
    assert np.abs(model.evaluate(swapped).forces - model.evaluate(atoms).forces).max() > 1e-3


def test_every_layer_reaches_one_cutoff_further():
    """With a chain spacing of 3 angstrom and a cutoff of 4, the first atom depends on the last through n layers."""
    for n_layers in (1, 2, 3):
        model = MaceReference(random_model(("O",), n_layers=n_layers, seed=1, interaction=RESIDUAL))
        chain = Atoms("O5", positions=[[3.0 * k, 0.1 * k * k, 0.3 * (k % 2)] for k in range(5)])
        energies = [model.evaluate(chain[:n]).node_energies[0] for n in range(1, 6)]
        changes = np.abs(np.diff(energies))
        assert (changes[:n_layers] > 1e-9).all()
        assert (changes[n_layers:] < 1e-14).all()


def test_single_precision_is_close_to_double(atoms):
    trained = random_model(n_layers=2, correlation=3, seed=3)
    double, single = (MaceReference(trained, dtype).evaluate(atoms) for dtype in (torch.float64, torch.float32))
    scale = np.abs(double.forces).max()
    assert_forces_agree(single.forces / scale, double.forces / scale, tolerances.SINGLE_PRECISION_FORCE)
    assert (single.forces != double.forces).any()


def test_a_model_from_the_portable_format_is_bitwise_identical(tmp_path, atoms):
    trained = random_model(seed=5)
    write_portable(trained, tmp_path / "model.safetensors")
    again = MaceReference(read_model(tmp_path / "model.safetensors")).evaluate(atoms)
    np.testing.assert_array_equal(again.forces, MaceReference(trained).evaluate(atoms).forces)


def test_node_energies_are_differentiable_to_second_order():
    model = MaceReference(random_model(hidden_irreps="2x0e+2x1o", radial_widths=(4,), seed=1))
    vectors = torch.tensor([[1.1, 0.3, -0.2], [-1.1, -0.3, 0.2]], dtype=torch.float64, requires_grad=True)
    species, centre, neighbour = torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([1, 0])
    assert torch.autograd.gradgradcheck(lambda r: model.node_energies(species, r, centre, neighbour), vectors)


def test_model_imports_without_environment_variables_and_without_warnings():
    code = "import mlip_lammps.families.mace.reference, sys; assert 'mace' not in sys.modules"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True, timeout=120, cwd=Path(__file__).parents[1], env={"PATH": ""},
    )  # fmt: skip


def test_wide_models_are_contracted_some_channels_at_a_time(monkeypatch):
    """With the same energies and forces."""
    trained = random_model(hidden_irreps="6x0e+6x1o", l_max=2, correlation=3, n_layers=2)
    atoms = rattled_triclinic(("H", "O"), repeat=(2, 2, 2))
    expected = MaceReference(trained).evaluate(atoms)
    calls = []
    plain = blocks.SymmetricContraction._contract_channels
    monkeypatch.setattr(blocks, "_MOST_NUMBERS", 1_000)
    monkeypatch.setattr(
        blocks.SymmetricContraction,
        "_contract_channels",
        lambda self, *arguments: calls.append(arguments[1].shape[1]) or plain(self, *arguments),
    )
    found = MaceReference(trained).evaluate(atoms)
    assert max(calls) < 6
    assert_energies_agree(found.energy, expected.energy, len(atoms), tolerances.REFERENCE_ENERGY_PER_ATOM)
    assert_forces_agree(found.forces, expected.forces, tolerances.REFERENCE_FORCE)
