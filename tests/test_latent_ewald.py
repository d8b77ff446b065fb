"""Models with latent Ewald summation: reader, reference, ASE and LAMMPS on several ranks."""

import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.neighborlist import neighbor_list
from lammps_deck import assert_results_agree, atom_sums, deck, pair_coeff, read_results
from lammps_run import error_line, run_lammps
from lammps_structures import expected_results, write_data
from package_files import SILENCE, assert_lammps_equals
from scipy.special import erfc
from uncompiled import run_layers

from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.core.errors import UnsupportedModelError, UserInputError
from mlip_lammps.core.limits import BETWEEN_ENGINES
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.engines.lammps.cases import Case, run_cases
from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.families.latent_ewald import latent_energy
from mlip_lammps.families.mace import write_portable
from mlip_lammps.families.mace.reader.latent_ewald import read_latent_ewald
from mlip_lammps.model_file.born_charges import born_charges
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.model_file.contract import CHARGES
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.latent_ewald import LatentEwald
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic, smaller_than_cutoff

DATA = Path(__file__).parent / "data" / "mace_les"
HEADS = {"heads_single_precision": "b"}
SYMBOLS = ("H", "O", "Si")
N_STRUCTURES = 4
CUTOFF = 4.0
STRENGTH = 90.4756
MADELUNG = 1.7475645946331822
"""Of rock salt, for the distance of neighbours."""
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
        charges = atoms.calc.node_properties["latent_charges"]
        SinglePointCalculator(atoms, **atoms.calc.results)  # has no names but those of ASE
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


def test_the_reciprocal_sum_is_the_smooth_part_of_a_madelung_sum():
    """The Coulomb energy of rock salt is that of smeared charges and a sum of erfc, which converges fast."""
    atoms = bulk("NaCl", "rocksalt", a=5.0, cubic=True)
    charges = torch.tensor(np.where(atoms.numbers == 11, 1.0, -1.0))
    ewald = LatentEwald(sigma=0.8, resolution=0.75, strength=STRENGTH, has_self_interaction=False)
    smooth = float(latent_energy(ewald, charges, atoms.positions, atoms.cell[:]).atom_energies.sum())
    i, j, r = neighbor_list("ijd", atoms, 9.0)
    coulomb = STRENGTH / (2.0 * np.pi)
    sharp = 0.5 * coulomb * np.sum(charges.numpy()[i] * charges.numpy()[j] * erfc(r / (np.sqrt(2.0) * 0.8)) / r)
    assert abs(smooth + sharp + 4 * MADELUNG * coulomb / 2.5) < 1e-8


def test_virials_of_atoms_are_those_of_their_charges(compiled):
    """LAMMPS's ewald assigns to an atom the terms of the sum times its charge; here a plain sum over all vectors."""
    atoms = STRUCTURES["small cell"]
    found = CompiledModel(compiled, n_threads=1).evaluate(build_graph(atoms, CUTOFF), has_atom_virials=True)
    q, reciprocal = found.node_properties["latent_charges"], 2.0 * np.pi * np.linalg.inv(atoms.cell[:]).T
    expected = np.zeros((len(atoms), 3, 3))
    for n in np.ndindex(9, 9, 9):
        k = (np.array(n) - 4) @ reciprocal
        if not 0.0 < k @ k <= np.pi**2:
            continue
        phases = np.exp(1j * atoms.positions @ k)
        weight = 90.4756 / atoms.get_volume() * np.exp(-0.5 * k @ k) / (k @ k)
        tensor = np.outer(k, k) * (1.0 + 2.0 / (k @ k)) - np.eye(3)
        expected += (weight * q * (np.conj(q @ phases) * phases).real)[:, None, None] * tensor
    rows, columns = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
    np.testing.assert_allclose(found.long_range.atom_virials, expected[:, rows, columns], rtol=0.0, atol=1e-10)


def test_born_charges_are_those_of_les(compiled, compile_once):
    known, calculator = np.load(DATA / "two_layers.npz"), MlipCalculator(compiled)
    for k, atoms in enumerate(structures_of(known)):
        found = calculator.get_property("born_effective_charges", atoms)
        np.testing.assert_allclose(found, known[f"born_charges_{k}"], rtol=0.0, atol=1e-10)
    assert "born_effective_charges" not in MlipCalculator(compile_once("two_layers")).implemented_properties


def test_born_charges_are_derivatives_of_the_polarization(compiled):
    """Of charges with their mean, scaled by the square root of a permittivity; by differences for a molecule."""
    model = CompiledModel(compiled)
    model.latent_ewald = replace(model.latent_ewald, removes_mean=False, epsilon=1.8)
    molecule = structures_of(np.load(DATA / "two_layers.npz"))[3]

    def polarization(displacement):
        moved = molecule.copy()
        moved.positions[1] += displacement
        charges = model.evaluate(build_graph(moved, CUTOFF)).node_properties["latent_charges"]
        return np.sqrt(1.8) * charges @ moved.positions

    steps = 1e-4 * np.eye(3)
    expected = np.transpose([(polarization(one) - polarization(-one)) / 2e-4 for one in steps])
    np.testing.assert_allclose(born_charges(model, build_graph(molecule, CUTOFF))[1], expected, rtol=0.0, atol=1e-6)


def test_settings_of_the_polarization_are_read(tmp_path):
    found = read_model(model_file("one_layer", tmp_path)).spec.latent_ewald
    assert (found.removes_mean, found.epsilon) == (False, 1.8)


