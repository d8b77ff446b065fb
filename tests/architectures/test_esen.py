"""eSEN models of fairchem: read as data, exact against fairchem, and the same in LAMMPS on several ranks."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_run import run_lammps
from lammps_structures import expected_results, write_data
from package_files import FOLDER, assert_equals_package, assert_lammps_equals, reading_imports_torch, stored_results

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model
from mlip_lammps.compilation.consistency import check_ranks
from mlip_lammps.compilation.tracing import Program, trace
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError, UserInputError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.families.esen.rotations import couplings, rotation_matrices
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

CASES = (
    ("datasets", "omat"), ("datasets", "omol"), ("datasets", "omat_rattle"), ("grid", "omol"), ("heads", "omol"),
    ("heads", "oc20"),
)  # fmt: skip
ELEMENTS = ("H", "C", "O")
STRUCTURES = {
    "triclinic": rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), spacing=2.1, seed=2),
    "molecule in a corner": isolated_molecule(ELEMENTS),
    "far apart": Atoms("HO", positions=[[1, 1, 1], [9, 9, 9]], cell=[20, 20, 20], pbc=True),
}
_CHECKPOINT = "fairchem.core.units.mlip_unit.api.inference"


def file_of(name: str) -> Path:
    return FOLDER / "esen" / f"{name}.pt"


def trained_of(name: str, dataset: str):
    return select_head(read_model(file_of(name)), dataset)


def reference_of(name: str, dataset: str):
    trained = trained_of(name, dataset)
    return family_of(trained).reference(trained)


def results_of_fairchem(name: str, dataset: str) -> list[tuple[Atoms, dict[str, np.ndarray]]]:
    """Return structures with their charge and spin, and the results for them."""
    results = stored_results(FOLDER / "esen" / f"{name}.npz", dataset)
    for atoms, expected in results:
        atoms.info = {key: int(expected[key]) for key in ("charge", "spin")}
    return results


def structures_of(name: str, dataset: str) -> list[Atoms]:
    results = stored_results(FOLDER / "esen" / "version_one.npz")
    return [atoms for atoms, _ in (results if name == "version_one" else results_of_fairchem(name, dataset))]


@pytest.mark.parametrize(("name", "dataset"), CASES)
def test_the_reference_gives_the_results_of_fairchem(name, dataset):
    reference = reference_of(name, dataset)
    results = results_of_fairchem(name, dataset)
    assert len(results) == 4
    for atoms, expected in results:
        assert_equals_package(reference.evaluate(atoms), atoms, expected)


def test_the_reference_gives_the_results_of_version_one():
    """Version 1 takes edges near the y axis as parallel to it; the last structure compares differences of energies."""
    reference = reference_of("version_one", "energy")
    results = stored_results(FOLDER / "esen" / "version_one.npz")
    assert len(results) == 4
    for atoms, expected in results:
        found = reference.evaluate(atoms)
        if "slopes" in expected:
            assert_energies_agree(found.energy, expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM)
            np.testing.assert_allclose(found.forces, expected["slopes"], rtol=0, atol=1e-6)
            assert np.abs(found.forces - expected["forces"]).max() > 0.1
        else:
            assert_equals_package(found, atoms, expected)


@pytest.mark.parametrize(
    ("name", "dataset"), [("datasets", "omol"), ("grid", "omol"), ("heads", "oc20"), ("version_one", "energy")]
)
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_the_layers_equal_the_reference(name, dataset, dtype):
    """Without compilation, and with the layers one after the other on all atoms."""
    trained, reference = trained_of(name, dataset), reference_of(name, dataset)
    layers = family_of(trained).layers(trained, trained.atomic_numbers)
    chain = layers.chain(dtype, layers.operators("torch", dtype, "exact", Path()))
    for atoms in structures_of(name, dataset):
        edges = build_graph(atoms, layers.cutoff)
        species, centre, neighbour = (
            torch.from_numpy(one)
            for one in (reference.species_of(edges.atomic_numbers), edges.edge_centre, edges.edge_neighbour)
        )
        vectors = torch.from_numpy(edges.edge_vectors).requires_grad_(True)
        state = torch.tensor([atoms.info.get(name, 0) for name in ("charge", "spin")], dtype=torch.float64)
        graph = EdgeGraph(species, vectors, centre, neighbour, species, global_inputs=state)
        features = skips = None
        for t in range(1, layers.n_layers + 1):
            handed, energies = chain.layer(t, graph, features, skips)
            features, skips = handed.get(f"features_{t}"), handed.get(f"skips_{t}")
        (gradients,) = torch.autograd.grad(energies.sum(), vectors)
        expected = reference.evaluate(atoms)
        limit = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(energies.detach().numpy(), expected.node_energies, rtol=0, atol=limit)
        np.testing.assert_allclose(gradients.numpy(), expected.edge_gradients, rtol=0, atol=limit)


def test_two_ranks_give_the_results_of_one(tmp_path):
    trained = trained_of("heads", "omol")
    check_ranks(family_of(trained).layers(trained, trained.atomic_numbers), tmp_path)


def test_the_programs_are_traced_with_their_results(tmp_path):
    """Compilation of the traced programs takes minutes; make slow runs it."""
    trained = trained_of("datasets", "omol")
    layers = family_of(trained).layers(trained, trained.atomic_numbers)
    operators = layers.operators("torch", "float64", "exact", tmp_path)
    chain = layers.chain("float64", operators)
    for spec in layers.programs_with(operators):
        exported, example = trace(layers, chain, spec)
        for found, expected in zip(exported.module()(*example), Program(chain, spec)(*example), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


DIRECTIONS = {
    "general": [0.3, -0.7, 0.5], "y": [0, 1, 0], "-y": [0, -1, 0], "x": [1, 0, 0], "-x": [-1, 0, 0], "z": [0, 0, 1],
}  # fmt: skip


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_rotations_and_their_gradients_are_right_in_every_direction(direction):
    """Columns of order 0 are harmonics of the direction, and the matrices are orthogonal, also nearby."""
    vector = torch.tensor([direction], dtype=torch.float64)

    def harmonics(vector):
        matrices = rotation_matrices(vector / vector.norm(), couplings(4))
        return torch.cat([one[0, degree] for degree, one in enumerate(matrices, start=1)])

    for degree, matrix in enumerate(rotation_matrices(vector / vector.norm(), couplings(4)), start=1):
        torch.testing.assert_close(matrix[0] @ matrix[0].T, torch.eye(2 * degree + 1, dtype=torch.float64))
    gradients = torch.autograd.functional.jacobian(harmonics, vector)[:, 0]
    step = 1e-5
    for k in range(3):
        shift = torch.zeros_like(vector)
        shift[0, k] = step
        differences = (harmonics(vector + shift) - harmonics(vector - shift)) / (2 * step)
        torch.testing.assert_close(gradients[:, k], differences, rtol=0, atol=1e-8)


@pytest.fixture(scope="module")
def compiled():
    return compiled_model(file_of("datasets"), dtype="float64", head="omol", elements=ELEMENTS)


def test_the_calculator_gives_the_results_of_fairchem(compiled):
    for atoms, expected in results_of_fairchem("datasets", "omol"):
        atoms.calc = MlipCalculator(compiled, n_threads=1)
        assert_energies_agree(
            atoms.get_potential_energy(), expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM
        )
        assert_forces_agree(atoms.get_forces(), expected["forces"], tolerances.PACKAGE_FORCE)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, compiled):
    assert_lammps_equals(reference_of("datasets", "omol"), STRUCTURES, compiled, n_ranks, is_relative=False)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_lammps_takes_charge_and_spin(n_ranks, compiled, tmp_path):
    atoms = STRUCTURES["triclinic"].copy()
    neutral = expected_results(compiled, atoms)
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    done = run_lammps(deck("mlip/torch charge -2 spin 3", pair_coeff(f"{compiled} H C O")), n_ranks, tmp_path)
    atoms.info = {"charge": -2, "spin": 3}
    found = read_results(done)
    assert_results_agree(found, expected_results(compiled, atoms))
    with pytest.raises(AssertionError):
        assert_results_agree(found, neutral)


def test_a_charge_that_the_model_does_not_know_is_refused(compiled):
    atoms = Atoms("OH", positions=[[0, 0, 0], [0, 0, 1]], info={"charge": 101}, calculator=MlipCalculator(compiled))
    with pytest.raises(UserInputError, match=r"charge of the structure is 101, but .* a whole number from -100 to 100"):
        atoms.get_potential_energy()


def test_the_file_states_head_charge_and_spin(compiled):
    metadata = read_metadata(compiled)
    assert metadata["head"] == "omol"
    assert [(one["name"], one["default"]) for one in metadata["global_inputs"]] == [("charge", 0.0), ("spin", 1.0)]


def test_the_spin_of_crystals_is_not_known_by_default():
    assert [one.default for one in trained_of("datasets", "omat").spec.global_inputs] == [0.0, 0.0]


def test_a_model_with_several_datasets_needs_a_head():
    with pytest.raises(UserInputError, match="has the heads omat, omol, omat_rattle; choose one with --head"):
        select_head(read_model(file_of("datasets")), None)
    with pytest.raises(UserInputError, match="has no head oc22; choose one of omat, omol, omat_rattle"):
        trained_of("datasets", "oc22")


def test_info_names_family_heads_and_elements(capsys):
    assert main(["info", str(file_of("datasets"))]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert rows["family"] == "esen"
    assert "He" not in rows["elements"].split()
    assert {"H", "Li", "Na"} <= set(rows["elements"].split())


@pytest.fixture
def checkpoint(monkeypatch):
    """Load and save checkpoints without fairchem."""
    names = [_CHECKPOINT.rsplit(".", n)[0] for n in range(5, -1, -1)]
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    kind = type("MLIPInferenceCheckpoint", (), {"__module__": _CHECKPOINT})
    monkeypatch.setattr(sys.modules[_CHECKPOINT], "MLIPInferenceCheckpoint", kind, raising=False)
    return torch.load(file_of("grid"), weights_only=False)


def saved(checkpoint, tmp_path) -> Path:
    torch.save(checkpoint, tmp_path / "changed.pt")
    return tmp_path / "changed.pt"


BACKBONE = {
    "direct": ({"direct_forces": True}, r"forces that a network predicts \(direct_forces\)"),
    "direct stress": ({"direct_stress": True}, r"direct_stress"),
    "s2": ({"act_type": "s2"}, r"act_type s2\): energies depend on how the grid is turned"),
    "norm": ({"norm_type": "layer_norm"}, r"normalisation \(norm_type\)"),
    "distances": ({"distance_function": "bessel"}, r"\(distance_function\)"),
    "lin_emb": ({"chg_spin_emb_type": "lin_emb"}, "chg_spin_emb_type lin_emb, .* supports rand_emb and pos_emb"),
    "balanced": ({"charge_balanced_channels": [0, 1]}, r"\(charge_balanced_channels\), which needs sums"),
    "few neighbours": ({"max_neighbors": 30}, r"counts 30 neighbours of an atom \(max_neighbors\)"),
    "unknown": ({"attention": 3}, "has the setting attention, which version 2.24"),
    "network": ({"ff_type": "dense"}, "ff_type dense, and this package supports spectral and grid"),
    "EScAIP": ({"model": "EScAIP_backbone"}, "backbone EScAIP_backbone, and this package runs"),
    "UMA": (
        {"model": "escnmd_moe_backbone", "num_experts": 8},
        r"mixture of 8 linear experts \(UMA\): their weights depend on the composition",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), BACKBONE.values(), ids=BACKBONE)
def test_an_unsupported_setting_is_named(settings, message, checkpoint, tmp_path):
    checkpoint.model_config["backbone"] |= settings
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(saved(checkpoint, tmp_path))


HEADS = {
    "forces": ({"module": "fairchem.core.models.uma.escn_md.Linear_Force_Head"}, "the head Linear_Force_Head"),
    "mean": ({"reduce": "mean"}, r"energies per atom of a structure \(reduce mean\)"),
}


@pytest.mark.parametrize(("settings", "message"), HEADS.values(), ids=HEADS)
def test_an_unsupported_head_is_named(settings, message, checkpoint, tmp_path):
    checkpoint.model_config["heads"]["energyandforcehead"] |= settings
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(saved(checkpoint, tmp_path))


TASKS = {
    "mean": (0, {"normalizer": {"mean": 1.0, "rmsd": 1.4}}, "adds the mean 1 to the energy of a structure"),
    "file": (0, {"normalizer": {"file": "norm.pt"}}, "normalizer without the numbers mean and rmsd"),
    "forces": (1, {"normalizer": {"mean": 0.0, "rmsd": 2.0}}, "scales forces of omol by 2 and energies by 1.423"),
    "references": (0, {"element_references": {"file": "refs.pt"}}, "element_references without their numbers"),
}


@pytest.mark.parametrize(("task", "settings", "message"), TASKS.values(), ids=TASKS)
def test_an_unsupported_task_is_named(task, settings, message, checkpoint, tmp_path):
    checkpoint.tasks_config[task] |= settings
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(saved(checkpoint, tmp_path))


DAMAGED = {
    "width": ({"sphere_channels": 6}, "has shape .* expected"),
    "degrees": ({"lmax": 99}, "lmax of .* is 99, expected 1 to 8"),
    "order": ({"lmax": 1, "mmax": 2}, "mmax 2, which is larger than lmax 1"),
    "cutoff": ({"cutoff": "far"}, "cutoff of .* is far, expected a distance"),
}


@pytest.mark.parametrize(("settings", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_settings_are_refused(settings, message, checkpoint, tmp_path):
    checkpoint.model_config["backbone"] |= settings
    with pytest.raises(ModelFileError, match=message):
        read_model(saved(checkpoint, tmp_path))


VERSION_ONE = {
    "envelope": ({"use_envelope": False}, r"messages that do not fade at the cutoff \(use_envelope False\)"),
    "direct": ({"direct_forces": True}, r"\(direct_forces\)"),
    "s2": ({"act_type": "s2"}, r"act_type s2\): energies depend on how the grid is turned"),
    "bessel": ({"distance_function": "bessel"}, r"\(distance_function\)"),
    "few neighbours": ({"max_neighbors": 20}, "counts 20 neighbours"),
    "unknown": ({"attention": 3}, "has the setting attention"),
    "EquiformerV2": ({"model": "equiformer_v2_backbone"}, r"EquiformerV2 model .* its energy is not a smooth function"),
    "eSCN": ({"model": "escn_backbone"}, "eSCN model of fairchem .* frames of edges at random"),
    "GemNet": ({"model": "gemnet_oc_backbone"}, "GemNet model of fairchem .* nearest neighbours"),
    "denoising": ({"model": "esen_backbone_dens"}, "model of fairchem with esen_backbone_dens"),
}


@pytest.mark.parametrize(("settings", "message"), VERSION_ONE.values(), ids=VERSION_ONE)
def test_an_unsupported_model_of_version_one_is_named(settings, message, tmp_path):
    content = torch.load(file_of("version_one"), weights_only=False)
    content["config"]["model"]["backbone"] |= settings
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(saved(content, tmp_path))


def test_models_of_version_one_without_a_backbone_are_named(tmp_path):
    """Before version 1.0 the configuration names the model alone."""
    content = {"state_dict": {}, "config": {"model": "painn", "model_attributes": {"cutoff": 6.0}}}
    with pytest.raises(UnsupportedModelError, match=r"PaiNN model of fairchem .* nearest neighbours"):
        read_model(saved(content, tmp_path))


def test_a_configuration_that_contains_itself_is_refused(checkpoint, tmp_path):
    checkpoint.model_config["heads"]["again"] = [checkpoint.model_config] * 9
    with pytest.raises(ModelFileError, match="is too large or too deep"):
        read_model(saved(checkpoint, tmp_path))


def test_the_state_of_a_training_is_refused(tmp_path):
    content = torch.load(file_of("version_one"), weights_only=False)
    content["ema"] = {"decay": 0.999, "shadow_params": [torch.zeros(3)]}
    with pytest.raises(UnsupportedModelError, match="give the checkpoint for inference"):
        read_model(saved(content, tmp_path))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"energy": {"mean": torch.tensor(2.0), "rmsd": torch.tensor(1.7)}}, "adds the mean 2 to the energy"),
        ({"forces": {"mean": torch.tensor(0.0), "rmsd": torch.tensor(3.0)}}, r"scales forces by 3 and energies by 1"),
    ],
)
def test_normalisers_of_version_one_that_are_not_supported_are_named(part, message, tmp_path):
    content = torch.load(file_of("version_one"), weights_only=False)
    content["normalizers"] |= part
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(saved(content, tmp_path))


def test_weights_that_the_settings_do_not_have_are_refused(checkpoint, tmp_path):
    checkpoint.ema_state_dict["module.backbone.blocks.0.attention.weight"] = torch.zeros(3)
    with pytest.raises(UnsupportedModelError, match=r"the weights blocks\.0\.attention\.weight"):
        read_model(saved(checkpoint, tmp_path))


def test_a_checkpoint_without_averaged_weights_is_refused(checkpoint, tmp_path):
    checkpoint.ema_state_dict = None
    with pytest.raises(ModelFileError, match="contains no averaged weights"):
        read_model(saved(checkpoint, tmp_path))


def test_a_truncated_file_is_refused(tmp_path):
    (tmp_path / "short.pt").write_bytes(file_of("grid").read_bytes()[:-200])
    with pytest.raises(ModelFileError, match="is a truncated zip file"):
        read_model(tmp_path / "short.pt")


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(file_of("datasets"))
