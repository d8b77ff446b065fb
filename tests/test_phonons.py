"""Phonons, thermal expansion and Grueneisen parameters, with ASE's EMT and the shipped silicon model."""

import json
from pathlib import Path

import ase.io
import numpy as np
import phonopy
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows import (
    Tasks,
    converge_supercell,
    gruneisen,
    phonon_frequencies,
    phonons,
    quasi_harmonic,
    relax,
)
from mlip_lammps.workflows.crystals.equations_of_state import at_volumes
from mlip_lammps.workflows.crystals.force_constants import (
    DISPLACEMENT,
    build_phonopy,
    find_force_constants,
    force_task,
    to_ase,
)

A0 = 3.5897


@pytest.fixture(scope="module")
def copper() -> Atoms:
    return relax(bulk("Cu", a=A0), EMT(), cell="isotropic", force_tolerance=1e-6).atoms


@pytest.fixture(scope="module")
def found(copper):
    return phonons(copper, EMT(), (4, 4, 4))


def test_frequencies_equal_those_of_phonopy_with_the_same_forces(copper, found):
    cell = PhonopyAtoms(symbols=copper.symbols, cell=copper.cell[:], scaled_positions=copper.get_scaled_positions())
    direct = Phonopy(cell, supercell_matrix=np.diag((4, 4, 4)), primitive_matrix=np.eye(3))
    direct.generate_displacements(distance=0.01)
    forces = []
    for displaced in direct.supercells_with_displacements:
        atoms = Atoms(displaced.symbols, cell=displaced.cell, positions=displaced.positions, pbc=True)
        atoms.calc = EMT()
        forces.append(atoms.get_forces())
    direct.forces = forces
    direct.produce_force_constants(show_drift=False)
    points = [[0, 0, 0], [0.5, 0, 0.5], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]]
    direct.run_qpoints(points)
    np.testing.assert_allclose(found.frequencies_at(points), direct.qpoints.frequencies, atol=2e-3)
    at_points = phonon_frequencies(copper, EMT(), (4, 4, 4), points).freq_thz
    np.testing.assert_allclose(at_points, found.frequencies_at(points))


def test_bands_dos_and_thermal_properties_fit_together(found):
    assert found.space_group == "Fm-3m (225)"
    assert found.is_stable
    assert found.bands.labels[0][0] == "Γ"
    assert found.bands.labels[0][1] == "X"
    assert np.abs(found.bands.freq_thz[0][0]).max() < 1e-3
    # three modes of one atom
    assert np.trapezoid(found.dos, found.dos_thz) == pytest.approx(3, rel=0.02)
    mean = np.trapezoid(found.dos * found.dos_thz, found.dos_thz)
    assert found.thermal.zero_point_energy == pytest.approx(mean * 4.1357e-3 / 2, rel=0.02)
    assert found.thermal.heat_capacity_j_per_k_mol[-1] == pytest.approx(3 * 8.314, rel=0.01)
    assert not found.residuals.are_large


@pytest.mark.parametrize("is_smooth", [True, False])
def test_forces_that_jump_are_noticed(is_smooth):
    """Neighbours of the second shell lie at the cutoff, where the forces of a truncated potential jump."""
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=5.26, smooth=is_smooth)
    found = phonons(bulk("Ar", "fcc", a=5.26), calculator, (4, 4, 4))
    assert found.residuals.are_large is not is_smooth


def test_the_densities_of_states_of_the_elements_add_up(tmp_path):
    """Copper with every second layer of lighter atoms, which are above it in frequency."""
    atoms = bulk("Cu", a=A0, cubic=True)
    atoms.symbols[:2] = "Ni"
    atoms = relax(atoms, EMT(), cell="free", force_tolerance=1e-4).atoms
    found = phonons(atoms, EMT(), (2, 2, 2), mesh_length=20, projects_dos=True)
    assert sorted(found.element_dos) == ["Cu", "Ni"]
    total = sum(found.element_dos.values())
    np.testing.assert_allclose(total, found.dos, atol=1e-6)
    for dos in found.element_dos.values():
        n_atoms = len(found.primitive) / 2
        assert np.trapezoid(dos, found.dos_thz) == pytest.approx(3 * n_atoms, rel=0.05)
    found.write(tmp_path)
    assert (tmp_path / "projected_dos.dat").is_file()


