"""Relaxation, equation of state, elastic constants and phonons, with ASE potentials of known properties."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.tersoff import Tersoff, TersoffParameters
from ase.optimize import LBFGSLineSearch
from ase.units import GPa, _amu

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.crystals.elastic import elastic_tensor
from mlip_lammps.workflows.crystals.equations_of_state import equation_of_state
from mlip_lammps.workflows.crystals.frequencies import phonon_frequencies
from mlip_lammps.workflows.relaxation import relax, residual_stress
from mlip_lammps.workflows.symmetry import symmetrized

# J. Tersoff, Phys. Rev. B 38, 9902 (1988), "Si(C)" parameters.
SILICON = TersoffParameters(
    A=1830.8, B=471.18, lambda1=2.4799, lambda2=1.7322, lambda3=0.0, beta=1.1e-6, gamma=1.0, m=3.0, n=0.78734,
    c=100390.0, d=16.217, h=-0.59825, R=2.85, D=0.15,
)  # fmt: skip


def tersoff() -> Tersoff:
    return Tersoff({("Si", "Si", "Si"): SILICON})


@pytest.fixture(scope="module")
def copper() -> Atoms:
    return relax(bulk("Cu", cubic=True), EMT(), cell="isotropic", force_tolerance=1e-6).atoms


@pytest.fixture(scope="module")
def silicon() -> Atoms:
    return relax(bulk("Si", cubic=True), tersoff(), cell="isotropic", force_tolerance=1e-6).atoms


def test_a_molecule_relaxes_to_its_bond_lengths_and_the_input_is_unchanged():
    atoms = molecule("CO")
    atoms.positions[0, 2] += 0.2
    before, bonds = atoms.positions.copy(), []
    for optimizer in ("lbfgs", "bfgs", "fire"):
        found = relax(atoms, EMT(), force_tolerance=1e-4, optimizer=optimizer)
        bonds.append(found.atoms.get_distance(0, 1))
        np.testing.assert_array_equal(atoms.positions, before)
        assert atoms.calc is None
        assert found.energy < found.energy_before - 0.1
        assert found.largest_force < 1e-4
        assert found.n_steps > 1
    assert bonds == pytest.approx([bonds[0]] * 3, abs=1e-4)
    assert bonds[0] < atoms.get_distance(0, 1) - 0.1


def test_a_sheared_cell_relaxes_to_the_crystal(copper):
    sheared = copper.copy()
    sheared.set_cell(copper.cell[:] @ np.array([[1.02, 0.01, 0], [0, 0.99, 0.02], [0, 0, 1.01]]), scale_atoms=True)
    found = relax(sheared, EMT(), cell="free", force_tolerance=1e-4).atoms
    np.testing.assert_allclose(found.cell.cellpar(), copper.cell.cellpar(), rtol=1e-4)


@pytest.mark.parametrize(
    ("cell", "mask", "expected"),
    [("free", None, 7.0), ("free", (1, 1, 1, 0, 0, 0), 5.0), ("isotropic", None, 3.0), ("shape", None, 7.0)],
)
def test_the_residual_stress_is_that_of_the_strains_that_move(cell, mask, expected):
    stress = np.array([-5.0, -3.0, -7.0, 1.0, 7.0, 0.0]) * GPa
    assert residual_stress(stress, cell, mask, 2.0) == pytest.approx(expected)


def test_a_relaxed_cell_has_a_residual_stress_and_a_fixed_one_none():
    pressed = relax(bulk("Cu", a=3.5), EMT(), cell="free", pressure_gpa=5.0)
    assert pressed.residual_stress_gpa == pytest.approx(abs(pressed.pressure_gpa - 5.0), abs=1e-6)
    assert 0 < pressed.residual_stress_gpa < 0.1
    assert relax(bulk("Cu", a=3.5), EMT()).residual_stress_gpa is None


def test_an_unconverged_relaxation_is_refused():
    atoms = molecule("CO")
    atoms.positions[0, 2] += 0.3
    with pytest.raises(MlipError, match="did not relax in 1 steps: the largest force is"):
        relax(atoms, EMT(), max_steps=1)
    with pytest.raises(UserInputError, match="cell 'loose' is not one of fixed, free"):
        relax(atoms, EMT(), cell="loose")


class FewDigits(EMT):
    """Calculator with noisy forces, like those of a model in low precision."""

    rng = np.random.default_rng(1)

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        self.results["forces"] = self.results["forces"] + self.rng.normal(scale=1e-2, size=(len(self.atoms), 3))


def test_forces_too_noisy_for_the_requested_tolerance_are_refused():
    atoms = molecule("CO")
    atoms.positions[0, 2] += 0.3
    with pytest.raises(MlipError, match=r"the largest force is .* allow more steps, or start closer"):
        relax(atoms, FewDigits(), force_tolerance=1e-6)


def test_a_relaxation_whose_line_search_fails_continues_with_bfgs(monkeypatch):
    def fail(self, *arguments):
        raise RuntimeError("LineSearch failed!")

    atoms = molecule("CO")
    atoms.positions[0, 2] += 0.3
    expected = relax(atoms, EMT(), optimizer="bfgs")
    monkeypatch.setattr(LBFGSLineSearch, "step", fail)
    found = relax(atoms, EMT())
    assert found.energy == expected.energy
    assert found.n_steps == expected.n_steps


class RoundedEnergy(EMT):
    """Calculator with energies in few digits, like those of a model in single precision."""

    n_calls = 0

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        type(self).n_calls += 1
        for name in ("energy", "free_energy"):
            self.results[name] = round(self.results[name], 4)


def test_rounded_energies_do_not_stop_a_search():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    found = relax(atoms, RoundedEnergy(), force_tolerance=1e-5)
    assert found.largest_force < 1e-5
    assert RoundedEnergy.n_calls < 150


class Broken(EMT):
    """Calculator that fails with a torch error."""

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        if len(self.atoms) and self.atoms.positions[0, 2] != self.parameters.get("start"):
            raise RuntimeError("out of memory")


def test_an_error_of_the_calculator_keeps_its_message():
    atoms = molecule("CO")
    atoms.positions[0, 2] += 0.3
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        relax(atoms, Broken(start=atoms.positions[0, 2]))
    assert caught.value.__context__ is None


def test_the_equation_of_state_finds_the_lattice_constant_and_bulk_modulus_of_copper(copper):
    stretched = copper.copy()
    stretched.set_cell(1.01 * copper.cell[:], scale_atoms=True)
    found = equation_of_state(stretched, EMT())
    assert found.length_factor == pytest.approx(1 / 1.01, abs=1e-5)
    assert found.volume == pytest.approx(copper.get_volume(), rel=1e-4)
    assert found.energy == pytest.approx(relax(copper, EMT()).energy, abs=1e-4)
    # the bulk modulus from the elastic constants, which are computed from stresses
    assert found.bulk_modulus_gpa == pytest.approx(elastic_tensor(copper, EMT()).bulk_modulus_gpa, rel=5e-3)
    assert found.residual < 1e-3


def test_an_equation_of_state_without_its_minimum_is_refused(copper):
    with pytest.raises(MlipError, match="outside the volumes"):
        equation_of_state(copper, EMT(), [1.03, 1.035, 1.04, 1.045, 1.05])
    with pytest.raises(UserInputError, match="3 different volumes are too few"):
        equation_of_state(copper, EMT(), [0.99, 1.0, 1.01])
    with pytest.raises(UserInputError, match="not periodic"):
        equation_of_state(molecule("CO"), EMT())


def test_elastic_constants_of_silicon_include_the_internal_strain(silicon):
    """H. Balamane, T. Halicioglu, W. A. Tiller, Phys. Rev. B 46, 2250 (1992), table II: T3; C44 unrelaxed is 118.8."""
    tensor = elastic_tensor(silicon, tersoff())
    c11, c12, c44 = tensor.cubic()
    assert (c11, c12, c44) == (pytest.approx(142.5, abs=1), pytest.approx(75.4, abs=1), pytest.approx(69.0, abs=1))
    assert tensor.bulk_modulus_gpa == pytest.approx((c11 + 2 * c12) / 3)
    assert tensor.is_stable
    assert tensor.asymmetry_gpa < 0.5
    assert np.abs(tensor.voigt_gpa[:3, 3:]).max() < 0.5


def test_a_tolerance_that_clamps_the_ions_is_refused(silicon):
    """C44 of clamped ions is 118.8 GPa; up to the largest tolerance it is that of relaxed ions."""
    with pytest.raises(UserInputError, match=r"the force tolerance is 0.05 eV/angstrom, expected at most 0.001 for"):
        elastic_tensor(silicon, tersoff(), force_tolerance=0.05)
    assert elastic_tensor(silicon, tersoff(), force_tolerance=1e-3).cubic()[2] == pytest.approx(69.0, abs=0.5)


def test_a_crystal_under_stress_is_refused(silicon):
    pressed = silicon.copy()
    pressed.set_cell(0.98 * silicon.cell[:], scale_atoms=True)
    with pytest.raises(UserInputError, match=r"under a stress of .* GPa"):
        elastic_tensor(pressed, tersoff())
    with pytest.raises(UserInputError, match="not periodic"):
        elastic_tensor(molecule("CO"), EMT())


def test_long_wavelength_phonons_are_sound_waves(copper):
    """Along x, the ratio of frequency to wave number is the square root of C11 (C44) over the density."""
    c11, _, c44 = elastic_tensor(copper, EMT()).cubic()
    density = copper.get_masses().sum() * _amu / (copper.get_volume() * 1e-30)
    # (0, q, q) in phonopy's primitive reciprocal vectors is 2 pi / a (2 q, 0, 0)
    q = 0.02
    found = phonon_frequencies(copper, EMT(), (4, 4, 4), [[0, q, q], [0, 0, 0]])
    wave_number = 2 * q / (copper.cell.lengths()[0] * 1e-10)
    transverse, also_transverse, longitudinal = found.freq_thz[0] * 1e12 / wave_number
    assert longitudinal == pytest.approx((c11 * 1e9 / density) ** 0.5, rel=0.02)
    assert transverse == pytest.approx((c44 * 1e9 / density) ** 0.5, rel=0.02)
    assert also_transverse == pytest.approx(transverse, rel=1e-3)
    assert np.abs(found.freq_thz[1]).max() < 1e-3
    assert found.n_displacements == 1


def test_an_unstable_mode_has_a_negative_frequency():
    """Simple cubic copper is unstable towards close packing."""
    atoms = relax(bulk("Cu", "sc", a=2.4), EMT(), cell="isotropic").atoms
    assert phonon_frequencies(atoms, EMT(), (4, 4, 4), [[0.5, 0, 0]]).freq_thz.min() < -0.5


def test_a_crystal_as_a_relaxation_leaves_it_has_the_modes_of_the_exact_one(silicon):
    """Rattled and relaxed with the default tolerances, all atoms of the cubic cell differ by 1e-4 angstrom or more."""
    names = ["G", "X", "L"]
    exact = phonon_frequencies(silicon, tersoff(), (2, 2, 2), names)
    rattled = silicon.copy()
    rattled.rattle(0.05, seed=4)
    relaxed = relax(rattled, tersoff()).atoms
    found = phonon_frequencies(relaxed, tersoff(), (2, 2, 2), names)
    assert 1e-5 < found.largest_shift < 1e-2
    assert exact.largest_shift < 1e-9
    for result in (exact, found):
        assert result.freq_thz.shape == (3, 6)
        assert result.n_displacements == 1
        assert result.space_group == "Fd-3m (227)"
        assert result.labels == ("G", "X", "L")
        assert result.primitive.get_chemical_symbols() == ["Si", "Si"]
        assert result.primitive.get_volume() == pytest.approx(silicon.get_volume() / 4, rel=1e-3)
    np.testing.assert_allclose(found.freq_thz, exact.freq_thz, atol=1e-2)
    np.testing.assert_allclose(found.q_points, [[0, 0, 0], [0.5, 0, 0.5], [0.5, 0.5, 0.5]])


def off_by_a_little(atoms: Atoms) -> Atoms:
    off = atoms.copy()
    off.set_cell(atoms.cell[:] + np.array([[0, 3e-5, 0], [0, 2e-5, 0], [0, 0, -1e-5]]), scale_atoms=True)
    return off


def relaxed_from_a_shear(atoms: Atoms) -> Atoms:
    strain = np.array([[0.005, 0.004, 0], [0.004, -0.003, 0.002], [0, 0.002, 0]])
    sheared = atoms.copy()
    sheared.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    return relax(sheared, EMT(), cell="free").atoms


@pytest.mark.parametrize("change", [off_by_a_little, relaxed_from_a_shear])
@pytest.mark.parametrize("is_primitive", [False, True])
def test_x_and_l_stay_where_they_are_in_a_cell_that_is_not_quite_cubic(copper, change, is_primitive):
    atoms = bulk("Cu", a=copper.cell.lengths()[0]) if is_primitive else copper
    repeats = (4, 4, 4) if is_primitive else (2, 2, 2)
    points = [[0.5, 0, 0.5], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.1, 0.2, 0.3]]
    exact = phonon_frequencies(atoms, EMT(), repeats, points)
    found = phonon_frequencies(change(atoms), EMT(), repeats, points)
    assert exact.labels == found.labels == ("X", "L", "X", None)
    assert found.space_group == "Fm-3m (225)"
    assert found.freq_thz.shape == (4, 3)
    np.testing.assert_allclose(found.freq_thz, exact.freq_thz, atol=5e-2)
    np.testing.assert_allclose(found.freq_thz[0], found.freq_thz[2], atol=1e-6)


def test_a_space_group_that_depends_on_the_tolerance_is_refused_until_one_is_given(silicon):
    """One atom is 0.01 angstrom off its place: spglib calls it symmetric within 0.03, and not within 0.01."""
    off = silicon.copy()
    off.positions[0, 0] += 0.01
    with pytest.raises(UserInputError, match=r"the space group is .* within 0.01 angstrom and Fd-3m .227. within 0.03"):
        phonon_frequencies(off, tersoff(), (1, 1, 1), ["G"])
    assert symmetrized(off, 0.05)[1] == "Fd-3m (227)"
    assert symmetrized(off, 1e-3)[1] != "Fd-3m (227)"
    with pytest.raises(UserInputError, match=r"symmetry_tolerance is 0\.0; give"):
        symmetrized(off, 0.0)


def test_a_symmetric_crystal_keeps_its_orientation(silicon):
    turned = silicon.copy()
    turned.rotate(33, (1, 2, 3), rotate_cell=True)
    turned.rattle(1e-3, seed=1)
    symmetric, _ = symmetrized(turned)
    np.testing.assert_allclose(symmetric.cell[:], turned.cell[:], atol=1e-3)
    assert np.abs(symmetric.positions - turned.positions).max() < 1e-2


def test_a_name_of_no_special_point_is_refused(copper):
    with pytest.raises(UserInputError, match="M is not a special point of this crystal; give one of G, "):
        phonon_frequencies(copper, EMT(), (2, 2, 2), ["G", "M"])


def test_phonons_of_a_molecule_are_refused(copper):
    with pytest.raises(UserInputError, match="not periodic"):
        phonon_frequencies(molecule("CO"), EMT(), (1, 1, 1), [[0, 0, 0]])
    with pytest.raises(UserInputError, match=r"supercell is \(0, 1, 1\); give 3 numbers, each a whole"):
        phonon_frequencies(copper, EMT(), (0, 1, 1), [[0, 0, 0]])


def test_a_structure_without_stiffness_has_no_elastic_constants():
    far = bulk("Ar", a=9.0, cubic=True)
    with pytest.raises(MlipError, match="a structure without stiffness"):
        elastic_tensor(far, LennardJones(sigma=1.0, rc=3.0))
