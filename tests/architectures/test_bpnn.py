"""Potentials of n2p2 and RuNNer: read as data, equal to plain loops, and the same in LAMMPS on several ranks."""


import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr
from bpnn_files import SCALINGS, energies_from_loops, write_potential
from package_files import assert_lammps_equals, reading_imports_torch

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

STRUCTURES = {
    "triclinic": rattled_triclinic(("H", "O"), repeat=(2, 3, 4), seed=2),
    "molecule in a corner": isolated_molecule(("H", "O")),
    "chain": Atoms("OHO", positions=[[1, 1, 1], [2.5, 1.2, 1], [5, 1, 1]], cell=[20, 20, 20], pbc=True),
    "no angles": Atoms("HOHO", positions=[[1, 1, 1], [2.5, 1, 1], [9, 9, 9], [10, 10, 9]], cell=[20] * 3, pbc=True),
    "far apart": Atoms("HO", positions=[[1, 1, 1], [9, 9, 9]], cell=[20, 20, 20], pbc=True),
    "one atom": Atoms("O", positions=[[1, 1, 1]], cell=[20, 20, 20], pbc=True),
}


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    return write_potential(tmp_path_factory.mktemp("bpnn") / "hdnnp")


@pytest.fixture(scope="module")
def reference(potential):
    trained = read_model(potential)
    return family_of(trained).reference(trained)


@pytest.fixture(scope="module")
def compiled(potential):
    return compiled_model(potential, dtype="float64")


def assert_loops_agree(energies, folder, atoms, **settings) -> None:
    expected = energies_from_loops(folder, atoms, **settings)
    np.testing.assert_allclose(energies, expected, rtol=0, atol=tolerances.PACKAGE_ENERGY_PER_ATOM)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_reference_equals_plain_loops(name, potential, reference):
    assert_loops_agree(reference.evaluate(STRUCTURES[name]).node_energies, potential, STRUCTURES[name])


@pytest.mark.parametrize("scaling", SCALINGS)
def test_every_scaling_equals_plain_loops(scaling, tmp_path):
    trained = read_model(write_potential(tmp_path, scaling))
    found = family_of(trained).reference(trained).evaluate(STRUCTURES["molecule in a corner"])
    assert_loops_agree(found.node_energies, tmp_path, STRUCTURES["molecule in a corner"], scaling=scaling)


@pytest.mark.parametrize("cutoff_type", ["1", "2", "3", "4 0.1", "5", "6", "7 0.3", "8"])
def test_every_cutoff_function_equals_plain_loops(cutoff_type, tmp_path):
    trained = read_model(write_potential(tmp_path, cutoff_type=cutoff_type))
    found = family_of(trained).reference(trained).evaluate(STRUCTURES["molecule in a corner"])
    assert_loops_agree(found.node_energies, tmp_path, STRUCTURES["molecule in a corner"], cutoff_type=cutoff_type)


def test_another_seed_of_the_weights_is_found(tmp_path, potential, reference):
    """Otherwise the comparison with loops would pass without networks."""
    atoms = STRUCTURES["molecule in a corner"]
    other = energies_from_loops(write_potential(tmp_path, seed=4), atoms)
    assert np.abs(other - reference.evaluate(atoms).node_energies).max() > 0.01


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_compiled_file_equals_the_reference(name, compiled, reference):
    model = CompiledModel(compiled, n_threads=1)
    expected = reference.evaluate(STRUCTURES[name])
    found = model.evaluate(build_graph(STRUCTURES[name], model.cutoff))
    np.testing.assert_allclose(found.node_energies, expected.node_energies, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.edge_gradients, expected.edge_gradients, rtol=0, atol=tolerances.REFERENCE_FORCE)


def test_forces_and_stress_are_derivatives_of_the_energy(compiled):
    atoms = STRUCTURES["triclinic"].copy()
    atoms.calc = MlipCalculator(compiled, n_threads=1)
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    step = tolerances.CENTRAL_DIFFERENCE_STEP

    def energy(change) -> float:
        moved = atoms.copy()
        change(moved)
        moved.calc = atoms.calc
        return moved.get_potential_energy()

    for n, axis in ((0, 0), (5, 1), (11, 2)):
        def shifted(moved, sign, n=n, axis=axis):
            moved.positions[n, axis] += sign * step

        slope = (energy(lambda a: shifted(a, 1)) - energy(lambda a: shifted(a, -1))) / (2 * step)
        assert abs(slope + forces[n, axis]) < tolerances.CENTRAL_DIFFERENCE_FORCE
    strain = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])

    def strained(moved, size):
        moved.set_cell(moved.cell[:] @ (np.eye(3) + size * strain), scale_atoms=True)

    slope = (energy(lambda a: strained(a, 1e-5)) - energy(lambda a: strained(a, -1e-5))) / 2e-5
    assert abs(slope / atoms.get_volume() - (stress * strain).sum()) < 1e-8


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, compiled, reference):
    assert_lammps_equals(reference, STRUCTURES, compiled, n_ranks, is_relative=False)


