"""LAMMPS on 1, 2 and 4 ranks equals the ASE calculator equals the reference; edge lists are compared first."""

from collections.abc import Mapping

import numpy as np
import pytest
from ase import Atoms
from lammps_run import run_driver, run_lammps
from lammps_structures import HAS_IDLE_RANKS, expected_results, parity_structures, write_data
from numpy.typing import NDArray

from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families.mace import MaceReference
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import (
    assert_energies_agree,
    assert_forces_agree,
    assert_node_energies_agree,
    assert_virials_agree,
)

MODELS = ("one_layer", "two_layers", "three_layers")
N_RANKS = (1, 2, 4)
STRUCTURES = tuple(parity_structures(("H", "O")))
EDGE_KEY_DIGITS = 5


@pytest.fixture(scope="module", params=MODELS)
def model_name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(model_name, compile_once):
    return compile_once(model_name)


@pytest.fixture(scope="module")
def structures(model) -> dict[str, Atoms]:
    return parity_structures(MlipCalculator(model).model.elements)


@pytest.fixture(scope="module", params=N_RANKS, ids=lambda n: f"{n}_ranks")
def in_lammps(request, model, tmp_path_factory) -> Mapping[str, NDArray]:
    """Return the LAMMPS results of all structures, from one session per number of ranks."""
    folder = tmp_path_factory.mktemp("parity")
    run_driver("lammps_driver.py", request.param, folder, model, folder / "out.npz")
    with np.load(folder / "out.npz") as results:
        return dict(results)


def assert_edges_agree(graph: Graph, edge_atoms: NDArray, edge_vectors: NDArray) -> None:
    """Raise unless both lists have the same edges in any order."""
    if len(edge_atoms) != graph.n_edges:
        raise AssertionError(f"{len(edge_atoms)} edges in LAMMPS and {graph.n_edges} in Python")
    pairs = np.stack([graph.edge_centre, graph.edge_neighbour], axis=1)
    found_order, order = edge_order(edge_atoms, edge_vectors), edge_order(pairs, graph.edge_vectors)
    np.testing.assert_array_equal(edge_atoms[found_order], pairs[order])
    found, expected = edge_vectors[found_order], graph.edge_vectors[order]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerances.EDGE_VECTOR)


def edge_order(pairs: NDArray, vectors: NDArray) -> NDArray:
    return np.lexsort((*np.round(vectors, EDGE_KEY_DIGITS).T, pairs[:, 1], pairs[:, 0]))


@pytest.mark.parametrize("name", STRUCTURES)
def test_lammps_has_the_same_edges(name, model, structures, in_lammps):
    graph = build_graph(structures[name], MlipCalculator(model).model.cutoff)
    assert_edges_agree(graph, in_lammps[f"{name}/edge_atoms"], in_lammps[f"{name}/edge_vectors"])


@pytest.mark.parametrize("name", STRUCTURES)
def test_lammps_equals_the_ase_calculator(name, model, structures, in_lammps):
    atoms = structures[name].copy()
    atoms.calc = MlipCalculator(model, n_threads=1)
    found = {key: in_lammps[f"{name}/{key}"] for key in ("energy", "forces", "node_energies")}
    tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
    assert_energies_agree(found["energy"], atoms.get_potential_energy(), len(atoms), tolerance)
    assert_node_energies_agree(found["node_energies"], atoms.get_potential_energies(), tolerance, atoms.numbers)
    assert_energies_agree(found["node_energies"].sum(), found["energy"], len(atoms), tolerance)
    assert_forces_agree(found["forces"], atoms.get_forces(), tolerances.LAMMPS_FORCE, atoms.numbers)
    if atoms.pbc.all():
        per_atom = atoms.get_volume() / len(atoms)
        assert_virials_agree(
            per_atom * in_lammps[f"{name}/stress"],
            per_atom * atoms.get_stress(),
            tolerances.LAMMPS_VIRIAL_PER_ATOM,
        )


