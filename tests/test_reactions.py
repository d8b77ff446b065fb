"""Vibrations, thermochemistry and reaction paths, with ASE's EMT and the shipped models."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixCartesian
from ase.thermochemistry import HarmonicThermo, IdealGasThermo
from ase.vibrations import Vibrations as AseVibrations

from mlip_lammps import MlipCalculator
from mlip_lammps.cli.main import main
from mlip_lammps.cli.vibrations import shown_wave_number
from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows import Tasks, reaction_path, relax, vibrations
from mlip_lammps.workflows.reactions.lammps_band import LammpsBand
from mlip_lammps.workflows.reactions.rotations import rotational_symmetry_number
from mlip_lammps.workflows.reactions.vibrations import atoms_of


@pytest.fixture(scope="module")
def water() -> Atoms:
    return relax(molecule("H2O"), EMT(), force_tolerance=1e-5).atoms


@pytest.mark.parametrize(
    ("name", "number"),
    [("H2O", 2), ("CO2", 2), ("CO", 1), ("CH4", 12), ("NH3", 3), ("C6H6", 12), ("C2H6", 6), ("C2H4", 4), ("HCN", 1)],
)
def test_symmetry_numbers(name, number):
    atoms = molecule(name)
    atoms.rotate(50, (1, 2, 3))
    assert rotational_symmetry_number(atoms) == number


def test_frequencies_and_thermochemistry_equal_those_of_ase(water, tmp_path):
    found = vibrations(water, EMT())
    again = water.copy()
    again.calc = EMT()
    reference = AseVibrations(again, name=str(tmp_path / "vib"), delta=0.01)
    reference.run()
    expected = np.sort(reference.get_frequencies().real)[-3:]
    np.testing.assert_allclose(found.frequencies_cm[-3:], expected, rtol=1e-4)
    thermo = IdealGasThermo(
        vib_energies=np.array(expected) / 8065.544, geometry="nonlinear", potentialenergy=found.energy, atoms=water,
        symmetrynumber=2, spin=0,
    )  # fmt: skip
    gibbs = thermo.get_gibbs_energy(298.15, 101325, verbose=False)
    assert found.thermochemistry.free_energy == pytest.approx(gibbs, abs=1e-4)
    assert found.thermochemistry.symmetry_number == 2
    assert found.zero_point_energy == pytest.approx(expected.sum() / 8065.544 / 2, rel=1e-3)
    assert found.n_imaginary == 0
    np.testing.assert_allclose(found.frequencies_cm[:6], 0, atol=1.0)


def test_displacements_run_side_by_side(water, tmp_path):
    alone, on_ranks = vibrations(water, EMT()), vibrations(water, EMT(), tasks=Tasks(tmp_path, n_ranks=2))
    np.testing.assert_array_equal(on_ranks.frequencies_cm, alone.frequencies_cm)
    assert len(list(tmp_path.glob("*.json"))) == 18


def test_only_chosen_or_free_atoms_move_and_their_thermochemistry_is_harmonic():
    slab = fcc100("Cu", (2, 2, 2), vacuum=6, periodic=True)
    add_adsorbate(slab, "O", 1.2, "hollow")
    slab.set_constraint(FixAtoms(range(8)))
    slab = relax(slab, EMT(), force_tolerance=1e-3).atoms
    found = vibrations(slab, EMT())
    assert list(found.moving) == [8]
    assert found.frequencies_cm.shape == (3,)
    assert found.thermochemistry.kind == "harmonic"
    assert np.abs(found.modes[:, :8]).max() == 0
    frames = found.mode_frames(0)
    assert max(np.abs(frame.positions - slab.positions).max() for frame in frames) == pytest.approx(0.25, rel=0.05)
    np.testing.assert_allclose(vibrations(slab, EMT(), [8]).frequencies_cm, found.frequencies_cm)


def test_translations_of_a_crystal_are_no_vibrations():
    crystal = bulk("Cu") * (2, 1, 1)
    found = vibrations(crystal, EMT())
    np.testing.assert_allclose(np.sort(np.abs(found.frequencies_cm))[:3], 0.0, atol=1e-3)
    expected = HarmonicThermo(found.frequencies_cm[-3:] / 8065.544, potentialenergy=found.energy)
    free = expected.get_helmholtz_energy(298.15, verbose=False)
    assert found.thermochemistry.free_energy == pytest.approx(free, abs=1e-5)


def test_a_crystal_has_a_warning_about_the_gamma_point(water):
    (warning,) = vibrations(bulk("Cu") * (2, 1, 1), EMT()).warnings
    assert "only the modes at the Gamma point of its cell; for those of all wave vectors run mlip-lammps" in warning
    boxed = water.copy()
    boxed.set_cell([16.0, 17.0, 18.0])
    boxed.center()
    boxed.pbc = True
    assert vibrations(boxed, EMT()).warnings == ()
    assert vibrations(bulk("Cu", cubic=True), EMT(), [0]).warnings == ()


def test_wave_numbers_that_round_to_zero_have_no_sign():
    shown = " ".join(shown_wave_number(w) for w in (-50.04, -0.04, -1e-9, 0.0, 0.04, 12.3))
    assert shown == "50.0i 0.0 0.0 0.0 0.0 12.3"


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_molecule_in_a_box_is_a_gas(is_cut, water):
    """Also if faces of the box cut it."""
    boxed = water.copy()
    boxed.set_cell([16.0, 17.0, 18.0])
    boxed.center()
    boxed.pbc = True
    if is_cut:
        boxed.positions -= boxed.positions[0]
        boxed.wrap(eps=1e-9)
        assert np.ptp(boxed.positions, axis=0).max() > 10.0
    found, expected = vibrations(boxed, EMT()), vibrations(water, EMT())
    assert found.thermochemistry.kind == "ideal_gas"
    assert found.thermochemistry.free_energy == pytest.approx(expected.thermochemistry.free_energy, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.0}, "temperature is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"pressure_pa": 0.0}, "pressure_pa is 0"),
        ({"spin": -1.0}, "spin is -1"),
        ({"symmetry_number": 0}, "symmetry_number is 0"),
        ({"kind": "ideal_gas", "moving": [1, 2]}, "all atoms moving"),
    ],
)
def test_impossible_conditions_are_refused(water, options, words):
    with pytest.raises(UserInputError, match=words):
        vibrations(water, EMT(), **options)


def test_bad_input_of_vibrations_is_refused(water):
    with pytest.raises(UserInputError, match="the moving atoms are 7, expected one or more indices from 0 to 2"):
        vibrations(water, EMT(), [7])
    with pytest.raises(UserInputError, match=r"the largest force on a moving atom is .* relax the structure first"):
        vibrations(molecule("H2O"), EMT())
    with pytest.raises(UserInputError, match="displacement is 0; give"):
        vibrations(water, EMT(), displacement=0)


@pytest.fixture(scope="module")
def hop() -> tuple[Atoms, Atoms]:
    """Return gold in two hollows of Al(100): the barrier of ASE's tutorial is 0.374 eV."""
    first = fcc100("Al", (2, 2, 3), vacuum=8.0, periodic=True)
    add_adsorbate(first, "Au", 1.7, "hollow")
    first.set_constraint(FixAtoms(mask=first.get_tags() > 1))
    last = first.copy()
    last.positions[-1, 0] += last.cell[0, 0] / 2
    return first, last


