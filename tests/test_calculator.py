"""The ASE calculator: what it gives, how it is copied and pickled, what it warns of."""

import copy
import multiprocessing
import pickle
import re
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.optimize import BFGS
from lammps_run import run_command, run_lammps

from mlip_lammps import MlipCalculator
from mlip_lammps.core.errors import CloseAtomsWarning, ModelFileError, UserInputError
from mlip_lammps.engines.lammps.session import BAR_PER_EV_PER_CUBIC_ANGSTROM
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_virials_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic


def with_calculator(path, n_threads: int = 1) -> Atoms:
    atoms = rattled_triclinic(("H", "O"), seed=3)
    atoms.calc = MlipCalculator(path, n_threads)
    return atoms


@pytest.fixture
def atoms(compile_once) -> Atoms:
    return with_calculator(compile_once("two_layers"))


def energy_of(atoms: Atoms) -> float:
    return atoms.get_potential_energy()


@pytest.mark.parametrize("has_run", [False, True])
def test_copies_and_pickles_give_the_same_and_share_the_open_model(atoms, has_run):
    if has_run:
        atoms.get_potential_energy()
    model = atoms.calc.model
    others = [copy.deepcopy(atoms), pickle.loads(pickle.dumps(atoms))]
    others[0].calc.reset()
    others[1].calc.reset()
    for other in others:
        assert other.calc is not atoms.calc
        assert other.calc.model is model
        assert other.get_potential_energy() == atoms.get_potential_energy()
        np.testing.assert_array_equal(other.get_forces(), atoms.get_forces())
    assert copy.copy(model) is model


def test_a_copy_keeps_its_own_results(atoms):
    before = atoms.get_potential_energy()
    other = copy.deepcopy(atoms)
    other.positions[0] += 0.05
    assert other.get_potential_energy() != before
    assert atoms.calc.results["energy"] == before


def test_a_process_pool_takes_structures_with_their_calculator(atoms):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(energy_of, atoms).result(timeout=120) == atoms.get_potential_energy()


def new_energy(atoms: Atoms) -> float:
    atoms.calc = MlipCalculator(atoms.calc.model.path, n_threads=2)
    return atoms.get_potential_energy()


FORKED = """
import multiprocessing, sys, threading
from test_calculator import energy_of, new_energy, with_calculator
atoms = with_calculator(sys.argv[1], n_threads=4)
atoms = atoms.repeat(3)
atoms.calc = with_calculator(sys.argv[1], n_threads=4).calc
expected = atoms.get_potential_energy()
with multiprocessing.get_context("fork").Pool(2) as pool:
    for energies in (pool.map(energy_of, [atoms] * 2), pool.map(new_energy, [atoms] * 2)):
        assert max(abs(energy - expected) for energy in energies) < 1e-9
# a lock that another thread of the parent holds
held = atoms.calc.model._lock
with held:
    child = multiprocessing.get_context("fork").Process(target=energy_of, args=(atoms,))
    child.start()
    child.join()
    assert child.exitcode == 0
"""


def test_forked_processes_evaluate_after_their_parent_did_with_threads(compile_once, tmp_path):
    command = [sys.executable, "-c", FORKED, compile_once("two_layers")]
    run_command(command, tmp_path, changes={"OMP_NUM_THREADS": "4"})


def outcome(atoms: Atoms) -> str:
    try:
        return f"{atoms.get_potential_energy()}"
    except UserInputError as error:
        return str(error)


def test_a_forked_process_says_that_it_cannot_use_a_gpu(compile_once):
    atoms = with_calculator(compile_once("two_layers", device="emulated"))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert "which this forked process cannot use because its parent did; start" in pool.apply(outcome, (atoms,))
    assert np.isfinite(atoms.get_potential_energy())


INVALID = {
    "no model": (dict(model=None), "model is None; give the path of a file or the name of a shipped model"),
    "an empty name": (dict(model=""), "model is ''; give"),
    "negative threads": (dict(n_threads=-3), "n_threads is -3; give a whole number of 0 or more"),
    "half a thread": (dict(n_threads=1.5), "n_threads is 1.5; give a whole number of 0 or more"),
    "an unknown device": (dict(device="gpu"), "device 'gpu' is not one of cpu, cuda; choose one of them"),
    "another device": (dict(device="cuda"), "is compiled for a CPU, but device cuda is requested"),
    "a head that is not there": (dict(head="dft"), "is compiled for the head Default"),
}


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.parametrize("is_open", [False, True])
def test_invalid_arguments_are_refused(compile_once, name, is_open):
    changes, message = INVALID[name]
    path = compile_once("two_layers")
    given = {"model": CompiledModel(path, n_threads=1) if is_open else path, **changes}
    with pytest.raises(UserInputError, match=re.escape(message)):
        MlipCalculator(**given)


def test_unknown_elements_are_named_by_their_symbols(compile_once):
    model = CompiledModel(compile_once("two_layers"), n_threads=1)
    with pytest.raises(UserInputError, match="does not know Ni; it knows H, O"):
        model.evaluate(build_graph(bulk("Ni"), model.cutoff))


