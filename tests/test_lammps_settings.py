"""LAMMPS settings do not change the forces, and atoms of NULL types get no forces."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from lammps_deck import assert_results_agree, atom_sums, deck, pair_coeff, read_results
from lammps_run import run_driver, run_lammps
from lammps_structures import Expected, expected_results, write_data

from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_virials_agree
from mlip_lammps.testing.structures import rattled_triclinic, smaller_than_cutoff

ELEMENTS = ("H", "O")
LJ = "lj/cut 0.002 1.5"
BONDS = [(1, 2), (2, 3), (7, 8), (30, 31)]
BONDED = "atom_style full\nbond_style zero"
BONDED_ATOMS = "read_data box.data\nbond_coeff 1"


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    return rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)


@pytest.fixture(scope="module")
def expected(model, atoms) -> Expected:
    return expected_results(model, atoms)


@pytest.fixture(scope="module")
def types() -> Sequence[int]:
    """Return the types of a mixture in which every third atom has a type that is not mapped to the model."""
    kinds = np.random.default_rng(1).integers(1, 3, 36)
    kinds[::3] = 3
    return kinds


@pytest.fixture(scope="module")
def treated(model, atoms, types) -> Expected:
    """Return the model's results for its own atoms alone, as rows for all atoms."""
    own = types < 3
    part = atoms[own]
    part.set_chemical_symbols([ELEMENTS[kind - 1] for kind in types[own]])
    alone = expected_results(model, part)
    forces, node_energies = np.zeros((len(atoms), 3)), np.zeros(len(atoms))
    forces[own], node_energies[own] = alone.forces, alone.node_energies
    return Expected(alone.energy, forces, node_energies, alone.virial)


def sum_of(*parts: Expected) -> Expected:
    return Expected(
        sum(part.energy for part in parts),
        sum(part.forces for part in parts),
        sum(part.node_energies for part in parts),
        sum(part.virial for part in parts),
    )


PLAIN = {
    "four ranks in a row": (4, dict(first="processors 1 1 4")),
    "three ranks": (3, dict(first="processors * 1 1")),
    # LAMMPS creates an atom map for atom_style atomic only on request.
    "no atom map": (2, {}),
    "an atom map": (2, dict(first="atom_modify map hash")),
    "atoms in the order of input": (2, dict(first="atom_modify sort 0 0.0")),
    "newton on": (2, dict(first="newton on")),
    "newton off for bonds": (2, dict(first="newton on off")),
    "tiled": (4, dict(last="comm_style tiled\nbalance 1.0 rcb")),
    "communication in groups": (2, dict(last="neighbor 1.0 multi\ncomm_modify mode multi")),
    "a wide skin": (2, dict(last="neighbor 3.0 bin")),
    "lists without bins": (2, dict(last="neighbor 0.5 nsq")),
    "two threads": (1, dict(style="mlip/torch threads 2")),
    "two runs": (2, dict(runs="run 0\nrun 0")),
}


@pytest.mark.parametrize("name", PLAIN)
def test_settings_do_not_change_the_results(name, model, atoms, expected, tmp_path):
    n_ranks, options = PLAIN[name]
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    done = run_lammps(deck(coeff=pair_coeff(f"{model} H O"), **options), n_ranks, tmp_path)
    assert_results_agree(read_results(done), expected)


def test_energies_and_virials_of_atoms_sum_to_the_totals(model, atoms, expected, tmp_path):
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    done = run_lammps(deck(coeff=pair_coeff(f"{model} H O")), 2, tmp_path)
    energy, virial = atom_sums(done)
    assert_energies_agree(energy, expected.energy, len(atoms), tolerances.LAMMPS_ENERGY_PER_ATOM)
    assert_virials_agree(virial / len(atoms), expected.virial / len(atoms), tolerances.LAMMPS_VIRIAL_PER_ATOM)


def test_types_may_have_any_order_and_share_an_element(model, atoms, expected, tmp_path):
    kinds = [1 if symbol == "O" else 2 + k % 2 for k, symbol in enumerate(atoms.get_chemical_symbols())]
    write_data(tmp_path / "box.data", atoms, ("O", "H", "H"), types=kinds)
    done = run_lammps(deck(coeff=pair_coeff(f"{model} O H H")), 2, tmp_path)
    assert_results_agree(read_results(done), expected)