def test_a_hop_has_the_barrier_of_the_tutorial_and_one_imaginary_mode(hop):
    found = reaction_path(*hop, EMT(), n_images=3)
    assert found.barrier == pytest.approx(0.374, abs=5e-3)
    assert found.reverse_barrier == pytest.approx(found.barrier, abs=2e-3)
    assert found.reaction_energy == pytest.approx(0, abs=2e-3)
    assert found.saddle == 2
    assert found.is_saddle
    assert found.saddle_modes.frequencies_cm[0] < -20
    assert found.curve[1].max() == pytest.approx(found.barrier, abs=5e-3)
    assert np.diff(found.places).min() > 0


def test_images_side_by_side_give_the_same_path_and_an_interrupted_band_continues(hop, tmp_path):
    options = {"n_images": 3, "checks_saddle": False}
    alone = reaction_path(*hop, EMT(), **options)
    tasks = Tasks(tmp_path, n_ranks=2)
    with pytest.raises(MlipError, match="the band did not relax in 10 steps"):
        reaction_path(*hop, EMT(), max_steps=10, tasks=tasks, **options)
    continued = reaction_path(*hop, EMT(), tasks=tasks, **options)
    assert continued.barrier == pytest.approx(alone.barrier, abs=2e-3)
    assert continued.n_steps < alone.n_steps
    assert continued.is_saddle is None


