"""Models with latent Ewald summation: reader, reference, ASE and LAMMPS on several ranks."""

import lzma
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from lammps_deck import assert_results_agree, atom_sums, deck, pair_coeff, read_results
from lammps_run import run_lammps
from lammps_structures import expected_results, write_data
from package_files import assert_lammps_equals

from mlip_lammps.compilation import compiled_model
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic, smaller_than_cutoff

DATA = Path(__file__).parent / "data" / "mace_les"
HEADS = {"heads_single_precision": "b"}
SYMBOLS = ("H", "O", "Si")
N_STRUCTURES = 4
PACKAGE_ENERGY = tolerances.PACKAGE_ENERGY_PER_ATOM
NAMES = sorted(path.name.removesuffix(".npz") for path in DATA.glob("*.npz"))


def model_file(name, folder):
    """Return the trained file ``name``, unpacked in ``folder``."""
    path = folder / f"{name}.model"
    path.write_bytes(lzma.decompress((DATA / f"{name}.model.xz").read_bytes()))
    return path


def structures_of(known):
    """Return the structures of the results ``known``."""
    return [
        Atoms(known[f"numbers_{k}"], known[f"positions_{k}"], cell=known[f"cell_{k}"], pbc=known[f"pbc_{k}"])
        for k in range(N_STRUCTURES)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_gives_the_results_of_mace_torch(name, tmp_path):
    trained = select_head(read_model(model_file(name, tmp_path)), HEADS.get(name))
    reference, known = family_of(trained).reference(trained), np.load(DATA / f"{name}.npz")
    for k, atoms in enumerate(structures_of(known)):
        found = reference.evaluate(atoms)
        assert abs(known[f"long_range_{k}"]) > 1e-3
        assert abs(found.energy - known[f"energy_{k}"]) < 1e-9 * len(atoms), atoms
        np.testing.assert_allclose(found.forces, known[f"forces_{k}"], rtol=0.0, atol=1e-8)
        np.testing.assert_allclose(found.node_properties["latent_charges"], known[f"charges_{k}"], rtol=0.0, atol=1e-10)
        if f"virial_{k}" in known:  # differences of energies
            np.testing.assert_allclose(found.virial, known[f"virial_{k}"], rtol=0.0, atol=1e-6)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return model_file("two_layers", tmp_path_factory.mktemp("les"))


@pytest.fixture(scope="module")
def reference(source):
    trained = read_model(source)
    return family_of(trained).reference(trained)


@pytest.fixture(scope="module")
def compiled(source):
    return compiled_model(source, dtype="float64")


STRUCTURES = {
    "triclinic": rattled_triclinic(SYMBOLS, repeat=(3, 3, 4), seed=2),
    "small cell": smaller_than_cutoff(SYMBOLS),
    "molecule": isolated_molecule(SYMBOLS, box=None),
    "molecule in a box": isolated_molecule(SYMBOLS, box=14.3),
}


def test_the_calculator_gives_the_results_of_mace_torch(compiled):
    known = np.load(DATA / "two_layers.npz")
    for k, atoms in enumerate(structures_of(known)):
        atoms.calc = MlipCalculator(compiled, n_threads=1)
        assert_energies_agree(atoms.get_potential_energy(), known[f"energy_{k}"], len(atoms), PACKAGE_ENERGY)
        assert_forces_agree(atoms.get_forces(), known[f"forces_{k}"], tolerances.PACKAGE_FORCE)
        charges = atoms.calc.get_property("latent_charges", atoms)
        np.testing.assert_allclose(charges, known[f"charges_{k}"], rtol=0.0, atol=1e-9)
        if f"virial_{k}" in known:
            stresses = atoms.get_stresses()
            np.testing.assert_allclose(stresses.sum(axis=0), atoms.get_stress(), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, compiled, reference):
    assert_lammps_equals(reference, STRUCTURES, compiled, n_ranks)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_fix_pair_returns_the_latent_charges(n_ranks, compiled, reference, tmp_path):
    atoms = STRUCTURES["triclinic"]
    write_data(tmp_path / "box.data", atoms, SYMBOLS)
    coeff, last = pair_coeff(f"{compiled} {' '.join(SYMBOLS)}"), "fix q all pair 1 mlip/torch latent_charges 0"
    done = run_lammps(deck(coeff=coeff, last=last, atom_columns="f_q"), n_ranks, tmp_path)
    assert_results_agree(read_results(done), expected_results(compiled, atoms))
    sums, found = atom_sums(done), read_results(done)
    assert abs(sums[0] - found.energy) < 1e-8
    np.testing.assert_allclose(sums[1], found.virial, rtol=0.0, atol=1e-8)
    charges = reference.evaluate(atoms).node_properties["latent_charges"]
    np.testing.assert_allclose(done.dump("dump.out")[:, 6], charges, rtol=0.0, atol=1e-9)