def test_charges_of_the_layers_in_mixed_precision_stay_close_to_the_reference(tmp_path):
    trained = select_head(read_model(model_file("heads_single_precision", tmp_path)), "b")
    family = family_of(trained)
    layers, reference = family.layers(trained, trained.atomic_numbers), family.reference(trained)
    atoms = STRUCTURES["triclinic"]
    found = run_layers(layers, reference, atoms, "mixed").outputs[CHARGES].detach().numpy()
    expected = reference.evaluate(atoms).node_properties["latent_charges"]
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=BETWEEN_ENGINES["mixed"].force)
    assert np.abs(found - expected).max() > 1e-12, "as exact as float64: the precision had no effect"


def test_mixed_precision_stays_close_to_the_reference(tmp_path):
    path = model_file("heads_single_precision", tmp_path)
    compiled = compiled_model(path, dtype="mixed", head="b")
    trained = select_head(read_model(path), "b")
    reference, atoms = family_of(trained).reference(trained), STRUCTURES["triclinic"]
    found, expected = run_cases([Case("a", atoms)], compiled, 2, silence_seconds=SILENCE), reference.evaluate(atoms)
    results = found.results["a"].evaluation
    limit = BETWEEN_ENGINES["mixed"]
    assert_energies_agree(results.energy, expected.energy, len(atoms), limit.energy)
    assert_forces_agree(results.forces, expected.forces, limit.force)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, True)])
def test_a_structure_with_some_periods_is_refused(compiled, pbc):
    atoms = STRUCTURES["triclinic"].copy()
    atoms.pbc = pbc
    atoms.calc = MlipCalculator(compiled, n_threads=1)
    with pytest.raises(UserInputError, match="in all directions or in none"):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    ("words", "style", "last", "first"),
    [
        ("in all directions or in none", "mlip/torch", "", "boundary p p f"),
        ("committee", "committee", "", ""),
        ("centroid", "mlip/torch", "compute s all centroid/stress/atom NULL pair\nfix s all ave/atom 1 1 1 c_s[*]", ""),
    ],
)
def test_lammps_refuses_what_has_no_meaning(words, style, last, first, compiled, tmp_path):
    write_data(tmp_path / "box.data", STRUCTURES["molecule in a box"], SYMBOLS)
    files = f"{compiled} {compiled} :" if style == "committee" else compiled
    text = deck(coeff=pair_coeff(f"{files} {' '.join(SYMBOLS)}"), first=first, last=last)
    assert words in error_line(run_lammps(text, 2, tmp_path, is_refused=True))


def test_edge_moments_are_refused(compiled):
    atoms = STRUCTURES["molecule"]
    with pytest.raises(UserInputError, match="latent charges"):
        CompiledModel(compiled, n_threads=1).evaluate(build_graph(atoms, CUTOFF), atoms.positions)


def test_an_export_for_a_gpu_is_refused(source, tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"latent charges.*--device cpu"):
        export_model(source, tmp_path / "model.pt2", device="emulated")


def test_a_portable_file_keeps_the_charges(source, tmp_path):
    trained = read_model(source)
    write_portable(trained, tmp_path / "model.safetensors")
    again = read_model(tmp_path / "model.safetensors")
    assert again.spec == trained.spec
    assert again.spec.latent_ewald == LatentEwald(1.0, 2.0, 90.4756, has_self_interaction=False)
    assert again.content_digest() == trained.content_digest()


class Settings:
    """Stands for a module of a file: attributes and submodules by name."""

    full_name = "mace.modules.extensions.MACELES"
    source = label = "file"

    def __init__(self, **entries):
        self.entries = entries

    def child(self, name):
        return self.entries[name]

    def attribute(self, name, default=None):
        return self.entries.get(name, default)

    number = attribute

    def require_class(self, name):
        pass


EWALD = {
    "sigma": 1.0, "dl": 2.0, "norm_factor": 90.4756, "sigma_sq_half": 0.5, "twopi": 2.0 * np.pi, "k_sq_max": np.pi**2,
    "remove_self_interaction": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["use_atomwise", "use_fixed_atomic_charges", "use_atomic_alpha", "use_epsilon_r_scaling"]
)
def test_settings_beyond_charges_are_refused_by_name(name):
    plain = Settings(les=Settings(ewald=Settings(**EWALD)))
    assert read_latent_ewald(plain) == LatentEwald(1.0, 2.0, 90.4756, has_self_interaction=False)
    with pytest.raises(UnsupportedModelError, match=name):
        read_latent_ewald(Settings(les=Settings(ewald=Settings(**EWALD), **{name: True})))


@pytest.mark.parametrize(("name", "value"), [("k_sq_max", 9.0), ("sigma_sq_half", 0.6), ("remove_self_interaction", 2)])
def test_settings_that_contradict_each_other_are_refused(name, value):
    with pytest.raises(UnsupportedModelError, match=name):
        read_latent_ewald(Settings(les=Settings(ewald=Settings(**EWALD | {name: value}))))


@pytest.mark.parametrize("box", [None, 14.3])
def test_a_fault_on_one_rank_stops_all_ranks(box, compiled, tmp_path):
    """The other ranks take part in the sums; a hang is a failure."""
    atoms = isolated_molecule(SYMBOLS, box=14.3)
    atoms.positions[1] = atoms.positions[0] + [0.1, 0.05, 0.0]
    write_data(tmp_path / "box.data", atoms, SYMBOLS)
    coeff, first = pair_coeff(f"{compiled} {' '.join(SYMBOLS)}"), "" if box else "boundary f f f"
    done = run_lammps(deck("mlip/torch close error", coeff, first=first), 4, tmp_path, is_refused=True)
    assert "apart" in error_line(done)