def test_bad_ends_are_refused(hop):
    first, last = hop
    with pytest.raises(UserInputError, match="the same minimum"):
        reaction_path(first, first, EMT())
    with pytest.raises(UserInputError, match="the same atoms in the same order"):
        reaction_path(first, last[::-1], EMT())
    wide = last.copy()
    wide.cell[2, 2] += 1
    with pytest.raises(UserInputError, match="different cells"):
        reaction_path(first, wide, EMT())
    with pytest.raises(UserInputError, match="the moving atoms are 99, expected"):
        reaction_path(first, last, Unused(), moving=[99])
    with pytest.raises(UserInputError, match="n_images is 0; give"):
        reaction_path(first, last, EMT(), n_images=0)


class Unused(EMT):
    """Calculator that must not be asked for forces."""

    def calculate(self, *arguments, **options):
        raise AssertionError("forces were computed before the ends were checked")


@pytest.mark.parametrize(("in_a_box", "is_cut"), [(False, False), (True, False), (True, True)])
def test_a_rigid_motion_is_no_reaction(in_a_box, is_cut, water):
    first = water.copy()
    if in_a_box:
        first.set_cell([16.0, 17.0, 18.0])
        first.center()
        first.pbc = True
    last = first.copy()
    last.rotate(60, (1, 2, 3), center="COM")
    last.positions += 0.4
    if is_cut:
        first.positions -= first.positions[0]
        for atoms in (first, last):
            atoms.wrap(eps=1e-9)
    with pytest.raises(UserInputError, match="the same minimum"):
        reaction_path(first, last, Unused())
    crystal = bulk("Cu") * (2, 2, 2)
    moved = crystal.copy()
    moved.positions += (0.3, 0.2, 0.1)
    with pytest.raises(UserInputError, match="the same minimum"):
        reaction_path(crystal, moved, Unused())


def test_the_rotation_of_a_molecule_does_not_enter_the_path_and_the_modes_of_its_saddle():
    """The inversion of ammonia, whose last end is turned by a right angle."""
    first = relax(molecule("NH3"), EMT(), force_tolerance=1e-3).atoms
    last = first.copy()
    last.positions[:, 2] *= -1
    straight = reaction_path(first, last, EMT(), n_images=3)
    last.rotate(90, "x")
    turned = reaction_path(first, last, EMT(), n_images=3)
    assert turned.barrier == pytest.approx(straight.barrier, abs=2e-3)
    assert turned.saddle_modes.n_imaginary == straight.saddle_modes.n_imaginary
    rigid = np.sort(np.abs(turned.saddle_modes.frequencies_cm))[:6]
    np.testing.assert_allclose(rigid, 0.0, atol=1.0)


def test_atoms_that_pass_through_each_other_are_refused_before_forces():
    first = molecule("CO2")
    first.set_constraint(FixAtoms([0]))
    last = first.copy()
    last.positions[[1, 2]] = first.positions[[2, 1]]
    message = r"atoms pass through each other .*: atoms 0 .* image 3 of the interpolated path, .* and that both ends "
    with pytest.raises(UserInputError, match=message + "list their atoms in the same order; if they do, move one of"):
        reaction_path(first, last, Unused())


def test_constraints_that_vibrations_cannot_apply_are_refused(water, hop):
    bound = water.copy()
    bound.set_constraint(FixCartesian(0))
    with pytest.raises(UserInputError, match="the structure has a FixCartesian constraint, and vibrations apply"):
        vibrations(bound, EMT())
    assert len(vibrations(bound, EMT(), range(3)).moving) == 3
    first, last = (end.copy() for end in hop)
    for end in (first, last):
        end.set_constraint([*end.constraints, FixCartesian(12)])
    with pytest.raises(UserInputError, match="the structure has a FixCartesian constraint"):
        reaction_path(first, last, Unused())


def test_the_atoms_of_elements_are_found_and_others_refused(water):
    assert atoms_of(water, ["H"]).tolist() == [1, 2]
    with pytest.raises(UserInputError, match="the structure has no atom of Xx; give some of H, O"):
        atoms_of(water, ["H", "Xx"])


def test_a_crystal_of_one_atom_has_no_vibrations_and_a_free_energy():
    found = vibrations(bulk("Cu"), EMT())
    assert found.thermochemistry.free_energy == found.energy
    assert found.zero_point_energy == 0


