"""GPU kernels and engine, emulated on this CPU, against the reference; every export compares them too."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from mlip_lammps.compilation import check, export_model
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families.mace import MaceReference, lower, write_portable
from mlip_lammps.kernels.gpu import shapes, tables
from mlip_lammps.kernels.gpu.model import plan_model
from mlip_lammps.kernels.gpu.source import Kernel, KernelSource, spilling_kernels
from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.emulated_gpu import write_emulated
from mlip_lammps.testing.random_models import DENSITY, DENSITY_RESIDUAL, RESIDUAL, random_model
from mlip_lammps.testing.structures import rattled_triclinic

# Every kernel and code path: padded channels, fewer channels than a warp, slices; sums as moments or convolutions.
MODELS = {
    "one layer, padded channels": dict(elements=("Si",), hidden_irreps="5x0e", l_max=1, n_layers=1, cutoff=3.5),
    "two layers of few channels": dict(elements=("H", "O"), hidden_irreps="6x0e+6x1o", correlation=(3, 2)),
    "three layers with l = 2": dict(n_layers=3, hidden_irreps="4x0e+4x1o+4x2e", l_max=2),
    "moments and repulsion": dict(hidden_irreps="33x0e", l_max=1, pair_repulsion=True),
    "two slices, l_max 3": dict(elements=("Si",), hidden_irreps="64x0e", l_max=3, correlation=3),
    "a residual first layer": dict(interaction=RESIDUAL, elements=("H", "C", "O"), hidden_irreps="40x0e+40x1o"),
    "many elements": dict(elements=range(1, 12), hidden_irreps="16x0e", l_max=1),
    "a cutoff on the weights": dict(n_layers=1, pair_repulsion=True, cutoff_on="weights"),
    "four channels, no products": dict(hidden_irreps="4x0e+4x1o", l_max=1, correlation=1),
    "slices in part padding": dict(elements=("Si", "O"), hidden_irreps="33x0e+33x1o", correlation=(1, 2)),
    "densities": dict(interaction=(DENSITY, DENSITY_RESIDUAL), hidden_irreps="6x0e+6x1o"),
    "densities and pairs of elements": dict(
        interaction=(DENSITY, DENSITY_RESIDUAL), distance_transform="Agnesi", pair_repulsion=True,
        elements=("H", "C", "O"), hidden_irreps="40x0e+40x1o",
    ),
    "moments of pairs of elements": dict(
        interaction=RESIDUAL, distance_transform="Soft", cutoff_on="weights", elements=("H", "O"), hidden_irreps="33x0e"
    ),
    "l of features below l of edges": dict(hidden_irreps="16x0e+16x1o+16x2e", l_max=3, interaction=RESIDUAL),
}
SAME = tolerances.EMULATED_GPU


@pytest.fixture(scope="module")
def emulate(tmp_path_factory):
    """Return a function (trained model, dtype) -> file for the emulated device, without a comparison."""
    folder = tmp_path_factory.mktemp("emulated")

    def write(trained, dtype: str = "float64") -> Path:
        return write_emulated(trained, folder / f"model-{len(list(folder.iterdir()))}.pt2", dtype)

    return write


def differences(found: CompiledModel, trained, atoms: Atoms) -> tuple[float, float]:
    """Return the largest differences from the reference in atomic energies and in gradients (relative)."""
    expected = MaceReference(trained).evaluate(atoms)
    results = found.evaluate(expected.graph)
    energy = np.abs(results.node_energies - expected.node_energies).max(initial=0.0)
    gradient = np.abs(results.edge_gradients - expected.edge_gradients).max(initial=0.0)
    return energy, gradient / max(1.0, np.abs(expected.edge_gradients).max(initial=0.0))


@pytest.mark.parametrize("name", MODELS)
def test_every_kernel_equals_the_reference(name, emulate):
    trained = random_model(**MODELS[name])
    model = CompiledModel(emulate(trained))
    for repeat, seed in (((2, 2, 2), 1), ((1, 1, 1), 2), ((3, 2, 2), 3)):  # smaller and larger than the last
        found = differences(model, trained, rattled_triclinic(model.elements, repeat=repeat, seed=seed))
        assert max(found) < SAME


def test_the_test_models_use_every_kernel():
    # functions of the headers with the warp's position as argument, alone or in a class template
    templates = {"convolution": "Convolution", "moments": "Moments", "contraction": "Contraction", "density": "Density"}
    written, planned = set(), set()
    for header in Path(shapes.__file__).parent.glob("*.h"):
        for static, name in re.findall(r"MLIP_DEVICE (static )?void (\w+)\(Place at", header.read_text()):
            written.add(f"{templates[header.stem]}::{name}" if static else name)
    for shape in MODELS.values():
        lowered = lower(random_model(**shape))
        smallest = torch.ones(2 * [len(lowered.atomic_numbers)])
        for kernel in plan_model(lowered, torch.float64, smallest).kernels:
            planned.add(re.sub(r"<.*?>", "", kernel.body.partition("(")[0]))
    assert planned == written


def test_mixed_precision_agrees_within_its_tolerance(emulate):
    trained = random_model(**MODELS["two layers of few channels"])
    model = CompiledModel(emulate(trained, "mixed"))
    energy, gradient = differences(model, trained, rattled_triclinic(model.elements, repeat=(2, 2, 2), seed=1))
    assert 1e-12 < energy < 2e-4
    assert 1e-12 < gradient < 1e-4


def test_tables_too_coarse_for_a_model_are_refined(tmp_path, monkeypatch):
    source = tmp_path / "model.safetensors"
    write_portable(random_model(**MODELS["two layers of few channels"]), source)
    coarse = export_model(source, tmp_path / "coarse.pt2", device="emulated").metadata
    limit = 0.5 * coarse["differences"]["table_force_ev_per_angstrom"]
    monkeypatch.setitem(check.TABLE_FORCE, "mixed", limit)
    fine = export_model(source, tmp_path / "fine.pt2", device="emulated").metadata
    assert fine["differences"]["table_force_ev_per_angstrom"] < limit
    assert {table["degree"] for table in coarse["radial_tables"]} == {3}
    assert {table["degree"] for table in fine["radial_tables"]} == {7}


def test_tables_of_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(tables, "_MOST_BYTES", 100_000)
    lowered = lower(random_model(elements=("H", "C", "O"), hidden_irreps="4x0e", distance_transform="Agnesi"))
    with pytest.raises(UserInputError, match=r"tables of 6 pairs of elements would take .* GB.*--elements Si,O"):
        plan_model(lowered, torch.float64, torch.ones(3, 3))


def test_edge_moments_equal_those_of_a_cpu_file(emulate, trained_models, compile_once):
    found, expected = CompiledModel(emulate(trained_models["two_layers"])), CompiledModel(compile_once("two_layers"))
    atoms = rattled_triclinic(expected.elements, repeat=(2, 2, 2), seed=4)
    atoms.pbc = False
    graph = build_graph(atoms, expected.cutoff)
    one, other = found.evaluate(graph, atoms.positions), expected.evaluate(graph, atoms.positions)
    np.testing.assert_allclose(one.edge_moments, other.edge_moments, rtol=0, atol=1e-9)


def test_zero_one_and_distant_atoms(emulate, trained_models):
    trained = trained_models["two_layers"]
    model = CompiledModel(emulate(trained))
    none = np.zeros(0, dtype=np.int64)
    assert model.evaluate(Graph(none, np.zeros((0, 3)), none, none)).node_energies.size == 0
    for positions in ([[0, 0, 0]], [[0, 0, 0], [50, 0, 0]], [[0, 0, 0], [1.1, 0.3, 0.2]]):
        atoms = Atoms("HO"[: len(positions)], positions=positions)
        assert max(differences(model, trained, atoms)) < SAME


def test_results_repeat_bit_for_bit(emulate, trained_models):
    model = CompiledModel(emulate(trained_models["three_layers"], "mixed"))
    graphs = [build_graph(rattled_triclinic(model.elements, repeat=(2, 2, n), seed=n), model.cutoff) for n in (1, 3, 1)]
    first, _, again = [model.evaluate(graph) for graph in graphs]
    assert np.array_equal(first.node_energies, again.node_energies)
    assert np.array_equal(first.edge_gradients, again.edge_gradients)


def test_a_nan_position_gives_a_nan_energy(emulate, trained_models):
    model = CompiledModel(emulate(trained_models["two_layers"]))
    graph = build_graph(rattled_triclinic(model.elements, repeat=(2, 1, 1), seed=1), model.cutoff)
    edge = graph.n_edges // 2
    graph.edge_vectors[edge] = np.nan
    assert np.isnan(model.evaluate(graph).node_energies[graph.edge_centre[edge]])


@pytest.mark.parametrize(("architecture", "dtype"), [(80, "mixed"), (90, "mixed"), (90, "float64"), (100, "mixed")])
def test_every_kernel_compiles_without_spills(architecture, dtype):
    shape = dict(elements=("Si", "O"), hidden_irreps="32x0e+32x1o", l_max=3, correlation=3, pair_repulsion=True)
    lowered = lower(random_model(**shape, interaction=(DENSITY, DENSITY_RESIDUAL), distance_transform="Agnesi"))
    source = plan_model(lowered, PRECISIONS[dtype].features, torch.ones(2, 2)).source
    cubin, report = source.cubin(architecture)
    assert cubin[:4] == b"\x7fELF"
    assert report.count("spill stores") == len(source.kernels)
    assert not spilling_kernels(report)


def test_a_register_spill_is_detected():
    # more live values than a thread has registers
    values = "".join(f"double x{k} = p[{k}];" for k in range(200)) + "__syncwarp();"
    body = values + "".join(f"p[{k}] = x{k} * x{(7 * k) % 200};" for k in range(200))
    _, report = KernelSource((), (Kernel("many", (("volatile double *", "p"),), body),)).cubin(90)
    assert spilling_kernels(report) == {"many"}