def test_structures_leave_ranks_without_atoms(in_lammps):
    n_owned = {name: in_lammps[f"{name}/n_owned"] for name in STRUCTURES}
    if len(n_owned["water"]) > 1:
        for name in HAS_IDLE_RANKS:
            assert n_owned[name].min() == 0
        assert n_owned["water"].min() > 0


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_ase_calculator_equals_the_reference(name, model_name, model, structures, trained_models):
    atoms = structures[name].copy()
    atoms.calc = MlipCalculator(model, n_threads=1)
    expected = MaceReference(trained_models[model_name]).evaluate(atoms)
    tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
    assert_energies_agree(atoms.get_potential_energy(), expected.energy, len(atoms), tolerance)
    assert_node_energies_agree(atoms.get_potential_energies(), expected.node_energies, tolerance, atoms.numbers)
    assert_forces_agree(atoms.get_forces(), expected.forces, tolerances.LAMMPS_FORCE, atoms.numbers)
    per_atom = atoms.get_volume() / len(atoms)
    assert_virials_agree(per_atom * atoms.get_stress(), per_atom * expected.stress, tolerances.LAMMPS_VIRIAL_PER_ATOM)
    if len(atoms) > 1:
        assert np.abs(expected.forces).max() > 1e-3, "forces that say nothing"


@pytest.mark.parametrize("n_ranks", [1, 4])
def test_ranks_exchange_features_in_single_precision(n_ranks, compile_once, tmp_path):
    model = compile_once("two_layers", "mixed")
    run_driver("lammps_driver.py", n_ranks, tmp_path, model, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as results:
        for name, atoms in parity_structures(("H", "O")).items():
            atoms.calc = MlipCalculator(model, n_threads=1)
            forces = atoms.get_forces()
            tolerance = tolerances.SINGLE_PRECISION_FORCE * np.abs(forces).max()
            assert_forces_agree(results[f"{name}/forces"], forces, tolerance, atoms.numbers)


def test_faults_planted_in_edges_forces_and_virials_are_found(model, structures):
    atoms = structures["triclinic"].copy()
    graph = build_graph(atoms, MlipCalculator(model).model.cutoff)
    pairs = np.stack([graph.edge_centre, graph.edge_neighbour], axis=1)
    vectors = graph.edge_vectors
    assert_edges_agree(graph, pairs[::-1], vectors[::-1])
    with pytest.raises(AssertionError):
        assert_edges_agree(graph, pairs[:-1], vectors[:-1])
    with pytest.raises(AssertionError):
        assert_edges_agree(graph, pairs[:, ::-1], vectors)
    with pytest.raises(AssertionError):
        assert_edges_agree(graph, pairs, vectors * (1 + 1e-9))
    atoms.calc = MlipCalculator(model, n_threads=1)
    with pytest.raises(AssertionError):
        assert_forces_agree(1.001 * atoms.get_forces(), atoms.get_forces(), tolerances.LAMMPS_FORCE)
    swapped = atoms.get_stress()[[0, 1, 2, 3, 5, 4]] * atoms.get_volume()
    with pytest.raises(AssertionError):
        assert_virials_agree(swapped, atoms.get_stress() * atoms.get_volume(), tolerances.LAMMPS_VIRIAL_PER_ATOM)


def test_an_input_needs_only_pair_style_and_pair_coeff(compile_once, tmp_path):
    model = compile_once("two_layers")
    atoms = parity_structures(("H", "O"))["triclinic"]
    write_data(tmp_path / "box.data", atoms, ("H", "O"))
    done = run_lammps(
        f"""units metal
        read_data box.data
        pair_style mlip/torch
        pair_coeff * * {model} H O
        thermo_style custom step pe
        thermo_modify format float %.15g
        dump out all custom 1 dump.out id fx fy fz
        dump_modify out format float %.15g
        run 0
        """,
        2,
        tmp_path,
    )
    expected = expected_results(model, atoms)
    tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
    assert_energies_agree(done.thermo[0]["PotEng"], expected.energy, len(atoms), tolerance)
    assert_forces_agree(done.dump("dump.out")[:, 1:], expected.forces, tolerances.LAMMPS_FORCE, atoms.numbers)