@pytest.mark.parametrize(
    ("bonds", "special"),
    [((), "lj/coul 0 0 0"), (BONDS, "lj/coul 1 1 1"), (BONDS, "lj 1 1 1 coul 0.5 0.3 0.2")],
    ids=["no bonds", "weights of one", "marked neighbours"],
)
def test_special_bits_of_neighbours_are_masked(bonds, special, model, atoms, expected, tmp_path):
    write_data(tmp_path / "box.data", atoms, ELEMENTS, style="full", bonds=bonds)
    options = dict(first=BONDED, atoms=BONDED_ATOMS) if bonds else dict(first="atom_style full")
    text = deck(coeff=pair_coeff(f"{model} H O"), last=f"special_bonds {special}", **options)
    assert_results_agree(read_results(run_lammps(text, 2, tmp_path)), expected)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_in_a_hybrid_only_atoms_of_the_models_types_have_energy(n_ranks, model, atoms, types, treated, tmp_path):
    write_data(tmp_path / "box.data", atoms, (*ELEMENTS, "Ar"), types=types)
    coeff = pair_coeff(f"mlip/torch {model} H O NULL", "zero")
    found = read_results(run_lammps(deck("hybrid/overlay mlip/torch zero 5.0", coeff), n_ranks, tmp_path))
    assert_results_agree(found, treated)
    assert not found.node_energies[types == 3].any()
    assert not found.forces[types == 3].any()


def test_an_overlay_adds_to_another_style(model, atoms, types, treated, tmp_path):
    write_data(tmp_path / "box.data", atoms, (*ELEMENTS, "Ar"), types=types)
    alone = read_results(run_lammps(deck("lj/cut 5.0", pair_coeff("0.002 1.5")), 2, tmp_path))
    coeff = pair_coeff(f"mlip/torch {model} H O NULL", LJ)
    both = read_results(run_lammps(deck("hybrid/overlay mlip/torch lj/cut 5.0", coeff), 2, tmp_path))
    assert_results_agree(both, sum_of(treated, alone))


def test_a_hybrid_leaves_pairs_with_null_to_another_style(model, atoms, types, treated, tmp_path):
    write_data(tmp_path / "box.data", atoms, (*ELEMENTS, "Ar"), types=types)
    rest = "pair_coeff * 3 lj/cut 0.002 1.5"
    nothing = f"pair_coeff * * zero\n{rest}"
    alone = read_results(run_lammps(deck("hybrid lj/cut 5.0 zero 5.0", nothing), 2, tmp_path))
    coeff = f"{pair_coeff(f'mlip/torch {model} H O NULL')}\n{rest}"
    both = read_results(run_lammps(deck("hybrid mlip/torch lj/cut 5.0", coeff), 4, tmp_path))
    assert_results_agree(both, sum_of(treated, alone))


def test_two_instances_in_one_overlay_add_up(model, atoms, expected, tmp_path):
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    coeff = pair_coeff(f"mlip/torch 1 {model} H O", f"mlip/torch 2 {model} O H")
    done = run_lammps(deck("hybrid/overlay mlip/torch mlip/torch", coeff), 2, tmp_path)
    swapped = atoms.copy()
    swapped.set_chemical_symbols(["O" if symbol == "H" else "H" for symbol in atoms.get_chemical_symbols()])
    assert_results_agree(read_results(done), sum_of(expected, expected_results(model, swapped)))


def test_atoms_without_ids_have_the_same_energy(model, atoms, tmp_path):
    # LAMMPS itself requires IDs in a triclinic cell.
    upright = atoms.copy()
    upright.set_cell(np.diag(np.diag(atoms.cell)), scale_atoms=True)
    write_data(tmp_path / "box.data", upright, ELEMENTS, has_ids=False)
    text = deck(coeff=pair_coeff(f"{model} H O"), first="atom_modify id no")
    found, expected = read_results(run_lammps(text, 2, tmp_path)), expected_results(model, upright)
    assert_energies_agree(found.energy, expected.energy, len(atoms), tolerances.LAMMPS_ENERGY_PER_ATOM)
    assert np.abs(np.sort(found.forces, axis=0) - np.sort(expected.forces, axis=0)).max() < tolerances.LAMMPS_FORCE


