"""Export and description of models: compiled models equal trained ones, and invalid input is refused."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from lammps_run import run_command

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import check, export, export_model
from mlip_lammps.core.errors import MlipError, ModelFileError, UserInputError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.engines.lammps.process import find_program
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceReference, lower, write_portable
from mlip_lammps.kernels.cpu import backend as cpu_backend
from mlip_lammps.kernels.cpu.layer_operators import CpuOperators
from mlip_lammps.kernels.operators import OperatorCode
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.model_file.contract import CHECKSUMS_PATH, FINE_TABLE, METADATA_PATH
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree, assert_node_energies_agree
from mlip_lammps.testing.structures import rattled_triclinic, smaller_than_cutoff

REPOSITORY = Path(__file__).resolve().parents[1]
TIME_LIMIT = 300.0
CHOSEN = ("O", "H")
SOURCE, OUTPUT = "tränierte Gewichte.model", "Modell ü.pt2"
"""Names with a blank and letters outside ASCII, which LAMMPS and compilers would damage."""

MAKE_MACE_MODEL = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from mace_torch_models import make_model
torch.set_default_dtype(torch.float64)
options = {"n_layers": 1, "hidden": "4x0e", "l_max": 1, "correlation": 2, "elements": [1, 6, 8]}
torch.save(make_model(options, seed=0), sys.argv[2])
"""