def test_invalid_structures_are_refused(compile_once):
    with pytest.raises(UserInputError, match=r"atoms is str 'H2O'; give an ase.Atoms object"):
        build_graph("H2O", 3.0)
    with pytest.raises(UserInputError, match=r"cutoff is -3.0; give a finite number above 0"):
        build_graph(bulk("Ni"), -3.0)
    with pytest.raises(UserInputError, match=r"graph is Atoms .*; give what build_graph returns"):
        CompiledModel(compile_once("two_layers"), n_threads=1).evaluate(bulk("Ni"))


def test_a_pickle_keeps_threads_and_names_a_file_that_is_gone(compile_once, tmp_path, monkeypatch):
    path = tmp_path / "model.pt2"
    path.write_bytes(compile_once("two_layers").read_bytes())
    monkeypatch.chdir(tmp_path)
    model = CompiledModel("model.pt2", n_threads=1)
    assert pickle.loads(pickle.dumps(model)) is model
    assert CompiledModel(path, n_threads=2) is not model
    kept = pickle.dumps(model)
    del model
    monkeypatch.chdir("/")
    assert pickle.loads(kept).elements == ("H", "O")
    path.unlink()
    with pytest.raises(ModelFileError, match=f"no model file {path}; check the path"):
        pickle.loads(kept)


def test_a_file_that_was_written_again_is_opened_again(compile_once, tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(compile_once("two_layers").read_bytes())
    model = CompiledModel(path, n_threads=1)
    kept = pickle.dumps(model)
    other = tmp_path / "other.pt2"
    other.write_bytes(compile_once("one_layer_of_two").read_bytes())
    other.replace(path)
    assert pickle.loads(kept).elements == ("O", "H")


def test_stresses_of_atoms_sum_to_the_stress(atoms):
    stresses = atoms.get_stresses()
    assert stresses.shape == (len(atoms), 6)
    assert_virials_agree(stresses.sum(axis=0), atoms.get_stress(), tolerances.EXACT_SYMMETRY, "eV/angstrom^3")
    assert np.ptp(stresses, axis=0).min() > 1e-5
    assert set(atoms.calc.implemented_properties) <= set(atoms.calc.results)


def test_stresses_of_atoms_are_those_of_lammps(compile_once, tmp_path):
    path = compile_once("two_layers")
    atoms = bulk("O", "fcc", a=3.4, cubic=True) * (2, 1, 1)
    atoms.symbols = "OHOHHOHO"
    atoms.rattle(0.1, seed=2)
    atoms.wrap()
    write_lammps_data(tmp_path / "atoms.data", atoms, ["H", "O"])
    run_lammps(
        f"""units metal
        read_data atoms.data
        pair_style mlip/torch
        pair_coeff * * {path} H O
        compute s all stress/atom NULL virial
        dump d all custom 1 stress.txt id c_s[1] c_s[2] c_s[3] c_s[6] c_s[5] c_s[4]
        dump_modify d format float %.15g
        run 0
        """,
        1,
        tmp_path,
    )
    lines = (tmp_path / "stress.txt").read_text().split("ITEM: ATOMS")[1].splitlines()[1:]
    table = np.array([line.split() for line in lines], dtype=np.float64)
    of_lammps = table[np.argsort(table[:, 0]), 1:] / BAR_PER_EV_PER_CUBIC_ANGSTROM / atoms.get_volume()
    atoms.calc = MlipCalculator(path, n_threads=1)
    for mine, theirs in zip(atoms.get_stresses(), of_lammps, strict=True):
        assert_virials_agree(mine, theirs, tolerances.EXACT_SYMMETRY, "eV/angstrom^3")


def test_a_molecule_has_no_stresses(compile_once):
    atoms = isolated_molecule(box=None, seed=8)
    atoms.calc = MlipCalculator(compile_once("two_layers"), n_threads=1)
    with pytest.raises(PropertyNotImplementedError, match="set cell and pbc"):
        atoms.get_stresses()


def test_atoms_that_are_too_close_are_named_once(compile_once):
    path = compile_once("two_layers")
    smallest = read_metadata(path)["min_distances"][0][1]
    atoms = Atoms("OHH", positions=[[0, 0, 0], [0, 0, 1.2], [0, smallest - 0.05, 0]])
    atoms.calc = MlipCalculator(path, n_threads=1)
    text = rf"atom 0 \(O\) and atom 2 \(H\), counted from 0, are {smallest - 0.05:.4g} angstrom apart.* {smallest:.4g}"
    with pytest.warns(CloseAtomsWarning, match=text) as found:
        BFGS(atoms, logfile=None).run(steps=0)
    assert found[0].filename == __file__, "the warning does not point to the user's line"
    atoms.positions[2, 1] -= 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()


def test_atoms_at_the_smallest_distance_are_not_warned_of(compile_once):
    path = compile_once("two_layers")
    smallest = read_metadata(path)["min_distances"][0][1]
    atoms = Atoms("OH", positions=[[0, 0, 0], [0, 0, smallest + 1e-6]])
    atoms.calc = MlipCalculator(path, n_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()
