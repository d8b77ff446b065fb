"""Exclusions from the neighbour list: refused for atoms of the model, except for atoms removed in a trial move."""

import numpy as np
import pytest
from lammps_deck import deck, pair_coeff, read_results
from lammps_frames import assert_frame_is_the_models, read_frames, write_frame
from lammps_run import Finished, error_line, run_lammps
from lammps_structures import expected_results, write_data

from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
GAS = 20
"""ID of the single gas atom."""
KELVIN = 100.0
MARGIN_EV = 0.1
"""Twelve times k_B T: at this distance from the exchange energy, its sign alone determines acceptance."""
DELETES_FIRST = 2
"""Seed of fix gcmc with which its first exchange is a deletion."""


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


@pytest.fixture(scope="module")
def atoms():
    return rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)


@pytest.fixture
def folder(tmp_path, atoms):
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    kinds = [ELEMENTS.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
    kinds[GAS - 1] = 3
    gas = atoms.get_chemical_symbols()[GAS - 1]
    write_data(tmp_path / "gas.data", atoms, (*ELEMENTS, gas), types=kinds)
    return tmp_path


def grand_canonical(model, symbols: str, fix: str, steps: int) -> str:
    return f"""units metal
    atom_modify map yes
    read_data gas.data
    pair_style mlip/torch
    pair_coeff * * {model} {symbols}
    compute e all pe/atom
    compute e_sum all reduce sum c_e
    group gas type 3
    {fix}
    thermo_style custom step atoms pe c_e_sum f_mc[3] f_mc[4] f_mc[5] f_mc[6]
    thermo 1
    thermo_modify lost ignore format float %.16g
    run {steps}
    {write_frame("dump.end")}
    """


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_trial_deletion_has_the_energy_of_the_atoms_that_remain(n_ranks, model, atoms, folder):
    remaining = atoms[[k for k in range(len(atoms)) if k != GAS - 1]]
    lost = expected_results(model, atoms).energy - expected_results(model, remaining).energy
    symbols = f"H O {atoms.get_chemical_symbols()[GAS - 1]}"

    def atoms_left(mu: float) -> Finished:
        fix = f"fix mc gas gcmc 1 1 0 3 {DELETES_FIRST} {KELVIN} {mu:.17g} 0.5"
        return run_lammps(grand_canonical(model, symbols, fix, 1), n_ranks, folder)

    # An atom is deleted if the chemical potential of the reservoir exceeds its binding energy.
    kept, deleted = atoms_left(lost + MARGIN_EV).thermo[-1], atoms_left(lost - MARGIN_EV).thermo[-1]
    assert kept["f_mc[5]"] == deleted["f_mc[5]"] == 1, "the first exchange was no deletion"
    assert (kept["Atoms"], deleted["Atoms"]) == (36, 35)
    assert abs(deleted["PotEng"] - expected_results(model, remaining).energy) < 1e-8
    assert abs(kept["PotEng"] - expected_results(model, atoms).energy) < 1e-8


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_after_many_insertions_deletions_and_moves_the_forces_are_the_models(n_ranks, model, atoms, folder):
    gas = atoms.get_chemical_symbols()[GAS - 1]
    fix = "fix mc gas gcmc 1 8 4 3 7 20000 -24.0 0.5 overlap_cutoff 0.8\nfix motion all nve"
    done = run_lammps(grand_canonical(model, f"H O {gas}", fix, 6), n_ranks, folder)
    counts = done.thermo[-1]
    assert counts["f_mc[4]"] > 2, "no insertions"
    assert counts["f_mc[6]"] > 2, "no deletions"
    frame = read_frames(folder / "dump.end", (*ELEMENTS, gas))[-1]
    assert_frame_is_the_models(frame, MlipCalculator(model, n_threads=1))
    assert abs(frame.node_energies.sum() - counts["PotEng"]) < 1e-8


def test_trial_insertions_of_fix_widom_do_not_change_the_forces(model, atoms, folder):
    gas = atoms.get_chemical_symbols()[GAS - 1]
    fix = "fix mc gas widom 1 10 3 7 300\nfix motion all nve\nvelocity all create 300 7 loop geom"
    text = grand_canonical(model, f"H O {gas}", fix, 3).replace("f_mc[3] f_mc[4] f_mc[5] f_mc[6]", "f_mc[2]")
    row = run_lammps(text, 2, folder).thermo[-1]
    assert row["Atoms"] == 36
    assert row["f_mc[2]"] > 0, "no insertion had a weight"
    [frame] = read_frames(folder / "dump.end", (*ELEMENTS, gas))
    assert_frame_is_the_models(frame, MlipCalculator(model, n_threads=1))


@pytest.mark.parametrize(
    "exclude",
    [
        "group still still",
        "group still all",
        "group moving still",
        "type 1 1",
        "molecule/intra all",
        "molecule/intra still",
        "molecule/inter all",
    ],
)
def test_exclusions_of_pairs_of_the_model_are_refused(exclude, model, atoms, folder):
    write_data(folder / "box.data", atoms, ELEMENTS, style="full")
    groups = "group still id 1:20\ngroup moving subtract all still\nfix still still setforce 0 0 0\nset atom 1 mol 2"
    text = deck(
        coeff=pair_coeff(f"{model} H O"),
        first="atom_style full",
        last=f"special_bonds lj/coul 1 1 1\n{groups}\nneigh_modify exclude {exclude}",
    )
    line = error_line(run_lammps(text, 2, folder, is_refused=True))
    assert "neigh_modify exclude removes neighbours" in line


@pytest.mark.parametrize(
    "exclude",
    [
        "group wall wall exclude type 3 3 exclude group wall all",
        "molecule/intra wall",
        "molecule/inter wall",
        "molecule/inter own",
        "molecule/intra wall exclude molecule/inter own",
    ],
)
def test_exclusions_among_atoms_of_other_types_change_nothing(exclude, model, atoms, folder):
    """All atoms of the model are of molecule 1; those of other types are of molecules 1 and 2."""
    kinds = [ELEMENTS.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
    kinds[::3] = [3] * len(kinds[::3])
    write_data(folder / "box.data", atoms, (*ELEMENTS, "Ar"), types=kinds, style="full")
    own = np.array(kinds) < 3
    alone = expected_results(model, atoms[own])
    text = deck(
        "hybrid/overlay mlip/torch zero 5.0",
        pair_coeff(f"mlip/torch {model} H O NULL", "zero"),
        first="atom_style full",
        last=f"group wall type 3\ngroup own type 1 2\nset atom 1 mol 2\nneigh_modify exclude {exclude}",
    )
    found = read_results(run_lammps(text, 4, folder))
    np.testing.assert_allclose(found.forces[own], alone.forces, rtol=0, atol=1e-8)
    assert abs(found.energy - alone.energy) < 1e-8