@pytest.fixture(scope="module")
def mace_file(tmp_path_factory) -> Path:
    """Return a mace-torch model file for H, C and O."""
    interpreter = os.environ.get("MLIP_LAMMPS_MACE_PYTHON", REPOSITORY / ".venv-mace" / "bin" / "python")
    path = tmp_path_factory.mktemp("mace") / SOURCE
    environment = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(
        [interpreter, "-W", "ignore", "-c", MAKE_MACE_MODEL, REPOSITORY / "tests" / "peer", path],
        env=environment, check=True, capture_output=True, timeout=TIME_LIMIT,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def exported(mace_file):
    """Return the mace-torch file, compiled by the command line for two of its elements in reverse order."""
    command = [find_program("mlip-lammps"), "export", mace_file, "-o", OUTPUT, "--elements", ",".join(CHOSEN)]
    command += ["--dtype", "float64"]
    return run_command(command, mace_file.parent, time_limit=TIME_LIMIT)


@pytest.fixture
def recompile_nothing(compile_once, monkeypatch) -> None:
    """Make exports use the programs of ``one_layer`` instead of compiling them again."""
    compiled = compile_once("one_layer")  # before exports are patched, because this call may compile the model

    def copy_programs(model, dtype, radial, operators, output, tell) -> OperatorCode:
        with zipfile.ZipFile(compiled) as source, zipfile.ZipFile(output, "w") as target:
            for name in source.namelist():
                if not name.endswith((METADATA_PATH, CHECKSUMS_PATH)):
                    target.writestr(name, source.read(name))
        metadata = read_metadata(compiled)
        return OperatorCode(record={name: metadata[name] for name in ("programs", "chunk_atoms")})

    monkeypatch.setattr(export, "compile_programs", copy_programs)


def reference_of(compile_once, trained_models, name: str, dtype: str) -> tuple[CompiledModel, MaceReference]:
    return CompiledModel(compile_once(name, dtype), n_threads=1), MaceReference(trained_models[name])


def test_the_command_line_exports_a_mace_torch_file_and_prints_its_use(exported):
    model = exported.folder / OUTPUT
    assert [path.name for path in exported.folder.glob("*.pt2")] == [model.name]
    assert not [path for path in exported.folder.iterdir() if path.name.startswith(".")]
    use = ("pair_coeff * * ${model} O H", f"lmp -var model '{OUTPUT}' -in FILE")
    for words in ("MB", "compile time", "error vs reference", "tables; they change", *use):
        assert words in exported.output


def test_a_reordered_subset_of_elements_gives_the_same_energies(exported, mace_file):
    model = exported.folder / OUTPUT
    assert CompiledModel(model).elements == CHOSEN
    reference = MaceReference(read_model(mace_file))
    for atoms in (rattled_triclinic(CHOSEN, seed=1), smaller_than_cutoff(CHOSEN, seed=2)):
        expected = reference.evaluate(atoms)
        atoms.calc = MlipCalculator(model, n_threads=1)
        tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
        assert_node_energies_agree(atoms.get_potential_energies(), expected.node_energies, tolerance, atoms.numbers)
        assert_forces_agree(atoms.get_forces(), expected.forces, tolerances.LAMMPS_FORCE, atoms.numbers)


def test_an_element_that_was_not_exported_is_refused(exported):
    with pytest.raises(UserInputError, match="does not know C; it knows O, H"):
        Atoms(
            "CO", positions=[[0, 0, 0], [0, 0, 1.2]], calculator=MlipCalculator(exported.folder / OUTPUT)
        ).get_forces()


def test_info_describes_all_three_formats_and_loads_no_native_code(exported, mace_file, portable_models):
    forms = {"compiled": exported.folder / OUTPUT, "mace-torch": mace_file, "portable": portable_models["one_layer"]}
    code = (
        "import sys\n"
        "from mlip_lammps.cli.main import main\n"
        "code = main(['info', sys.argv[1], '--json'])\n"
        "assert not {'torch', 'e3nn', 'lammps'} & set(sys.modules)\n"
        "maps = open('/proc/self/maps').read()\n"
        "assert not [name for name in ('libtorch', 'libmlip', 'liblammps', 'memfd', 'wrapper.so') if name in maps]\n"
        "sys.exit(code)"
    )
    for form, path in forms.items():
        facts = json.loads(run_command([sys.executable, "-c", code, path], exported.folder).output)
        assert facts["form"] == form
        assert facts["cutoff"] == (3.5 if form == "portable" else 4.3)
    table = run_command([find_program("mlip-lammps"), "info", forms["compiled"]], exported.folder).output
    for words in ("compiled", "torch_version", "float64", "O H", SOURCE, "inputs centre_species edge_vectors"):
        assert words in table


def test_info_says_that_other_files_are_not_models(tmp_path, capsys):
    (tmp_path / "text.pt2").write_text("this is no archive\n")
    assert main(["info", str(tmp_path / "text.pt2"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["supported"] is False
    assert "text.pt2 is not a model file" in facts["reason"]
    assert facts["remark"] == "not a compiled file, although its name ends in .pt2"
    assert main(["info", str(tmp_path / "missing.pt2")]) == 2
    assert "missing.pt2" in capsys.readouterr().err


REFUSED = {
    "an unknown element": (["--elements", "Si,Xx"], "does not know element Xx; it knows Si"),
    "an element named twice": (["--elements", "Si,Si"], "must name at least one element, each once"),
    "no element": (["--elements", ""], "must name at least one element, each once"),
    "another suffix": (["-o", "model.pt"], "must end in .pt2"),
    "no such folder": (["-o", "nowhere/model.pt2"], "the folder nowhere does not exist"),
    "the radial network on a GPU": (["--device", "cuda", "--radial", "exact"], "--radial exact runs on a CPU only"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_export_is_refused_before_it_starts(name, portable_models, tmp_path, monkeypatch, capsys):
    options, message = REFUSED[name]
    monkeypatch.chdir(tmp_path)
    output = [] if "-o" in options else ["-o", "model.pt2"]
    assert main(["export", str(portable_models["one_layer"]), *output, *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_folder_or_cannot_be_written_is_refused_first(portable_models, tmp_path):
    folder = tmp_path / "model.pt2"
    folder.mkdir()
    with pytest.raises(UserInputError, match=r"model\.pt2 is a folder; give the name of a file"):
        export_model(portable_models["one_layer"], folder)
    with pytest.raises(UserInputError, match=r"the folder /proc cannot be written to"):
        export_model(portable_models["one_layer"], "/proc/model.pt2")


@pytest.mark.usefixtures("recompile_nothing")
def test_an_output_is_replaced_only_by_a_file_that_passed_the_check(portable_models, tmp_path, monkeypatch):
    output = tmp_path / "model.pt2"
    output.write_text("the older one")
    with monkeypatch.context() as patched:
        impossible = replace(check.TO_REFERENCE["float64"], energy=-1.0, force=-1.0)
        patched.setitem(check.TO_REFERENCE, "float64", impossible)
        with pytest.raises(MlipError, match=r"differs from the reference .*; the file was not written"):
            export_model(portable_models["one_layer"], output, dtype="float64")
    assert output.read_text() == "the older one"
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    report = export_model(portable_models["one_layer"], output, dtype="float64")
    assert read_metadata(output)["differences"] == report.differences.as_dict()
    assert report.differences.energy_per_atom_ev < check.TO_REFERENCE["float64"].energy
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.usefixtures("recompile_nothing")
def test_programs_of_other_weights_do_not_pass_the_check(trained_models, tmp_path):
    trained = trained_models["one_layer"]
    name = "readouts.0.linear.weight"
    changed = trained.weights | {name: 1.001 * trained.weights[name]}
    write_portable(replace(trained, weights=changed), tmp_path / "changed.safetensors")
    with pytest.raises(MlipError, match="differs from the reference"):
        export_model(tmp_path / "changed.safetensors", tmp_path / "model.pt2", dtype="float64")


SIZES = {
    "nothing": (0, []),
    "an atom": (1, []),
    "an atom and its image": (1, [(0, 0)]),
    "two atoms apart": (2, []),
    "two atoms and one edge": (2, [(0, 1)]),
    "the same edge back": (2, [(1, 0)]),
    "three atoms and two edges": (3, [(0, 1), (2, 1)]),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("model", ["one_layer", "two_layers", "three_layers"])
def test_the_smallest_graphs_equal_the_reference(model, name, compile_once, trained_models):
    compiled, reference = reference_of(compile_once, trained_models, model, "float64")
    n_atoms, edges = SIZES[name]
    rng = np.random.default_rng(n_atoms)
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    numbers = np.resize(reference.spec.atomic_numbers, n_atoms).astype(np.int64)
    graph = Graph(numbers, rng.uniform(0.6, 1.4, (len(pairs), 3)), pairs[:, 0].copy(), pairs[:, 1].copy())
    found = compiled.evaluate(graph)

    vectors = torch.tensor(graph.edge_vectors, requires_grad=True)
    arrays = (torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour))
    energies = reference.node_energies(torch.from_numpy(reference.species_of(numbers)), vectors, *arrays)
    (gradients,) = torch.autograd.grad(energies.sum(), vectors, materialize_grads=True)
    assert (found.node_energies.shape, found.edge_gradients.shape) == ((n_atoms,), (len(edges), 3))
    if n_atoms:
        assert_node_energies_agree(found.node_energies, energies.detach().numpy(), tolerances.LAMMPS_ENERGY_PER_ATOM)
    if edges:
        assert_forces_agree(found.edge_gradients, gradients.numpy(), tolerances.LAMMPS_FORCE)


def test_results_do_not_depend_on_the_number_of_threads(compile_once):
    path = compile_once("two_layers")
    atoms = rattled_triclinic(repeat=(5, 5, 5), seed=3)
    n_threads = torch.get_num_threads()
    try:
        one, two = (_evaluate(CompiledModel(path, n_threads=n), atoms) for n in (1, 2))
    finally:
        torch.set_num_threads(n_threads)
    assert_node_energies_agree(two.node_energies, one.node_energies, tolerances.EXACT_SYMMETRY)
    assert_forces_agree(two.edge_gradients, one.edge_gradients, tolerances.EXACT_SYMMETRY)


@pytest.mark.parametrize(("model", "dtype"), [("two_layers", "mixed"), ("one_layer", "float32")])
def test_other_precisions_agree_within_their_tolerances(model, dtype, compile_once, trained_models):
    compiled, reference = reference_of(compile_once, trained_models, model, dtype)
    tolerance = check.TO_REFERENCE[dtype]
    for atoms in (rattled_triclinic(compiled.elements, seed=1), smaller_than_cutoff(compiled.elements, seed=2)):
        expected, found = reference.evaluate(atoms), _evaluate(compiled, atoms)
        assert_node_energies_agree(found.node_energies, expected.node_energies, tolerance.energy, atoms.numbers)
        scale = max(1.0, np.abs(expected.edge_gradients).max())
        assert_forces_agree(found.edge_gradients, expected.edge_gradients, scale * tolerance.force)
        difference = np.abs(found.edge_gradients - expected.edge_gradients).max()
        assert difference > 1e-12, "as exact as float64: the precision had no effect"


def test_a_model_file_that_is_damaged_is_refused(compile_once, tmp_path):
    content = compile_once("one_layer").read_bytes()
    (tmp_path / "half.pt2").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFileError, match=r"half\.pt2 is truncated or damaged .* copy it again"):
        CompiledModel(tmp_path / "half.pt2")
    with pytest.raises(ModelFileError, match=r"no model file .*; check the path"):
        CompiledModel(tmp_path / "missing.pt2")


def test_two_copies_of_a_file_in_one_process_do_not_mix(compile_once, tmp_path):
    first = compile_once("one_layer")
    second = Path(shutil.copy(first, tmp_path / "copy.pt2"))
    atoms = rattled_triclinic(("Si",), seed=4)
    a, b = CompiledModel(first), CompiledModel(second)
    one, two = _evaluate(a, atoms), _evaluate(b, atoms)
    del a
    assert_energies_agree(two.node_energies.sum(), one.node_energies.sum(), len(atoms), tolerances.EXACT_SYMMETRY)
    assert_forces_agree(_evaluate(b, atoms).edge_gradients, one.edge_gradients, tolerances.EXACT_SYMMETRY)


def _evaluate(model: CompiledModel, atoms: Atoms):
    return model.evaluate(build_graph(atoms, model.cutoff))


def test_the_reference_on_the_same_tables_equals_the_compiled_model(compile_once, trained_models, tmp_path):
    trained = trained_models["two_layers"]
    kernels = CpuOperators(lower(trained), torch.float64, tmp_path)
    on_tables = MaceReference(trained, radial_functions=kernels.tabulated())
    atoms = rattled_triclinic(("H", "O"), repeat=(2, 2, 3), seed=4)
    expected = on_tables.evaluate(atoms)
    results = CompiledModel(compile_once("two_layers")).evaluate(expected.graph)
    assert np.abs(results.node_energies - expected.node_energies).max() < tolerances.TABLE_REFERENCE
    assert np.abs(results.edge_gradients - expected.edge_gradients).max() < tolerances.TABLE_REFERENCE
    exact = MaceReference(trained).evaluate(atoms)
    differences = {
        "same tables": np.abs(results.edge_gradients - expected.edge_gradients).max(),
        "network": np.abs(results.edge_gradients - exact.edge_gradients).max(),
    }
    assert differences["same tables"] < 0.1 * differences["network"], differences


def test_the_metadata_state_the_effect_of_the_tables_on_forces(compile_once, trained_models, tmp_path):
    for dtype, limit in (("float64", 1e-7), ("mixed", 1e-6)):
        assert check.TABLE_FORCE[dtype] == limit
        metadata = read_metadata(compile_once("two_layers", dtype))
        assert 0.0 < metadata["differences"]["table_force_ev_per_angstrom"] < limit
    flags = set(metadata["machine"]["cpu_flags"])
    assert (metadata["instruction_set"] == "avx512") == ("avx512f" in flags), metadata["instruction_set"]


def test_tables_that_change_a_force_too_much_are_refused(compile_once, trained_models, tmp_path):
    trained, compiled = trained_models["one_layer"], CompiledModel(compile_once("one_layer"), n_threads=1)
    kernels = CpuOperators(lower(trained), torch.float64, tmp_path)
    right = kernels.tabulated()
    check.check_compiled(compiled, check.expected_results(MaceReference(trained), ["Si"], "float64", right))
    wrong = [lambda distances: right[0](distances) * (1.0 + 1e-6)]
    with pytest.raises(MlipError, match=r"radial tables change a force .* \(limit 1e-07\).* --radial exact"):
        check.expected_results(MaceReference(trained), ["Si"], "float64", wrong)


def test_tables_that_are_too_coarse_for_a_model_are_made_finer(portable_models, trained_models, tmp_path, monkeypatch):
    forms = []

    def kernels(form: str) -> CpuOperators:
        return CpuOperators(lower(trained_models["one_layer"]), torch.float64, tmp_path, form)

    def tabulate(model, dtype, radial, operators, output, tell) -> OperatorCode:
        forms.append(radial)
        with zipfile.ZipFile(output, "w") as archive:
            archive.writestr("model/version", "3")
        return OperatorCode(tables=kernels(radial).tabulated())

    monkeypatch.setattr(export, "compile_programs", tabulate)
    monkeypatch.setattr(cpu_backend, "FINE_TABLE_FORCE", 0.0)
    monkeypatch.setitem(check.TABLE_FORCE, "float64", 0.0)
    with pytest.raises(MlipError, match="radial tables change a force"):
        export_model(portable_models["one_layer"], tmp_path / "model.pt2", dtype="float64")
    assert forms == ["table", FINE_TABLE]
    usual, fine = (kernels(form).tables[0] for form in forms)
    assert fine.n_intervals > usual.n_intervals
    assert fine.slope_error < 0.5 * usual.slope_error


def test_exact_radial_functions_equal_the_network(portable_models, trained_models, tmp_path):
    report = export_model(portable_models["one_layer"], tmp_path / "exact.pt2", dtype="float64", radial="exact")
    assert report.metadata["radial"] == "exact"
    assert report.metadata["chunk_atoms"] <= 64
    assert report.metadata["instruction_set"]  # that of the C++ kernels
    assert report.metadata["differences"]["table_force_ev_per_angstrom"] is None
    assert report.differences.gradient_ev_per_angstrom < tolerances.EXACT_RADIAL


def test_no_library_of_a_file_asks_for_an_executable_stack(compile_once, tmp_path):
    """Since version 2.41, glibc refuses to open such a library."""
    with zipfile.ZipFile(compile_once("one_layer")) as archive:
        libraries = [archive.extract(name, tmp_path) for name in archive.namelist() if name.endswith(".so")]
    assert len(libraries) >= 2
    for library in libraries:
        shown = subprocess.run(["readelf", "-lW", library], check=True, capture_output=True, text=True).stdout
        assert "RWE" not in next(line for line in shown.splitlines() if "GNU_STACK" in line)


def test_an_unknown_radial_form_is_refused(portable_models, tmp_path):
    with pytest.raises(UserInputError, match="radial 'spline' is not one of table, exact"):
        export_model(portable_models["one_layer"], tmp_path / "model.pt2", radial="spline")


def with_metadata(model: Path, copy: Path, **entries) -> Path:
    """Write a copy of ``model`` with changed metadata ``entries``, without the list of checksums."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(CHECKSUMS_PATH):
                continue
            if name.endswith(METADATA_PATH):
                content = json.dumps(json.loads(content) | {"has_checksums": False} | entries).encode()
            target.writestr(name, content)
    return copy


@pytest.mark.parametrize("name", ["one_layer", "two_layers", "three_layers"])
def test_chunks_do_not_change_the_result(name, compile_once, tmp_path):
    whole, chunked = compile_once(name), with_metadata(compile_once(name), tmp_path / "chunked.pt2", chunk_atoms=5)
    model = CompiledModel(whole)
    atoms = rattled_triclinic(model.elements, repeat=(3, 3, 4), seed=6)
    atoms.positions[:7] += 50.0 * np.arange(1, 8)[:, None]  # some centres with few edges or none
    atoms.pbc = False
    graph = build_graph(atoms, model.cutoff)
    assert np.bincount(graph.edge_centre, minlength=len(atoms))[:7].max() == 0
    one, many = model.evaluate(graph), CompiledModel(chunked).evaluate(graph)
    np.testing.assert_allclose(many.node_energies, one.node_energies, rtol=0, atol=1e-12)
    np.testing.assert_allclose(many.edge_gradients, one.edge_gradients, rtol=0, atol=1e-11)