def test_some_elements_give_the_same_energies(tmp_path, potential, reference):
    export_model(potential, tmp_path / "o.pt2", dtype="float64", elements=["O"])
    model = CompiledModel(tmp_path / "o.pt2", n_threads=1)
    atoms = Atoms("O4", positions=[[0, 0, 0], [2, 0, 0], [0, 2.2, 0], [0, 0, 2.4]])
    found = model.evaluate(build_graph(atoms, model.cutoff))
    np.testing.assert_allclose(found.forces, reference.evaluate(atoms).forces, rtol=0, atol=tolerances.REFERENCE_FORCE)


def test_the_kernels_find_the_angles_themselves(compiled):
    metadata = read_metadata(compiled)
    assert metadata["cutoff"] == pytest.approx(7.0 * Bohr)
    assert "angle_cutoff" not in metadata
    assert "angle_edges" not in metadata["programs"][0]["inputs"]


def test_info_names_units_and_networks(potential, capsys):
    assert main(["info", str(potential)]) == 0
    found = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in found.splitlines() if " " in line)
    assert (rows["supported"], rows["family"], rows["elements"]) == ("yes", "bpnn", "H O")
    assert (rows["length_unit"], rows["energy_unit"], rows["scaling"]) == ("bohr", "hartree", "range and center")
    assert "Behler and Parrinello" in rows["citation"]
    assert "element O, symmetry_functions 2 of type 2, 1 of type 3, 1 of type 9" in found


def test_reading_does_not_import_torch(potential):
    assert not reading_imports_torch(potential)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("cutoff_type 6 0.2", "cutoff_type 0", "cutoff_type 0, .* 1 to 8; .* because energies jump at a hard cutoff"),
        ("cutoff_type 6 0.2", "cutoff_type 9", "cutoff_type 9, and this package supports 1 to 8"),
        ("H 2 H 0.3 0.0 7.0", "H 4 H 0.3 0.0 7.0", "type 4 .* supports 2, 3, 9, 12, 13, 20"),
        ("H 2 H 0.3 0.0 7.0", "H 9 H H 0.3 1.0 0.5 7.0", "has zeta 0.5 in .* supports 1 to 1000"),
        ("O 20 H 0.5 6.0 p2a", "O 20 H 0.5 6.0 q", "the compact function q .* supports p1, p2"),
        ("global_activation_short t p l", "global_activation_short t x l", "the activation function x, .* t s p r"),
        ("number_of_elements 2", "number_of_elements 2\nnnp_type 4G-HDNNP", "nnp_type 4G-HDNNP, a potential with ch"),
        ("number_of_elements 2", "number_of_elements 2\nuse_vdw", "use_vdw, that is, a dispersion correction"),
        ("number_of_elements 2", "number_of_elements 2\nglobal_symfunction_short 2 1.0 0.0 6.0", "only RuNNer reads"),
    ],
)
def test_an_unsupported_setting_is_named(tmp_path, before, after, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, "input.nn", before, after))


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("input.nn", "length_unit bohr", "", "does not state its length unit; add the line 'length_unit bohr' or"),
        ("input.nn", "energy_unit hartree", "energy_unit ry", "has energy_unit ry; add the line 'energy_unit hartree'"),
        ("input.nn", "elements O H", "elements O O", "number_of_elements 2 and elements O O, expected as many differ"),
        ("input.nn", "elements O H", "elements O N", "has an entry for H, which its line elements lacks"),
        ("input.nn", "conv_energy 3.0", "", "has mean_energy and conv_length alone"),
        ("input.nn", "global_nodes_short 5 4", "global_nodes_short 5", "2 hidden layers with the nodes 5 for H"),
        ("input.nn", "H 2 H 0.3 0.0 7.0", "H 2 H 0.3 0.0", "has 2 parameters in .* expected 3"),
        ("input.nn", "H 2 H 0.3 0.0 7.0", "H 2 H 0.3 0.0 far", "far is not a number in 'symfunction_short H 2 H"),
        ("scaling.data", "2 5 ", "2 6 ", "row 14 of .* begin with 2 5, for symmetry function 5 of O"),
        ("weights.008.data", " a 0\n", " a 0\n1.0 a\n", "has 75 weights, expected 74 for 8 symmetry functions"),
    ],
)
def test_a_damaged_potential_is_refused(tmp_path, name, before, after, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, name, before, after))


def changed(tmp_path, name, before, after):
    """Return a potential with another text in one of its files."""
    folder = write_potential(tmp_path / "hdnnp")
    text = (folder / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after, 1))
    return folder


def test_a_missing_file_is_named(tmp_path):
    (write_potential(tmp_path) / "weights.008.data").unlink()
    with pytest.raises(ModelFileError, match=r"weights.008.data cannot be read .* copy all files of the potential"):
        read_model(tmp_path)


def test_the_digest_depends_on_every_file(tmp_path, potential):
    other = changed(tmp_path, "weights.001.data", " a 0\n", "1 a 0\n")
    assert read_model(other).source_sha256 != read_model(potential).source_sha256