def test_the_vibration_command_relaxes_and_writes_each_mode(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ase.io.write("h2o.extxyz", molecule("H2O"))
    assert main(["vibrations", "water-revpbe0d3", "h2o.extxyz", "--temperature", "300"]) == 0
    assert "ideal gas" in capsys.readouterr().out
    found = json.loads(Path("out/vibrations/results.json").read_text())["h2o"]
    assert found["frequencies_cm"][-1] > 3000
    assert len(ase.io.read("out/vibrations/h2o-mode-8.extxyz", ":")) == 20
    both = ["vibrations", "water-revpbe0d3", "h2o.extxyz", "--moving", "0", "--moving-elements", "H"]
    assert main(both) == 2


def test_lammps_finds_the_path_of_ase_in_a_tilted_left_handed_cell_with_fixed_atoms(tmp_path):
    crystal = bulk("Si", a=5.469) * (3, 3, 3)
    crystal.set_cell(crystal.cell[:] * [[-1], [1], [1]])
    crystal.rotate(20, (1, 2, 3), rotate_cell=True)
    first, last = crystal[1:], crystal[1:]
    last.positions[0] = crystal.positions[0]  # the neighbour of the vacancy
    far = np.argsort(first.get_distances(0, range(53), mic=True))[-4:]
    for end in (first, last):
        end.set_constraint(FixAtoms(far))
    calculator, options = MlipCalculator(compiled_model("silicon-pbe", dtype="float64")), {"checks_saddle": False}
    options |= {"n_images": 3, "force_tolerance": 0.01}
    expected = reaction_path(first, last, calculator, **options)
    found = reaction_path(first, last, calculator, engine="lammps", **options)
    assert 0.05 < expected.barrier < 1.0
    assert found.barrier == pytest.approx(expected.barrier, abs=1e-3)
    np.testing.assert_allclose(found.energies, expected.energies, atol=5e-3)
    assert found.largest_force < 0.01
    np.testing.assert_array_equal(found.images[2].positions[far], expected.images[2].positions[far])
    with pytest.raises(MlipError, match="the band did not relax in 40 steps"):
        reaction_path(first, last, calculator, engine="lammps", max_steps=40, tasks=Tasks(tmp_path), **options)
    continued = reaction_path(first, last, calculator, engine="lammps", tasks=Tasks(tmp_path), **options)
    assert continued.n_steps < found.n_steps
    with pytest.raises(UserInputError, match="EMT has no model file"):
        reaction_path(first, last, EMT(), engine="lammps")


def test_an_error_of_lammps_in_the_band_is_named(tmp_path):
    atoms = bulk("Si", a=5.469, cubic=True)
    moved = atoms.copy()
    moved.positions[0] += 0.5
    (tmp_path / "broken.pt2").write_text("no model")
    with pytest.raises(MlipError, match=r"LAMMPS stopped in the command neb: ERROR.*broken.pt2"):
        LammpsBand([atoms, moved, moved], tmp_path / "broken.pt2", 0.1).relax(False, 0.1, 10)
    with pytest.raises(UserInputError, match="does not exist"):
        LammpsBand([atoms, moved, moved], tmp_path / "none.pt2", 0.1)


def test_the_neb_command_finds_the_hop_of_a_silicon_vacancy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Si", a=5.469, cubic=True) * (2, 2, 2)
    place = atoms.positions[1].copy()
    first = atoms[2:] + atoms[[0]]
    first.positions[-1] = atoms.positions[0]
    last = first.copy()
    last.positions[-1] = place
    for name, end in (("a", first), ("b", last)):
        ase.io.write(f"{name}.extxyz", end)
    command = "neb silicon-pbe a.extxyz b.extxyz --images 3 --ranks 2 --force-tolerance 0.05 --moving 62"
    assert main(command.split()) == 0
    assert "barrier" in capsys.readouterr().out
    found = json.loads(Path("out/neb/results.json").read_text())
    assert 0.05 < found["barrier"] < 1.5
    assert found["reaction_energy"] == pytest.approx(0, abs=0.05)
    assert len(ase.io.read("out/neb/path.extxyz", ":")) == 5
    assert main([*command.split(), "--engine", "lammps", "--no-saddle-check", "--ranks", "1", "--out", "lammps"]) == 0
    again = json.loads(Path("lammps/results.json").read_text())
    assert again["barrier"] == pytest.approx(found["barrier"], abs=0.01)
    assert main(["neb", "silicon-pbe", "a.extxyz", "--out", "one"]) == 2
    assert "1 structures, expected two" in capsys.readouterr().err


def test_a_slab_without_a_third_cell_vector_has_vibrations():
    slab = fcc111("Cu", (1, 1, 3), a=3.59)
    assert not slab.cell[2].any()
    found = vibrations(slab, EMT(), [2], largest_force=1.0)
    assert found.frequencies_cm.min() > 0.0
    assert found.thermochemistry.kind == "harmonic"
