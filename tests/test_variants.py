"""Interaction blocks, radial functions and products beyond those of plain MACE: reference, layers, kernels, LAMMPS.

Their numbers against mace-torch are in ``tests/peer``.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from lammps_run import run_driver
from lammps_structures import parity_structures

from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import read_model
from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.families.mace import MaceModel, MaceReference, lower, write_portable
from mlip_lammps.families.mace.layers import MaceChain
from mlip_lammps.kernels.cpu import neighbour_sums
from mlip_lammps.kernels.cpu.layer_operators import CpuOperators
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.pair_tables import PairKinds
from mlip_lammps.kernels.torch.layer_operators import TorchOperators
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import (
    assert_energies_agree,
    assert_forces_agree,
    assert_node_energies_agree,
    assert_virials_agree,
)
from mlip_lammps.testing.random_models import (
    ATTENTION,
    DENSITY,
    DENSITY_RESIDUAL,
    NON_LINEAR,
    REAL_AGNOSTIC,
    RESIDUAL,
    random_model,
)
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("Si", "O", "Ni")
SHAPE = dict(elements=ELEMENTS, hidden_irreps="8x0e+8x1o", l_max=2, correlation=2, n_layers=2, cutoff=4.0)
KINDS = {
    "density": dict(interaction=(DENSITY, DENSITY_RESIDUAL)),
    "agnesi": dict(interaction=(REAL_AGNOSTIC, RESIDUAL), distance_transform="Agnesi"),
    "density_agnesi": dict(interaction=(DENSITY, DENSITY_RESIDUAL), distance_transform="Agnesi", pair_repulsion=True),
    "density_soft": dict(
        interaction=(DENSITY_RESIDUAL, DENSITY), distance_transform="Soft", cutoff_on="weights", pair_repulsion=True
    ),
    "edge_irreps": dict(interaction=(REAL_AGNOSTIC, RESIDUAL), edge_irreps="4x0e+4x1o"),
    "uneven_edge_irreps": dict(interaction=NON_LINEAR, edge_irreps="5x0e+3x1o+2x2e", cutoff_on="weights"),
    "nonlinear": dict(interaction=NON_LINEAR),
    "nonlinear_without_hidden_layers": dict(interaction=NON_LINEAR, radial_widths=(), cutoff_on="weights"),
    "nonlinear_foundation": dict(
        interaction=NON_LINEAR, distance_transform="Agnesi", cutoff_on="weights", pair_repulsion=True,
        edge_irreps="4x0e+4x1o+4x2e", is_product_by_element=False,
    ),
    "attention": dict(interaction=ATTENTION, cutoff_on="weights"),
    "attention_on_basis": dict(interaction=ATTENTION),
    "attention_three_layers": dict(
        interaction=ATTENTION, cutoff_on="weights", n_layers=3, l_max=1, avg_num_neighbors=5.0
    ),
    "attention_edge_irreps": dict(
        interaction=(RESIDUAL, ATTENTION), edge_irreps="4x0e+4x1o", cutoff_on="weights", distance_transform="Agnesi"
    ),
}
COMPILED = (
    "density", "density_agnesi", "edge_irreps", "uneven_edge_irreps", "nonlinear", "nonlinear_foundation",
    "attention_three_layers",
)  # fmt: skip

PAIR_TABLES = {torch.float64: 1e-8, torch.float32: 1e-5}
"""Relative to the largest value: tables are within 1e-9 (5e-8) of the steepest slope."""
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5}


def model_of(kind: str) -> MaceModel:
    """Return a random model whose energies are about as large as those of a trained one."""
    trained = random_model(seed=3, **{**SHAPE, **KINDS[kind]})
    return replace(trained, weights=trained.weights | {"scale_shift.scale": np.array([0.1])})


@pytest.fixture(scope="module")
def kernel_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def compiled_file(tmp_path_factory) -> Callable[[str], Path]:
    """Return a function that compiles a kind of model once."""
    folder = tmp_path_factory.mktemp("variants")

    @cache
    def compile_kind(kind: str) -> Path:
        write_portable(model_of(kind), folder / f"{kind}.safetensors")
        return compiled_model(folder / f"{kind}.safetensors", dtype="float64")

    return compile_kind


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "attention_three_layers"])
def test_layers_equal_the_reference(kind):
    trained, atoms = model_of(kind), rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=3)
    reference, lowered = MaceReference(trained), lower(trained)
    expected, graph = reference.evaluate(atoms), build_graph(atoms, trained.cutoff)
    chain = MaceChain(lowered, "float64", TorchOperators(lowered, "float64"))
    species = torch.from_numpy(reference.species_of(graph.atomic_numbers))
    vectors = torch.tensor(graph.edge_vectors, requires_grad=True)
    pairs = torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour)
    edges = EdgeGraph(species, vectors, *pairs, species)
    handed, energies = chain.layer(1, edges, None, None)
    later = EdgeGraph(species, vectors, *pairs, edge_species=species[pairs[1]])
    energies = energies + chain.layer(2, later, handed["features_1"], handed.get("skips_1"))[1]
    (gradients,) = torch.autograd.grad(energies.sum(), vectors)
    tolerance = tolerances.EXACT_RADIAL
    assert_node_energies_agree(energies.detach().numpy(), expected.node_energies, tolerance, atoms.numbers)
    assert_forces_agree(gradients.numpy(), expected.edge_gradients, tolerance)


@pytest.mark.parametrize("kind", ["density", "agnesi", "density_agnesi", "density_soft"])
def test_the_feature_changes_the_forces(kind):
    trained, atoms = model_of(kind), rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=3)
    found = MaceReference(trained).evaluate(atoms)
    plain = random_model(seed=3, **SHAPE, **{**KINDS[kind], "distance_transform": None})
    layers = tuple(
        replace(layer, interaction=layer.interaction.replace("Density", ""), avg_num_neighbors=1.0)
        for layer in plain.spec.layers
    )
    without = MaceReference(replace(plain, spec=replace(plain.spec, layers=layers))).evaluate(atoms)
    assert np.abs(found.forces - without.forces).max() > 1e-3


def test_forces_are_minus_the_gradient_of_the_energy():
    model, step = MaceReference(model_of("density_agnesi")), tolerances.CENTRAL_DIFFERENCE_STEP
    atoms = rattled_triclinic(ELEMENTS, seed=3)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[1, 1] += sign * step
        energies.append(model.evaluate(moved).energy)
    slope = (energies[0] - energies[1]) / (2 * step)
    tolerance = 10 * tolerances.CENTRAL_DIFFERENCE_FORCE * max(1.0, abs(slope))
    assert abs(slope + model.evaluate(atoms).forces[1, 1]) < tolerance


def test_scalars_of_both_atoms_matter_in_an_attention_block():
    trained, atoms = model_of("attention"), rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=3)
    forces, name = MaceReference(trained).evaluate(atoms).forces, "interactions.1.conv_tp_weights.layer0.weight"
    for rows in (slice(6, 70), slice(70, 134)):
        weight = trained.weights[name].copy()
        weight[rows] = 0.0
        without = MaceReference(replace(trained, weights=trained.weights | {name: weight})).evaluate(atoms)
        assert np.abs(forces - without.forces).max() > 1e-3


@pytest.mark.parametrize("name", ["interactions.0.beta", "interactions.1.source_embedding.weight"])
def test_density_and_elements_matter_in_a_non_linear_block(name):
    trained, atoms = model_of("nonlinear"), rattled_triclinic(ELEMENTS, repeat=(2, 2, 2), seed=3)
    without = replace(trained, weights=trained.weights | {name: 0.0 * trained.weights[name]})
    difference = MaceReference(trained).evaluate(atoms).forces - MaceReference(without).evaluate(atoms).forces
    assert np.abs(difference).max() > 1e-4


@pytest.mark.parametrize("kind", COMPILED)
def test_the_compiled_model_equals_the_reference(kind, compiled_file):
    compiled, reference = CompiledModel(compiled_file(kind), n_threads=1), MaceReference(model_of(kind))
    for atoms in parity_structures(ELEMENTS).values():
        expected = reference.evaluate(atoms)
        found = compiled.evaluate(build_graph(atoms, compiled.cutoff))
        scale = max(1.0, np.abs(expected.edge_gradients).max(initial=0.0))
        tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
        assert_node_energies_agree(found.node_energies, expected.node_energies, scale * tolerance, atoms.numbers)
        assert_forces_agree(found.edge_gradients, expected.edge_gradients, scale * tolerances.LAMMPS_FORCE)


@pytest.mark.parametrize("kind", ["agnesi", "nonlinear_foundation", "nonlinear_without_hidden_layers", "density_soft"])
def test_exact_radial_functions_of_pairs_run_in_the_kernels(kind, tmp_path):
    write_portable(model_of(kind), tmp_path / "model.safetensors")
    export_model(tmp_path / "model.safetensors", tmp_path / "exact.pt2", dtype="float64", radial="exact")
    compiled, reference = CompiledModel(tmp_path / "exact.pt2", n_threads=1), MaceReference(model_of(kind))
    assert compiled.metadata["radial"] == "exact"
    assert compiled.metadata["instruction_set"]  # that of the C++ kernels
    for atoms in parity_structures(ELEMENTS).values():
        expected = reference.evaluate(atoms)
        found = compiled.evaluate(build_graph(atoms, compiled.cutoff))
        scale = max(1.0, np.abs(expected.edge_gradients).max(initial=0.0))
        tolerance = scale * tolerances.EXACT_RADIAL
        assert_node_energies_agree(found.node_energies, expected.node_energies, tolerance, atoms.numbers)
        assert_forces_agree(found.edge_gradients, expected.edge_gradients, tolerance)


def test_many_chunks_of_centres_equal_the_reference(compiled_file):
    atoms = rattled_triclinic(ELEMENTS, repeat=(9, 8, 8), seed=5)
    compiled = CompiledModel(compiled_file("density_agnesi"), n_threads=1)
    assert len(atoms) > compiled.metadata["chunk_atoms"]
    expected = MaceReference(model_of("density_agnesi")).evaluate(atoms)
    found = compiled.evaluate(build_graph(atoms, compiled.cutoff))
    scale = max(1.0, np.abs(expected.forces).max())
    assert_forces_agree(found.forces, expected.forces, scale * tolerances.LAMMPS_FORCE, atoms.numbers)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("kind", ["density_agnesi", "nonlinear_foundation", "attention_three_layers"])
def test_lammps_equals_ase(kind, n_ranks, compiled_file, tmp_path):
    path = compiled_file(kind)
    run_driver("lammps_driver.py", n_ranks, tmp_path, path, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as results:
        for name, atoms in parity_structures(ELEMENTS).items():
            atoms.calc = MlipCalculator(path, n_threads=1)
            found = {key: results[f"{name}/{key}"] for key in ("energy", "forces")}
            tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
            assert_energies_agree(found["energy"], atoms.get_potential_energy(), len(atoms), tolerance)
            assert_forces_agree(found["forces"], atoms.get_forces(), tolerances.LAMMPS_FORCE, atoms.numbers)
            if atoms.pbc.all():
                per_atom = atoms.get_volume() / len(atoms)
                stress = per_atom * results[f"{name}/stress"]
                assert_virials_agree(stress, per_atom * atoms.get_stress(), tolerances.LAMMPS_VIRIAL_PER_ATOM)


@pytest.mark.parametrize("kind", ["density_agnesi", "nonlinear_foundation"])
def test_a_choice_of_elements_in_another_order_gives_the_same_energies(kind, tmp_path):
    trained, chosen = model_of(kind), ("Ni", "Si")
    write_portable(trained, tmp_path / "model.safetensors")
    export_model(tmp_path / "model.safetensors", tmp_path / "two.pt2", dtype="float64", elements=chosen)
    compiled, atoms = CompiledModel(tmp_path / "two.pt2", n_threads=1), rattled_triclinic(chosen, seed=1)
    expected, found = MaceReference(trained).evaluate(atoms), compiled.evaluate(build_graph(atoms, compiled.cutoff))
    assert_forces_agree(found.forces, expected.forces, tolerances.LAMMPS_FORCE, atoms.numbers)


@pytest.mark.parametrize("kind", ["nonlinear", "attention_on_basis"])
def test_edges_beyond_the_cutoff_add_nothing_in_plain_torch(kind):
    """Networks with biases are not zero where the basis is."""
    model = lower(model_of(kind))
    plain = TorchOperators(model, "float64")
    chain = MaceChain(model, "float64", plain)
    vectors = torch.tensor([[0.0, 0.0, 2.0 * model.cutoff], [model.cutoff, 0.0, 0.0]], dtype=torch.float64)
    index, species = torch.tensor([0, 0]), torch.tensor([0])
    graph = EdgeGraph(species, vectors, index, index, species)
    assert chain.messages(1, graph, None).abs().max() == 0.0
    assert chain.density(1, graph) is None or chain.density(1, graph).abs().max() == 0.0


def random_edges(n_elements: int, cutoff: float) -> tuple[torch.Tensor, ...]:
    """Return vectors, centres, neighbours and species; some edges are longer than the cutoff."""
    generator, n_local, n_nodes, n_edges = torch.Generator().manual_seed(5), 40, 60, 900
    species = torch.randint(0, n_elements, (n_nodes,), generator=generator)
    directions = torch.randn(n_edges, 3, generator=generator, dtype=torch.float64)
    lengths = cutoff * (0.2 + 0.9 * torch.rand(n_edges, 1, generator=generator, dtype=torch.float64))
    centre = torch.randint(1, n_local, (n_edges,), generator=generator).sort().values  # the first has no edge
    neighbour = torch.randint(0, n_nodes, (n_edges,), generator=generator)
    return torch.nn.functional.normalize(directions, dim=1) * lengths, centre, neighbour, species, species[:n_local]


@pytest.mark.parametrize("are_cheaper", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", ["density_agnesi", "density_soft", "nonlinear_without_hidden_layers"])
def test_kernels_of_element_pairs_equal_the_torch_operators(kind, dtype, are_cheaper, monkeypatch, kernel_folder):
    """With moments in the first layer, and with the convolution there."""
    monkeypatch.setattr(neighbour_sums, "moments_are_cheaper", lambda *_: are_cheaper)
    model, limit = lower(model_of(kind)), PAIR_TABLES[dtype]
    kernels = CpuOperators(model, dtype, kernel_folder)
    assert isinstance(kernels.sums[0].shape, MomentsShape) == are_cheaper
    assert kernels.has_pair_tables
    compare_with_torch(kernels, model, dtype, limit)


@pytest.mark.parametrize("are_cheaper", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", ["density_agnesi", "density_soft", "nonlinear_foundation"])
def test_exact_functions_of_element_pairs_equal_the_torch_operators(
    kind, dtype, are_cheaper, monkeypatch, kernel_folder
):
    """As above, with the networks on every edge."""
    monkeypatch.setattr(neighbour_sums, "network_moments_are_cheaper", lambda *_: are_cheaper)
    model = lower(model_of(kind))
    kernels = CpuOperators(model, dtype, kernel_folder, "exact")
    assert isinstance(kernels.sums[0].shape, MomentsShape) == are_cheaper
    assert not kernels.tables
    compare_with_torch(kernels, model, dtype, EXACT[dtype])


def compare_with_torch(kernels: CpuOperators, model: LoweredModel, dtype: torch.dtype, limit: float) -> None:
    """Compare messages and densities of both layers, and their gradients, relative to the largest number."""
    plain = TorchOperators(model, "float64")
    vectors, centre, neighbour, species, centre_species = random_edges(len(ELEMENTS), model.cutoff)
    pairs = centre_species[centre] * len(ELEMENTS) + species[neighbour]
    generator = torch.Generator().manual_seed(1)
    width = model.layers[1].width_edge + model.layers[1].width_scalars
    sources = MaceChain(model, "float64", plain).element_sources
    for t, source, features in (
        (1, species[neighbour], sources),
        (2, neighbour, torch.randn(len(species), width, generator=generator, dtype=torch.float64)),
    ):
        found = []
        for operators, of in ((kernels, dtype), (plain, torch.float64)):
            leaf = vectors.clone().requires_grad_(True)
            sums = operators.messages(t, features.to(of), leaf, centre, source, centre_species, pairs)
            found_here = [sums]
            if model.layers[t - 1].density is not None:
                found_here.append(operators.density(t, leaf, centre, centre_species, pairs))
            for values in found_here:
                upstream = torch.randn(values.shape, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
                found.append((values, *torch.autograd.grad(values, leaf, upstream.to(of), retain_graph=True)))
        for one, two in zip(found[: len(found) // 2], found[len(found) // 2 :], strict=True):
            for a, b in zip(one, two, strict=True):
                assert (a.to(torch.float64) - b).abs().max() <= limit * b.abs().max()


def test_pairs_with_equal_radii_share_a_table():
    model = lower(model_of("agnesi"))
    kinds = PairKinds.of(model)
    assert len(kinds.pairs) == 6
    assert (kinds.kind_of_pair.view(3, 3) == kinds.kind_of_pair.view(3, 3).t()).all()
    lengths = model.radial.transform.lengths[list(kinds.pairs)][kinds.kind_of_pair]
    torch.testing.assert_close(lengths, model.radial.transform.lengths, rtol=0, atol=1e-9)
    assert PairKinds.of(lower(model_of("density"))).pairs == (0,)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("edge_irreps", "edge irreps"),
        ("nonlinear", "non-linear interactions"),
        ("attention", "attention"),
    ],
)
def test_a_gpu_file_is_refused_by_name(kind, words, tmp_path):
    write_portable(model_of(kind), tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match=f"{words}.*--device cpu"):
        export_model(tmp_path / "model.safetensors", tmp_path / "model.pt2", device="emulated")


@pytest.mark.parametrize("kind", ["density", "agnesi", "density_agnesi", "density_soft"])
def test_a_gpu_file_passes_the_check_of_the_export(kind, tmp_path):
    write_portable(model_of(kind), tmp_path / "model.safetensors")
    report = export_model(tmp_path / "model.safetensors", tmp_path / "model.pt2", dtype="float64", device="emulated")
    assert report.differences.n_structures > 3
    assert report.differences.table_force_ev_per_angstrom > 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_portable_form_keeps_the_model(kind, tmp_path):
    trained = model_of(kind)
    write_portable(trained, tmp_path / "model.safetensors")
    again = read_model(tmp_path / "model.safetensors")
    assert again.spec == trained.spec
    for name, array in trained.weights.items():
        assert again.weights[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("radial_embedding.distance_transform.covalent_radii", np.ones(20), "every element .* atomic number 28"),
        ("radial_embedding.distance_transform.a", np.array(-1.0), r"transform.a of random-3 is -1.0"),
        ("radial_embedding.distance_transform.q", None, "lacks the weight"),
        ("interactions.0.density_fn.layer0.weight", np.ones((6, 2)), "6x2, expected 6x1"),
        ("interactions.1.density_fn.layer0.weight", None, "lacks the weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name, value, words, tmp_path):
    trained = model_of("density_agnesi")
    weights = {key: array for key, array in trained.weights.items() if key != name}
    if value is not None:
        weights[name] = value
    with pytest.raises(ModelFileError, match=words):
        write_portable(replace(trained, weights=weights), tmp_path / "model.safetensors")
