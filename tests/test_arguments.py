"""Invalid arguments of public functions: one error that names the argument, the value found and those expected."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT

from mlip_lammps import workflows
from mlip_lammps.analysis.green_kubo import read_heat_flux, thermal_conductivity
from mlip_lammps.analysis.molecules import find_broken_molecules
from mlip_lammps.analysis.rdf import radial_distribution, read_lammps_rdf
from mlip_lammps.analysis.thermo import read_thermo
from mlip_lammps.compilation import compiled_model, export_model, runnable_model
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.lammps import LammpsSession
from mlip_lammps.families import read_model
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.boxes import build_box
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.workflows.dynamics.run import FinishedRun
from mlip_lammps.workflows.estimate import estimate_run
from mlip_lammps.workflows.settings import NUMBERS

NAME = "water-revpbe0d3"
COPPER = bulk("Cu", cubic=True)
CALLS = {
    "no model to read": (lambda: read_model(None), "model is None; give the path"),
    "no model to run": (lambda: runnable_model(3), "model is 3; give the path"),
    "a list of devices": (lambda: compiled_model(NAME, device=["cpu"]), "device ['cpu'] is not one of cpu, cuda;"),
    "an unknown precision": (lambda: export_model(NAME, "a.pt2", dtype=None), "dtype None is not one of float64"),
    "no output": (lambda: export_model(NAME, None), "output is None; give the path of the .pt2 file to write"),
    "elements in one string": (lambda: export_model(NAME, "a.pt2", elements="HO"), "elements is 'HO'; give a list of"),
    "atomic numbers": (lambda: compiled_model(NAME, elements=[1, 8]), "elements is [1, 8]; give a list of symbols"),
    "one distance": (lambda: export_model(NAME, "a.pt2", smallest=0.8), "smallest is float 0.8; give a dictionary"),
    "a list of files": (lambda: CompiledModel(["a.pt2"]), "path is ['a.pt2']; give a path or a string"),
    "true threads": (lambda: CompiledModel("a.pt2", n_threads=True), "n_threads is True; give a whole number of 0"),
    "no molecule": (lambda: build_box(None, 3, 1.0), "molecule is NoneType None; give an ase.Atoms object"),
    "half a molecule": (lambda: build_box(molecule("H2O"), 2.5, 1.0), "n_molecules is 2.5; give a whole number of 1"),
    "no density": (lambda: build_box(molecule("H2O"), 2, np.nan), "density_g_cm3 is nan; give a finite number above"),
    "no atoms": (lambda: write_lammps_data("a.data", None, ["H"]), "atoms is NoneType None; give an ase.Atoms object"),
    "no elements": (lambda: write_lammps_data("a.data", COPPER, None), "elements is None; give a list of symbols"),
    "no cutoff": (lambda: build_graph(COPPER, 0.0), "cutoff is 0.0; give a finite number above 0"),
    "no log": (lambda: read_thermo(None), "log_file is None; give a path or a string"),
    "a missing log": (lambda: read_thermo("none.log"), "none.log does not exist; give a log file of LAMMPS"),
    "a missing g(r)": (lambda: read_lammps_rdf("none.txt"), "none.txt does not exist; add fix ave/time"),
    "no heat flux": (lambda: read_heat_flux(None), "path is None; give a path or a string"),
    "no flux": (lambda: thermal_conductivity(None, 1.0), "heat_flux is NoneType None; give what read_heat_flux"),
    "half a bin": (lambda: radial_distribution([COPPER], ("Cu", "Cu"), 3.0, 0.5), "n_bins is 0.5; give a whole number"),
    "a negative radius": (lambda: radial_distribution([COPPER], ("Cu", "Cu"), -3.0, 5), "r_max is -3.0; give a finite"),
    "half a bond": (lambda: find_broken_molecules([COPPER], ("O", "H"), 0.5, 1.2), "n_bonds is 0.5; give a whole"),
    "half an atom": (lambda: estimate_run("a.pt2", 0.5), "the number of atoms is 0.5; give a whole number of 1"),
    "a number of ranks": (lambda: LammpsSession(3), "communicator is int 3; give a communicator of mpi4py"),
    "one option": (lambda: LammpsSession(command_line="-echo none"), "command_line is '-echo none'; give a list of"),
}


@pytest.mark.parametrize("name", CALLS)
def test_invalid_arguments_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, message = CALLS[name]
    with pytest.raises(UserInputError, match=re.escape(message)):
        call()


def test_positions_of_other_atoms_are_refused(compile_once):
    model = CompiledModel(compile_once("two_layers"), n_threads=1)
    graph = build_graph(molecule("H2O"), model.cutoff)
    with pytest.raises(UserInputError, match=re.escape("positions have the shape (2, 3); give (3, 3)")):
        model.evaluate(graph, np.zeros((2, 3)))


WORKFLOWS = {
    "adsorb": (fcc111("Cu", (1, 1, 3), vacuum=8.0), molecule("CO")),
    "converge_supercell": (COPPER,),
    "cut_slabs": (COPPER, (1, 1, 1), 3),
    "dynamics_results": (FinishedRun(Path("."), workflows.DynamicsSettings(), 1000),),
    "elastic_tensor": (COPPER,),
    "equation_of_state": (COPPER,),
    "gruneisen": (COPPER,),
    "lattice_conductivity": (COPPER,),
    "layer_elastic_tensor": (COPPER,),
    "minimize": (COPPER,),
    "mode_spectra": (None, "run"),
    "phonon_frequencies": (COPPER, (1, 1, 1), ["G"]),
    "phonons": (COPPER,),
    "quasi_harmonic": (COPPER,),
    "reaction_path": (molecule("CO"), molecule("CO")),
    "relax": (COPPER,),
    "run_dynamics": (COPPER, workflows.DynamicsSettings(), "run"),
    "surface_energies": (COPPER, (1, 1, 1)),
    "vibrations": (molecule("CO"),),
}
"""Arguments of the workflows, without the calculator."""


class Untouched(EMT):
    """Calculator with a model file that must not be asked for anything."""

    model = type("Model", (), {"path": "a.pt2", "elements": ("Cu", "C", "O"), "cutoff": 1.0})

    def calculate(self, *arguments, **options):
        raise AssertionError("forces were computed before the settings were checked")


def numeric(function) -> dict[str, str]:
    """Return the parameters of a function that are numbers or sequences of numbers."""
    parameters = inspect.signature(function).parameters.values()
    found = {parameter.name: str(parameter.annotation) for parameter in parameters}
    numbers = {n: kind for n, kind in found.items() if re.search(r"float|int\b", kind)}
    return {n: kind for n, kind in numbers.items() if not re.search("Mapping|Callable", kind)}


def calls(kind: str) -> list[tuple[str, str]]:
    functions = {name: getattr(workflows, name) for name in WORKFLOWS}
    return [
        (name, setting) for name, function in functions.items() for setting, annotation in numeric(function).items()
        if ("Sequence" in annotation) == (kind == "sequence") and setting not in ("q_points", "layers")
    ]  # fmt: skip


def call(name: str, **settings) -> None:
    function, arguments = getattr(workflows, name), list(WORKFLOWS.get(name, [{"Cu": COPPER}]))
    if "calculator" in (parameters := list(inspect.signature(function).parameters)):
        arguments.insert(parameters.index("calculator"), Untouched())
    bound = inspect.signature(function).bind_partial(*arguments)
    function(**{**bound.arguments, **settings})


def test_every_workflow_with_numbers_is_tested():
    functions = [name for name in workflows.__all__ if inspect.isfunction(getattr(workflows, name))]
    assert {name for name in functions if numeric(getattr(workflows, name))} == set(WORKFLOWS)


@pytest.mark.parametrize(("name", "setting"), calls("scalar"))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e9, "3", True, [1]], ids=repr)
def test_no_workflow_starts_with_a_number_that_cannot_be(name, setting, value):
    with pytest.raises(UserInputError, match=re.escape(f"{setting} is {value!r}; give {NUMBERS[setting]}")):
        call(name, **{setting: value})


@pytest.mark.parametrize(("name", "setting"), calls("sequence"))
@pytest.mark.parametrize("value", [[float("nan")] * 3, [-1e9] * 6, 3, "222", [[1, 1, 1]]], ids=repr)
def test_no_workflow_starts_with_numbers_that_cannot_be(name, setting, value):
    with pytest.raises(UserInputError, match=re.escape(f"{setting} is {value!r}; give ")):
        call(name, **{setting: value})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("relax", {"mask": [1, 1, 1, 0, 0, 2], "cell": "free"}, "mask is [1, 1, 1, 0, 0, 2]; give 6 numbers"),
        ("relax", {"force_tolerance": 100.0}, "force_tolerance is 100.0; give a finite number above 0 and at most 1"),
        ("relax", {"max_steps": 10**400}, "give a whole number of 1 or more"),
        ("relax", {"max_steps": 0}, "max_steps is 0; give a whole number of 1 or more"),
        ("phonons", {"temperatures": [300, 200]}, "temperatures is [300, 200]; give them in ascending order"),
        ("quasi_harmonic", {"temperatures": [0.0]}, "temperatures is [0.0]; give 2 or more numbers"),
        ("equation_of_state", {"length_factors": [1.0] * 5}, "1 different volumes are too few for a fit"),
        ("elastic_tensor", {"force_tolerance": 0.05}, "expected at most 0.001 for a strain of 0.005"),
        ("formation_energies", {"energies": {"Cu": float("nan")}}, "energies['Cu'] is nan; give a finite number"),
        ("formation_energies", {"energies": {}}, "energies['Cu'] is None; give a finite number"),
        ("surface_energies", {"layers": [3.5, 4]}, "layers is [3.5, 4]; give 1 or more numbers, each a whole"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(name, settings, message):
    with pytest.raises(UserInputError, match=re.escape(message)):
        call(name, **settings)


EVALUATING = sorted(set(WORKFLOWS) - {"cut_slabs", "dynamics_results", "minimize", "mode_spectra", "run_dynamics"})
"""Workflows of any ASE calculator."""


@pytest.mark.parametrize("name", EVALUATING)
@pytest.mark.parametrize(("value", "found"), [(None, "None"), (EMT, "the class EMT")])
def test_no_workflow_starts_without_a_calculator(name, value, found):
    with pytest.raises(UserInputError, match=f"the calculator is {found}; give an ASE calculator"):
        call(name, calculator=value)


@pytest.mark.parametrize("name", EVALUATING)
@pytest.mark.parametrize("part", ["positions", "cell"])
def test_no_workflow_starts_with_a_structure_that_is_not_finite(name, part):
    first, *_ = inspect.signature(getattr(workflows, name)).parameters
    broken = WORKFLOWS[name][0].copy()
    getattr(broken, part)[0, 0] = np.nan
    with pytest.raises(UserInputError, match=r"0 of the .*, counted from 0, is .* give finite numbers"):
        call(name, **{first: broken})