def test_residuals_are_those_of_the_force_constants_of_all_cells():
    crystal = bulk("NiAl", "cesiumchloride", a=2.9)
    crystal.set_cell(crystal.cell[:] @ [[1.01, 0.02, 0.01], [0.0, 0.98, 0.03], [0.0, 0.0, 1.0]], scale_atoms=True)
    few, whole = (build_phonopy(crystal, (3, 2, 2)) for _ in range(2))
    (found,) = find_force_constants([few], EMT())
    whole.generate_displacements(distance=DISPLACEMENT)
    whole.forces = [force_task(EMT(), to_ase(displaced)) for displaced in whole.supercells_with_displacements]
    whole.produce_force_constants(show_drift=False)
    constants, rows = whole.force_constants, whole.primitive.p2s_map
    symmetry = np.abs(constants - constants.transpose(1, 0, 3, 2)).max()
    assert found.symmetry == pytest.approx(symmetry, rel=1e-6)
    assert found.largest == pytest.approx(np.abs(constants).max())
    whole.symmetrize_force_constants(show_drift=False)
    np.testing.assert_allclose(few.force_constants, whole.force_constants[rows], atol=1e-9)


def test_phonopy_reads_the_written_file(found, tmp_path):
    found.write(tmp_path)
    again = phonopy.load(tmp_path / "phonopy_params.yaml", log_level=0)
    again.run_qpoints([[0.5, 0, 0.5]])
    np.testing.assert_allclose(again.qpoints.frequencies, found.frequencies_at([[0.5, 0, 0.5]]), atol=1e-6)
    assert {file.name for file in tmp_path.iterdir()} >= {"band.yaml", "total_dos.dat", "thermal_properties.yaml"}


def test_forces_are_computed_side_by_side_and_kept(tmp_path):
    argon = LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0, smooth=True)
    atoms = relax(bulk("ArKr", "rocksalt", a=5.4), argon, cell="isotropic", force_tolerance=1e-6).atoms
    alone = phonons(atoms, argon, (2, 2, 2), mesh_length=20)
    tasks = Tasks(tmp_path, n_ranks=2)
    for _ in range(2):
        on_ranks = phonons(atoms, argon, (2, 2, 2), mesh_length=20, tasks=tasks)
        # Processes of other numbers of threads add up in another order, which the density of states enlarges.
        np.testing.assert_allclose(on_ranks.dos, alone.dos, rtol=1e-6, atol=1e-6 * alone.dos.max())
    assert len(list(tmp_path.glob("*.json"))) == alone.n_displacements > 1


def test_an_imaginary_mode_comes_with_a_structure_of_lower_energy():
    atoms = relax(bulk("Cu", "sc", a=2.4), EMT(), cell="isotropic", force_tolerance=1e-5).atoms
    found = phonons(atoms, EMT(), (4, 4, 4), mesh_length=20)
    assert not found.is_stable
    for mode in found.imaginary:
        assert mode.freq_thz < -0.05
        assert mode.degeneracy >= 1
        rest = atoms * (4, 4, 4)
        energies = []
        for structure in (mode.structure, rest):
            structure.calc = EMT()
            energies.append(structure.get_potential_energy())
        assert len(mode.structure) == len(rest)
        assert energies[0] < energies[1]
    assert found.imaginary[0].freq_thz == pytest.approx(found.frequencies_at(found.imaginary[0].q_point).min())


def test_the_supercell_grows_until_frequencies_are_converged(copper):
    steps = converge_supercell(copper, EMT(), tolerance_thz=0.2, n_most=3)
    assert steps[0].largest_change_thz is None
    assert steps[0].supercell == (5, 5, 5)
    assert steps[-1].largest_change_thz <= 0.2 or len(steps) == 3
    assert [step.n_atoms for step in steps] == [step.supercell[0] ** 3 for step in steps]


def test_copper_expands_as_its_grueneisen_parameter_says(copper):
    """Thermodynamics: the expansion is the mean parameter times heat capacity over bulk modulus and volume."""
    supercell = (4, 4, 4)
    temperatures = range(0, 420, 20)
    found = quasi_harmonic(copper, EMT(), supercell, temperatures=temperatures, mesh_length=30)
    parameters = gruneisen(copper, EMT(), supercell, mesh_length=30)
    at = found.at(300.0)
    assert parameters.mean_300_k == pytest.approx(at["gruneisen_parameter"], rel=0.1)
    capacity = at["heat_capacity_j_per_k_mol"] / 6.022e23
    by_hand = parameters.mean_300_k * capacity / (at["bulk_modulus_gpa"] * 1e9 * at["volume"] * 1e-30)
    assert at["expansion_per_k"] == pytest.approx(by_hand, rel=0.1)
    assert found.volume[0] > found.volumes[found.energies.argmin()] * 0.99
    assert (np.diff(found.volume) > 0).all()
    assert (np.diff(found.gibbs) < 1e-9).all()