def test_a_repeated_style_and_a_cleared_box_reset_the_state(model, compile_once, atoms, expected, tmp_path):
    other = f"{compile_once('three_layers')} C O"
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    again = deck(
        coeff=pair_coeff(other),
        runs=f"run 0\npair_style mlip/torch threads 1\npair_coeff * * {model} H O\nrun 0",
    )
    assert_results_agree(read_results(run_lammps(again, 2, tmp_path)), expected)
    twice = deck(coeff=pair_coeff(other)) + "clear\n" + deck(coeff=pair_coeff(f"{model} H O"))
    assert_results_agree(read_results(run_lammps(twice, 2, tmp_path)), expected)


def test_two_sessions_side_by_side_do_not_disturb_each_other(model, compile_once, tmp_path):
    run_driver("lammps_two_sessions.py", 2, tmp_path, model, compile_once("three_layers"))


def test_no_run_starts_after_a_refused_model_until_another_is_given(model, compile_once, tmp_path):
    run_driver("lammps_refused_model.py", 2, tmp_path, model, compile_once("three_layers"))


def test_fix_numdiff_agrees_with_the_forces(model, tmp_path):
    atoms = rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=6)
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    check = f"""fix slopes all numdiff 1 {tolerances.CENTRAL_DIFFERENCE_STEP}
    dump slopes all custom 1 dump.slopes id f_slopes[1] f_slopes[2] f_slopes[3]
    dump_modify slopes format float %.16g"""
    text = deck(coeff=pair_coeff(f"{model} H O"), first="atom_modify map yes", last=check)
    done = run_lammps(text, 2, tmp_path)
    forces = read_results(done).forces
    assert np.abs(done.dump("dump.slopes")[:, 1:] - forces).max() < tolerances.CENTRAL_DIFFERENCE_FORCE
    assert np.abs(forces).max() > 1e-2


@pytest.mark.parametrize("name", ["one_layer", "two_layers", "three_layers"])
@pytest.mark.parametrize("make", [rattled_triclinic, smaller_than_cutoff])
def test_forces_and_stress_are_derivatives_of_the_energy(name, make, compile_once):
    calculator = MlipCalculator(compile_once(name), n_threads=1)
    atoms = make(calculator.model.elements, seed=3)
    atoms.calc = calculator
    forces, stress, step = atoms.get_forces(), atoms.get_stress(voigt=False), tolerances.CENTRAL_DIFFERENCE_STEP

    def energy(displacement: np.ndarray | float = 0.0, strain: np.ndarray | None = None) -> float:
        moved = atoms.copy()
        moved.positions += displacement
        if strain is not None:
            moved.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
        moved.calc = calculator
        return moved.get_potential_energy()

    for atom, axis in [(0, 0), (1, 1), (len(atoms) - 1, 2)]:
        shift = np.zeros((len(atoms), 3))
        shift[atom, axis] = step
        slope = (energy(shift) - energy(-shift)) / (2 * step)
        assert abs(slope + forces[atom, axis]) < tolerances.CENTRAL_DIFFERENCE_FORCE
    for a, b in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
        strain = np.zeros((3, 3))
        strain[a, b] += step / 2
        strain[b, a] += step / 2
        slope = (energy(strain=np.eye(3) + strain) - energy(strain=np.eye(3) - strain)) / (2 * step)
        assert abs(slope / atoms.get_volume() - stress[a, b]) < tolerances.CENTRAL_DIFFERENCE_FORCE


def test_planted_faults_are_found(expected):
    assert_results_agree(expected, expected)
    faults = [
        replace(expected, forces=1.001 * expected.forces),
        replace(expected, virial=expected.virial[[0, 1, 2, 3, 5, 4]]),
        replace(expected, node_energies=expected.node_energies[::-1]),
        replace(expected, energy=expected.energy + 1e-6),
    ]
    for fault in faults:
        with pytest.raises(AssertionError):
            assert_results_agree(fault, expected)
