"""The training scripts of the shipped models: split, kinds of frames, table of errors."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, molecule
from ase.calculators.emt import EMT
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceModel, MaceReference, write_portable
from mlip_lammps.models import shipped_models
from mlip_lammps.testing.random_models import random_model

REPOSITORY = Path(__file__).parents[1]
TRAINING = REPOSITORY / "training"
TIME_LIMIT = 120
sys.path.insert(0, str(TRAINING))

import average  # noqa: E402
import evaluate as evaluation  # noqa: E402
from anchors import close_pairs, compressed_diamond, vinet_pressure  # noqa: E402
from distill import label, snapshot  # noqa: E402
from kinds import co2_on_slab  # noqa: E402
from split import DataError, read_frames, split_by_kind, split_frames, unit_cell  # noqa: E402


def write_data(folder: Path, name: str, n_frames: int, with_stress: bool) -> Path:
    """Write two-atom frames with random labels; return the file."""
    rng, frames = np.random.default_rng(n_frames), []
    for number in range(n_frames):
        atoms = Atoms("HO", positions=[[0, 0, 0], [1.0, 0.1 * number, 0]], cell=[5, 5, 5], pbc=True)
        atoms.info |= {"REF_energy": float(number), "config_type": "even" if number % 2 == 0 else "odd"}
        atoms.arrays["REF_forces"] = rng.normal(size=(2, 3))
        if with_stress:
            atoms.info["REF_stress"] = voigt_6_to_full_3x3_stress(rng.normal(size=6))
        frames.append(atoms)
    path = folder / f"{name}.xyz"
    ase.io.write(path, frames, format="extxyz")
    return path


@pytest.fixture
def data(tmp_path) -> list[dict]:
    """Return two data sets: one with named kinds, one with kinds from its frames and excluded energies."""
    write_data(tmp_path, "first", 20, with_stress=False)
    write_data(tmp_path, "second", 10, with_stress=True)
    return [
        {
            "file": "first.xyz",
            "split": {"n_valid": 2, "n_test": 5, "seed": 1},
            "kinds": {"early": [0, 9], "late": [10, 18]},
        },
        {"file": "second.xyz", "split": {"n_valid": 1, "n_test": 3, "seed": 1}, "without": ["energy"]},
    ]


def test_every_frame_is_in_exactly_one_part_of_a_split():
    parts = split_frames(96, n_valid=8, n_test=16, seed=2026)
    assert {name: len(frames) for name, frames in parts.items()} == {"train": 72, "valid": 8, "test": 16}
    assert sorted(frame for frames in parts.values() for frame in frames) == list(range(96))
    assert parts == split_frames(96, n_valid=8, n_test=16, seed=2026)


def test_a_split_by_kind_has_the_same_shares_of_every_kind():
    kinds = ["a"] * 40 + ["b"] * 10 + ["a"] * 10 + ["c"]
    parts = split_by_kind(kinds, valid=0.1, test=0.2, seed=2026)
    assert sorted(number for part in parts.values() for number in part) == list(range(61))
    counts = {part: [sum(kinds[k] == kind for k in numbers) for kind in "abc"] for part, numbers in parts.items()}
    assert counts == {"train": [35, 7, 1], "valid": [5, 1, 0], "test": [10, 2, 0]}
    assert parts == split_by_kind(kinds, valid=0.1, test=0.2, seed=2026)
    assert parts["test"] != split_by_kind(kinds, valid=0.1, test=0.2, seed=7)["test"]


def test_frames_have_their_part_kind_and_labels(data, tmp_path):
    frames = read_frames(data, tmp_path)
    first = {frame.atoms.info["REF_energy"]: frame for frame in frames if frame.data == "first"}
    assert len(first) == 20
    kinds = [first[number].kind for number in (0.0, 9.0, 10.0, 18.0, 19.0)]
    assert kinds == ["early", "early", "late", "late", "other"]
    assert sum(frame.part == "test" for frame in frames) == 8
    second = [frame for frame in frames if frame.data == "second"]
    assert {frame.kind for frame in second} == {"even", "odd"}
    assert all("REF_energy" not in frame.atoms.info and "REF_stress" in frame.atoms.info for frame in second)


def test_stresses_can_be_weighted_by_kind(data, tmp_path):
    frames = read_frames([{**data[1], "stress_weights": {"even": 20}, "repeats": {"odd": 2}}], tmp_path)
    assert {(frame.kind, frame.atoms.info.get("config_stress_weight"), frame.repeats) for frame in frames} == {
        ("even", 20.0, 1),
        ("odd", None, 2),
    }


def test_swapped_shear_labels_are_exchanged(data, tmp_path):
    plain = read_frames([data[1]], tmp_path)
    mended = read_frames([{**data[1], "swapped": ["yz", "xz"], "weight": 4}], tmp_path)
    for before, after in zip(plain, mended, strict=True):
        stress = np.reshape(before.atoms.info["REF_stress"], (3, 3))
        (xx, xy, xz), (_, yy, yz), (_, _, zz) = stress
        np.testing.assert_array_equal(after.atoms.info["REF_stress"], [[xx, xy, yz], [xy, yy, xz], [yz, xz, zz]])
        assert xz != yz
        assert after.atoms.info["config_weight"] == 4.0
        assert "config_weight" not in before.atoms.info


def repeating_frame() -> Atoms:
    """Return a labelled 2x2x2 supercell of a sheared eight-atom cell, wrapped and in random order."""
    rng = np.random.default_rng(3)
    cell = bulk("Si", a=5.4, cubic=True)
    cell.set_cell(cell.cell[:] @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
    cell.positions += rng.normal(size=(8, 3))
    cell.arrays["REF_forces"] = rng.normal(size=(8, 3))
    frame = cell.repeat(2)[rng.permutation(64)]
    frame.info |= {"REF_energy": -320.0, "REF_stress": np.eye(3)}
    frame.wrap()
    return frame


def test_a_frame_that_repeats_a_cell_is_trained_on_as_the_cell():
    frame = repeating_frame()
    cell = unit_cell(frame, 2)
    assert len(cell) == 8
    assert cell.get_volume() == pytest.approx(frame.get_volume() / 8)
    assert (cell.info["REF_energy"], cell.info["REF_stress"].tolist()) == (-40.0, np.eye(3).tolist())
    forces = {tuple(np.round(force, 9)) for force in cell.arrays["REF_forces"]}
    assert forces == {tuple(np.round(force, 9)) for force in frame.arrays["REF_forces"]}
    assert cell.get_all_distances(mic=True).max() < frame.get_all_distances(mic=True).max()


@pytest.mark.parametrize("array", ["positions", "REF_forces"])
def test_a_frame_that_does_not_repeat_a_cell_is_refused(array):
    frame = repeating_frame()
    frame.arrays[array][5, 1] += 0.05
    with pytest.raises(DataError, match="a frame of 64 atoms does not repeat a cell 2 times"):
        unit_cell(frame, 2)


def test_anchors_follow_one_equation_of_state():
    """The pressure equals the slope of the energy, and both agree with the input constants."""
    constants = dict(element="Si", lattice_constant=5.4, energy=-5.0, bulk_modulus=90.0, derivative=4.3)
    step = 1e-4
    low, middle, high = compressed_diamond(**constants, ratios=[0.9 - step, 0.9, 0.9 + step], half_weight_pressure=10)
    slope = (high.info["REF_energy"] - low.info["REF_energy"]) / (high.get_volume() - low.get_volume())
    assert -slope / GPa == pytest.approx(vinet_pressure(0.9, 90.0, 4.3), rel=1e-6)
    np.testing.assert_allclose(middle.info["REF_stress"], slope * np.eye(3), rtol=1e-6)
    assert middle.info["config_weight"] == pytest.approx((1 - slope / GPa / 10) ** -2, rel=1e-6)
    (at_rest,) = compressed_diamond(**constants, ratios=[1.0], half_weight_pressure=10)
    assert at_rest.info["REF_energy"] / len(at_rest) == pytest.approx(-5.0)
    # B = -V dP/dV, a third of the slope against the lattice constant
    assert -(vinet_pressure(1 + step, 90.0, 4.3) / step) / 3 == pytest.approx(90.0, rel=1e-3)


def test_close_pairs_have_the_energies_and_forces_of_zbl():
    """At one screening length, 0.12769 angstrom for silicon, the screening is 0.41644."""
    length, step = 0.12769, 1e-6
    distances = [length - step, length, length + step]
    low, middle, high = close_pairs("Si", -5.0, distances, half_weight_energy=1.0, weight=0.5)
    repulsion = middle.info["REF_energy"] + 10.0
    assert repulsion == pytest.approx(14**2 * 14.39964 / length * 0.41644, rel=1e-4)
    slope = (high.info["REF_energy"] - low.info["REF_energy"]) / (2 * step)
    np.testing.assert_allclose(middle.arrays["REF_forces"], [[slope, 0, 0], [-slope, 0, 0]], rtol=1e-6)
    assert slope < 0
    assert middle.info["config_weight"] == pytest.approx(0.5 / (1 + repulsion) ** 2)


def test_a_stage_sets_the_learning_rate_of_the_best_checkpoint_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # as in the script, and restored after the test
    from train import begin_stage

    file = tmp_path / "checkpoints" / "best.pt"
    file.parent.mkdir()
    scheduler = {"gamma": 0.9, "base_lrs": [0.01, 0.01], "_last_lr": [0.004, 0.004], "last_epoch": 9}
    state = {"optimizer": {"param_groups": [{"lr": 0.004}, {"lr": 0.004}]}, "lr_scheduler": scheduler}

    def after(stage: int) -> tuple[list[float], list[float], float, int]:
        begin_stage(stage, {"lr": 0.002, "lr_scheduler_gamma": 0.5}, tmp_path)
        found = torch.load(file, weights_only=False)
        rates = [group["lr"] for group in found["optimizer"]["param_groups"]]
        scheduler = found["lr_scheduler"]
        return rates, scheduler["_last_lr"], scheduler["gamma"], scheduler["last_epoch"]

    torch.save(state, file)
    assert after(stage=1) == ([0.004, 0.004], [0.004, 0.004], 0.9, 9)
    assert after(stage=2) == ([0.002, 0.002], [0.002, 0.002], 0.5, 9)
    torch.save(state, file)  # as in a training that is resumed within its stage
    assert after(stage=2) == ([0.004, 0.004], [0.004, 0.004], 0.9, 9)


def test_a_new_stage_keeps_its_learning_rate_when_it_resumes(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    from train import begin_stage

    file = tmp_path / "checkpoints" / "best.pt"
    file.parent.mkdir()
    begin_stage(2, {"lr": 0.002, "lr_scheduler_gamma": 0.5}, tmp_path)
    torch.save({"optimizer": {"param_groups": [{"lr": 0.0005}]}}, file)
    begin_stage(2, {"lr": 0.002, "lr_scheduler_gamma": 0.5}, tmp_path)
    assert torch.load(file, weights_only=False)["optimizer"]["param_groups"] == [{"lr": 0.0005}]


def test_a_stage_can_set_stress_weights_and_anchors(data):
    from train import settings_of_stage

    data[1]["stress_weights"] = {"even": 60}
    anchors = {"compressed_diamond": {"element": "Si"}, "close_pairs": {"element": "Si"}}
    stages = [
        {"lr": 0.01, "stress_weights": {}, "anchors": ["compressed_diamond"], "distilled_weight": 0.5},
        {"lr": 0.001},
    ]
    settings = {"data": data, "anchors": anchors, "mace": {"lr": 1, "r_max": 5.0}}
    first, options = settings_of_stage(settings, stages[0])
    assert options == {"lr": 0.01, "r_max": 5.0}
    assert [source.get("stress_weights") for source in first["data"]] == [None, {}]
    assert list(first["anchors"]) == ["compressed_diamond"]
    assert first["distilled_weight"] == 0.5
    second, options = settings_of_stage(settings, stages[1])
    assert options == {"lr": 0.001, "r_max": 5.0}
    assert second["data"][1]["stress_weights"] == {"even": 60}
    assert list(second["anchors"]) == list(anchors)


def test_the_files_for_mace_torch_have_each_part_and_frames_without_energies(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    from train import write_split

    write_split({"data": data}, tmp_path, tmp_path)
    written = {part: ase.io.read(tmp_path / f"{part}.xyz", ":") for part in ("train", "valid", "test")}
    assert {part: len(frames) for part, frames in written.items()} == {"train": 19, "valid": 3, "test": 8}
    assert sum("REF_energy" in frame.info for frame in written["train"]) == 13


def test_distilled_frames_are_only_in_the_training_set(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    from train import write_split

    distilled = [bulk("Si"), bulk("Si")]
    write_split({"data": data, "distilled_weight": 0.5}, tmp_path, tmp_path, distilled)
    written = {part: ase.io.read(tmp_path / f"{part}.xyz", ":") for part in ("train", "valid", "test")}
    assert {part: len(frames) for part, frames in written.items()} == {"train": 21, "valid": 3, "test": 8}
    assert [frame.info.get("config_weight") for frame in written["train"]] == [0.5] * 2 + [None] * 19


def test_a_snapshot_is_a_moved_frame_without_labels():
    start = bulk("Cu", cubic=True)
    start.info["REF_energy"], start.arrays["REF_forces"] = 1.0, np.ones((4, 3))
    first, again, other = (snapshot(start, EMT(), 600, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.positions, again.positions)
    assert 0.02 < np.abs(first.get_distances(0, [1, 2, 3], mic=True) - 2.5527).max() < 1.0
    assert np.abs(first.positions - other.positions).max() > 0.02
    assert not first.info
    assert set(first.arrays) == {"numbers", "positions"}


def test_a_label_is_the_mean_of_the_ensemble(two_trainings):
    teachers = [MaceReference(trained) for trained in two_trainings]
    atoms = Atoms(numbers=two_trainings[0].spec.atomic_numbers[:2], positions=[[0, 0, 0], [0.9, 0.3, 0]])
    one, two = (teacher.evaluate(atoms) for teacher in teachers)
    spread = label(atoms, teachers)
    assert atoms.info["REF_energy"] == pytest.approx((one.energy + two.energy) / 2)
    np.testing.assert_allclose(atoms.arrays["REF_forces"], (one.forces + two.forces) / 2)
    assert spread == pytest.approx(np.sqrt(np.mean((one.forces - two.forces) ** 2) / 2))


@pytest.fixture
def two_trainings() -> list[MaceModel]:
    """Return two models of the same shape."""
    return [random_model(seed=seed) for seed in (1, 2)]


def test_averaging_models_averages_each_weight(two_trainings, tmp_path, monkeypatch):
    files = [tmp_path / f"{number}.safetensors" for number in (1, 2)]
    for trained, file in zip(two_trainings, files, strict=True):
        write_portable(trained, file)
    out = tmp_path / "mean.safetensors"
    monkeypatch.setattr(sys, "argv", ["average.py", str(out), *map(str, files)])
    assert average.main() == 0
    mean, (first, second) = read_model(out), two_trainings
    assert mean.spec == first.spec
    for name, weight in mean.weights.items():
        np.testing.assert_allclose(weight, 0.5 * (first.weights[name] + second.weights[name]), rtol=1e-6, atol=1e-9)
    assert len({mean.source_sha256, first.source_sha256, second.source_sha256}) == 3


def test_models_of_different_shapes_cannot_be_averaged(two_trainings):
    other = random_model(n_layers=1)
    with pytest.raises(average.UnlikeModels, match="model 2"):
        average.mean_of_weights([two_trainings[0], other])


def test_models_with_different_couplings_cannot_be_averaged(two_trainings):
    first, second = two_trainings
    name = next(name for name in second.weights if ".U_matrix_" in name)
    turned = replace(second, weights=second.weights | {name: -second.weights[name]})
    with pytest.raises(average.UnlikeModels, match="U_matrix"):
        average.mean_of_weights([first, turned])


def test_errors_are_root_mean_squares_in_the_units_of_the_table(data, tmp_path):
    """The prediction has an error of 1 eV, 0.1 eV/angstrom and 0.01 eV/angstrom^3 everywhere."""

    def predict(atoms: Atoms):
        stress = np.reshape(atoms.info["REF_stress"], (3, 3)) if "REF_stress" in atoms.info else np.zeros((3, 3))
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return atoms.info.get("REF_energy", 7.0) + 1.0, atoms.arrays["REF_forces"] - 0.1, voigt + 0.01

    errors = [evaluation.frame_errors(frame, predict) for frame in read_frames(data, tmp_path)]
    table = {(row.label, row.part): row for row in evaluation.rows(errors)}
    whole, first, second = (table[label, "test"] for label in ("all", "first", "second"))
    assert (whole.n_frames, first.n_frames, second.n_frames) == (8, 5, 3)
    assert (whole.energy, first.energy, second.energy) == (pytest.approx(500), pytest.approx(500), None)
    assert (whole.forces, first.forces) == (pytest.approx(100), pytest.approx(100))
    assert (whole.stress, first.stress, second.stress) == (pytest.approx(10), None, pytest.approx(10))
    assert {label for label, _ in table} >= {"first: early", "first: late", "second: even", "second: odd"}
    # 0.01 eV/angstrom^3 is 1.60 GPa
    assert str(second).split()[1:] == ["test", "3", "-", "100.0", "10.00", "1.60"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not readable (No such file or directory); give the folder of the data sets"),
        ("2\nno lattice\nH 0 0\n", "is not an extended XYZ file"),
        ("1\nProperties=species:S:1:pos:R:3\nH 0 0 0\n", "lacks REF_energy or REF_forces"),
    ],
)
def test_invalid_data_are_refused(content, message, tmp_path):
    if content is not None:
        (tmp_path / "bad.xyz").write_text(content)
    with pytest.raises(DataError) as refused:
        read_frames([{"file": "bad.xyz", "split": {"n_valid": 0, "n_test": 0, "seed": 1}}], tmp_path)
    assert message in str(refused.value)


def test_a_missing_data_set_gives_one_line_without_a_traceback(tmp_path):
    command = [sys.executable, TRAINING / "evaluate.py", tmp_path, "--model", "water-revpbe0d3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    assert done.returncode == 2
    assert "water_revpbe0d3.extxyz is not readable" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_invalid_model_file_gives_one_line_without_a_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(evaluation, "read_frames", lambda data, folder: [])
    (tmp_path / "bad.model").write_text("no model")
    monkeypatch.setattr(
        sys, "argv", ["evaluate.py", ".", "--model", "water-revpbe0d3", "--file", str(tmp_path / "bad.model")]
    )
    assert evaluation.main() == 2
    printed = capsys.readouterr().err
    assert "bad.model is not a model file" in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("name", shipped_models())
def test_the_scripts_can_split_the_data_in_the_settings(name):
    settings = yaml.safe_load((TRAINING / f"{name}.yaml").read_text())
    for source in settings["data"]:
        assert set(source) <= {"file", "split", "kinds", "repeats", "stress_weights", "without", "swapped", "weight"}
        assert set(source["split"]) in ({"n_valid", "n_test", "seed"}, {"valid", "test", "seed"})


@pytest.mark.parametrize(
    ("height", "bond", "kind"),
    [(5.0, 1.2, "gas"), (3.0, 1.2, "approach"), (1.8, 1.25, "chemisorbed"), (1.8, 2.5, "dissociated")],
)
def test_kinds_of_carbon_dioxide_on_nickel(height, bond, kind):
    slab, gas = fcc100("Ni", size=(3, 3, 4), vacuum=8.0), molecule("CO2")
    gas.rotate(90, "x")
    gas.set_distance(0, 1, bond, fix=0)
    add_adsorbate(slab, gas, height, offset=1)
    assert co2_on_slab(slab) == kind