def test_the_shape_of_a_tetragonal_cell_follows_the_volume():
    ordered = Atoms("AlAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[2.8, 2.8, 3.7], pbc=True)
    crystal = relax(ordered, EMT(), cell="free", force_tolerance=1e-5).atoms
    factors = np.linspace(0.995, 1.02, 5)
    options = {"length_factors": factors, "temperatures": range(0, 420, 20), "mesh_length": 30}
    found = quasi_harmonic(crystal, EMT(), (4, 4, 3), **options)
    fixed = []
    for scaled in at_volumes(crystal, factors).values():
        scaled.calc = EMT()
        fixed.append(scaled.get_potential_energy())
    assert (found.energies <= np.array(fixed) + 1e-7).all()
    assert found.energies[-1] < fixed[-1] - 1e-4
    a, b, c = found.cell_lengths.T
    assert a == pytest.approx(b, rel=1e-9)
    assert a * a * c == pytest.approx(found.volume, rel=1e-4)
    assert c[-1] / a[-1] - c[0] / a[0] > 0.005


def test_a_quasi_harmonic_run_outside_of_its_volumes_or_of_an_unstable_crystal_is_refused(copper):
    with pytest.raises(UserInputError, match="3 different volumes are too few"):
        quasi_harmonic(copper, EMT(), (2, 2, 2), length_factors=(0.99, 1.0, 1.01))
    few = {"length_factors": np.linspace(0.99, 1.004, 5), "mesh_length": 20}
    with pytest.raises(MlipError, match=r"use a wider range of volumes, or temperatures up to \d00 K"):
        quasi_harmonic(copper, EMT(), (3, 3, 3), temperatures=range(0, 1000, 100), **few)
    reached = quasi_harmonic(copper, EMT(), (3, 3, 3), **few)
    assert 100 < reached.temperatures[-1] < 900
    assert len(reached.temperatures) == len(reached.volume) == len(reached.heat_capacity_j_per_k_mol)
    assert reached.volume[-1] < reached.volumes.max()
    simple = relax(bulk("Cu", "sc", a=2.4), EMT(), cell="isotropic", force_tolerance=1e-5).atoms
    with pytest.raises(MlipError, match="a frequency is imaginary"):
        quasi_harmonic(simple, EMT(), (4, 4, 4), mesh_length=20)


@pytest.mark.parametrize("points", [[], [[]], [[0, 0]], [0, 0], [[0, 0, 0], [1, 0]], [[0, 0, "x"]], [[0, np.nan, 0]]])
def test_q_points_of_wrong_shape_are_refused(points, found, copper):
    with pytest.raises(UserInputError, match=r"the q-points .* expected one or more points of three coordinates"):
        found.frequencies_at(points)
    if points not in ([0, 0],):
        with pytest.raises(UserInputError, match="the q-points"):
            phonon_frequencies(copper, EMT(), (1, 1, 1), points)


def test_a_born_file_splits_the_optical_modes_and_a_wrong_one_is_refused(tmp_path):
    """Charges are added to a metal, which only tests the arithmetic."""
    atoms = relax(bulk("CuAg", "zincblende", a=5.2), EMT(), cell="isotropic", force_tolerance=1e-5).atoms
    born = tmp_path / "BORN"
    born.write_text("14.4\n" + " 4 0 0 0 4 0 0 0 4\n" + " 1 0 0 0 1 0 0 0 1\n" + " -1 0 0 0 -1 0 0 0 -1\n")
    near = [[0.001, 0, 0.001]]
    options = {"supercell": (2, 2, 2), "mesh_length": 20}
    with_charges = phonons(atoms, EMT(), born_file=born, **options).frequencies_at(near)
    without = phonons(atoms, EMT(), **options).frequencies_at(near)
    assert with_charges[0, -1] ** 2 - without[0, -1] ** 2 > 1
    np.testing.assert_allclose(with_charges[0, 3:5], without[0, 3:5], atol=0.1)
    with pytest.raises(UserInputError, match="does not exist"):
        phonons(atoms, EMT(), born_file=tmp_path / "none", **options)
    born.write_text("14.4\n 1 0 0\n")
    with pytest.raises(UserInputError, match="does not fit the primitive cell of 2 atoms"):
        phonons(atoms, EMT(), born_file=born, **options)


@pytest.mark.parametrize("vectors", [[[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]])
def test_a_left_handed_cell_has_the_phonons_of_the_right_handed_one(vectors, copper, found):
    left = copper.copy()
    left.set_cell(np.array(vectors) @ copper.cell[:])
    other = phonons(left, EMT(), (4, 4, 4))
    assert np.linalg.det(other.primitive.cell[:]) > 0
    assert other.largest_shift < 1e-6
    assert other.bands.highest_thz == pytest.approx(found.bands.highest_thz)
    at_points = phonon_frequencies(left, EMT(), (4, 4, 4), ["X", "L"])
    np.testing.assert_allclose(at_points.freq_thz, phonon_frequencies(copper, EMT(), (4, 4, 4), ["X", "L"]).freq_thz)


def test_convergence_starts_from_the_given_supercell_and_symmetry_tolerance(copper):
    steps = converge_supercell(copper, EMT(), (2, 2, 2), n_most=2, tolerance_thz=1e-9)
    assert [step.supercell for step in steps] == [(2, 2, 2), (3, 3, 3)]
    off = copper.copy()
    off.set_cell(copper.cell[:] * (1, 1, 1.0006), scale_atoms=True)
    for function in (converge_supercell, quasi_harmonic, gruneisen):
        with pytest.raises(UserInputError, match=r"within 0\.001 angstrom"):
            function(off, EMT(), (4, 4, 4), symmetry_tolerance=1e-3)


def test_unrelaxed_structures_molecules_and_bad_numbers_are_refused(copper):
    pair = bulk("Cu", "hcp", a=2.54, c=4.15)
    pair.positions[1, 2] += 0.1
    with pytest.raises(UserInputError, match=r"the force on atom . \(Cu\).*phonons need a relaxed structure"):
        phonons(pair, EMT(), (2, 2, 2))
    with pytest.raises(UserInputError, match="not periodic"):
        phonons(molecule("CO"), EMT())
    with pytest.raises(UserInputError, match=r"supercell is \(2, 2\); give 3 numbers"):
        phonons(copper, EMT(), (2, 2))
    with pytest.raises(UserInputError, match=r"displacement is 0\.0; give"):
        phonons(copper, EMT(), (2, 2, 2), displacement=0.0)


def test_the_command_writes_what_phonopy_reads_and_refuses_a_narrow_supercell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ase.io.write("si.extxyz", bulk("Si", a=5.45))
    assert main(["phonons", "silicon-pbe", "si.extxyz", "--supercell", "2", "2", "2"]) == 2
    assert "the supercell 2 2 2 is 6.32 angstrom wide, expected at least 10.00" in capsys.readouterr().err
    arguments = ["phonons", "silicon-pbe", "si.extxyz", "--t-max", "300", "--gruneisen", "--projected-dos"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Fd-3m (227)" in printed
    results = json.loads(Path("out/phonons/results.json").read_text())
    assert results["phonons"]["supercell"] == [4, 4, 4]
    np.testing.assert_allclose(results["phonons"]["element_dos"]["Si"], results["phonons"]["dos"], atol=1e-6)
    assert results["gruneisen"]["mean_300_k"] == pytest.approx(0.4, abs=0.15)
    at_gamma = results["gruneisen"]["parameters"][0][0]
    assert np.isnan(np.array(at_gamma[:3], dtype=float)).all()
    assert np.isfinite(at_gamma[3:]).all()
    again = phonopy.load("out/phonons/phonopy_params.yaml", log_level=0)
    again.run_qpoints([[0, 0, 0]])
    assert again.qpoints.frequencies[0][-1] == pytest.approx(14.87, abs=0.1)
    assert Path("out/phonons/bands.png").stat().st_size > 10_000


def test_isotopes_have_lower_frequencies():
    crystal = relax(bulk("Cu", cubic=True), EMT(), cell="free", force_tolerance=1e-4).atoms
    heavy = crystal.copy()
    heavy.set_masses(4.0 * crystal.get_masses())
    usual, found = (phonons(atoms, EMT(), (2, 2, 2), mesh_length=20) for atoms in (crystal, heavy))
    assert found.bands.highest_thz == pytest.approx(usual.bands.highest_thz / 2.0, rel=1e-3)
    heavy.set_masses([300.0, 60.0, 60.0, 60.0])
    with pytest.raises(UserInputError, match="atoms of Cu have masses from 60 to 300 amu"):
        phonons(heavy, EMT(), (2, 2, 2))
