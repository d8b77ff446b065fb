"""Bad input of the workflows is refused before the work starts."""

from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families import read_model
from mlip_lammps.models import labels_of_source, resolve_model, shipped_models
from mlip_lammps.workflows import (
    checks,
    converge_supercell,
    elastic_tensor,
    equation_of_state,
    gruneisen,
    lattice_conductivity,
    layer_elastic_tensor,
    phonon_frequencies,
    phonons,
    quasi_harmonic,
    relax,
    surface_energies,
)


def model(cutoff: float = 5.0, elements: tuple[str, ...] = ("Cu",), sha256: str = "") -> SimpleNamespace:
    """Return what the checks read of a calculator with a model."""
    metadata = {"source": {"sha256": sha256}}
    return SimpleNamespace(model=SimpleNamespace(cutoff=cutoff, elements=elements, metadata=metadata))


def source_of(name: str) -> str:
    return read_model(resolve_model(name)).source_sha256


def test_the_card_says_which_labels_a_model_was_trained_on():
    assert labels_of_source(source_of("water-revpbe0d3")) == ("energies", "forces")
    for name in set(shipped_models()) - {"water-revpbe0d3"}:
        assert labels_of_source(source_of(name)) == ("energies", "forces", "stresses")
    assert labels_of_source("0" * 64) is None


def test_a_lattice_constant_from_a_model_without_stresses_is_refused():
    with pytest.raises(UserInputError, match=r"trained without stresses \(its card lists energies, forces\)"):
        checks.require_stress_labels(model(sha256=source_of("water-revpbe0d3")), "a lattice constant needs them")
    checks.require_stress_labels(model(sha256=source_of("silicon-pbe")), "")
    checks.require_stress_labels(EMT(), "")


def test_overlapping_atoms_are_refused():
    pair = Atoms("Cu2", positions=[[0, 0, 0], [0.3, 0, 0]])
    with pytest.raises(UserInputError, match=r"atoms 0 \(Cu\) and 1 \(Cu\) .* are 0.30 angstrom apart, expected"):
        relax(pair, EMT())
    checks.require_apart(molecule("H2"))
    with pytest.raises(UserInputError, match=r"atoms 0 \(Cu\) and 0 \(Cu\)"):
        checks.require_apart(bulk("Cu", a=1.0))


def test_a_cell_without_volume_is_refused():
    flat = Atoms("Cu2", positions=[[0, 0, 0], [2.5, 0, 0]], cell=[5, 5, 0.01], pbc=True)
    with pytest.raises(UserInputError, match=r"the cell of 2 atoms has a volume of 0.25 angstrom\^3"):
        relax(flat, EMT(), cell="free")


def test_an_unknown_element_is_refused():
    with pytest.raises(UserInputError, match="the structure contains Ag, but the model knows Cu"):
        checks.require_known_elements(bulk("Ag"), model())


def test_the_stress_of_a_slab_is_refused():
    slab = fcc111("Cu", (1, 1, 4), vacuum=8.0, periodic=True)
    with pytest.raises(UserInputError, match=r"16.0 angstrom along cell vector 3 contain no atoms"):
        elastic_tensor(slab, EMT())
    with pytest.raises(UserInputError, match="an equation of state needs a crystal without vacuum"):
        equation_of_state(slab, EMT())


def test_the_cell_of_a_slab_relaxes_with_a_mask_only():
    slab = fcc111("Cu", (1, 1, 4), vacuum=8.0, periodic=True)
    with pytest.raises(UserInputError, match="a cell that moves without a mask needs a crystal without vacuum"):
        relax(slab, EMT(), cell="free")
    assert relax(slab, EMT(), cell="free", mask=(1, 1, 0, 0, 0, 1)).largest_force < 1e-3


@pytest.mark.parametrize(
    "compute",
    [
        elastic_tensor,
        layer_elastic_tensor,
        equation_of_state,
        phonons,
        quasi_harmonic,
        gruneisen,
        lattice_conductivity,
        converge_supercell,
        lambda atoms, calculator: phonon_frequencies(atoms, calculator, (1, 1, 1), ["G"]),
        lambda atoms, calculator: surface_energies(atoms, calculator, (1, 1, 1)),
    ],
)
def test_constraints_that_a_workflow_of_crystals_would_ignore_are_refused(compute):
    held = bulk("Cu", cubic=True)
    held.set_constraint(FixAtoms([0]))
    with pytest.raises(UserInputError, match=r"the structure has a constraint FixAtoms; .* whose atoms all move"):
        compute(held, EMT())


@pytest.mark.parametrize("command", ["elastic", "eos", "phonons"])
def test_commands_for_crystals_refuse_constraints_before_the_first_relaxation(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    held = bulk("Si", cubic=True)
    held.set_constraint(FixAtoms([0]))
    ase.io.write("held.extxyz", held)
    assert main([command, "silicon-pbe", "held.extxyz"]) == 2
    assert "the structure has a constraint FixAtoms" in capsys.readouterr().err


def test_a_supercell_narrower_than_twice_the_cutoff_is_refused_with_one_that_is_wide_enough():
    atoms = bulk("Cu", a=3.6, cubic=True)
    with pytest.raises(UserInputError, match=r"the supercell 2 2 2 is 7.20 angstrom wide, .* 10.00.*give 3 3 3"):
        checks.require_wide_supercell(atoms, (2, 2, 2), model())
    checks.require_wide_supercell(atoms, (3, 3, 3), model())
    checks.require_wide_supercell(atoms, (1, 1, 1), EMT())
    assert checks.supercell_for(bulk("Cu", a=3.6), 10.0) == (5, 5, 5)


def test_residual_forces_are_shown():
    atoms = bulk("Cu", cubic=True)
    atoms.positions[2, 0] += 0.1
    with pytest.raises(UserInputError, match=r"the force on atom 2 \(Cu\), counted from 0, is .* phonons need"):
        checks.require_relaxed(atoms, EMT(), 0.01, "phonons need")


def test_the_closest_distance_counts_images():
    assert checks.closest_distance(bulk("Cu", a=3.6, cubic=True)) == pytest.approx(3.6 / 2**0.5)
    assert np.isinf(checks.closest_distance(Atoms("Cu")))
