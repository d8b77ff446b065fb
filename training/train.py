"""Train a shipped model with mace-torch, in resumable stages.

    python training/train.py CONFIG.yaml DATA_DIR WORK_DIR [--stage N] [--weights FILE] [--distilled FILE ...]

The script needs an environment with ``mace-torch``, for example from ``make peer``. ``split.py`` splits the data with
the seed in the configuration; the frames are written beside the checkpoints. Running the script again with the same
WORK_DIR resumes from its best checkpoint, that with the lowest validation loss. ``--stage`` continues from there with
the options of that stage; the same number resumes the stage. ``--weights`` starts a new WORK_DIR from trained weights
with a new optimiser. ``--distilled`` adds frames of ``distill.py`` to the training frames. ``average.py`` averages the
weights of several trainings.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# mace-torch pins an e3nn version that unpickles its constants; they come from its own wheel and are trusted.
os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

import ase.io
import torch
import yaml
from anchors import close_pairs, compressed_diamond
from ase import Atoms
from safetensors import safe_open
from split import DataError, read_frames, unit_cell

ANCHORS: dict[str, Callable[..., list[Atoms]]] = {
    "compressed_diamond": compressed_diamond,
    "close_pairs": close_pairs,
}


def write_split(settings: dict, data_dir: Path, work_dir: Path, distilled: Sequence[Atoms] = ()) -> None:
    """Write train.xyz, valid.xyz and test.xyz, each with the frames of all data sets, to ``work_dir``.

    train.xyz also contains the anchors and the distilled frames.
    """
    parts: dict[str, list[Atoms]] = {"train": [], "valid": [], "test": []}
    for atoms in distilled:
        atoms.info["config_weight"] = settings["distilled_weight"]
        parts["train"].append(atoms)
    for name, arguments in settings.get("anchors", {}).items():
        parts["train"] += ANCHORS[name](**arguments)
    for frame in read_frames(settings["data"], data_dir):
        parts[frame.part].append(unit_cell(frame.atoms, frame.repeats) if frame.part == "train" else frame.atoms)
    for part, atoms in parts.items():
        ase.io.write(work_dir / f"{part}.xyz", atoms, format="extxyz")


def settings_of_stage(settings: dict, stage: dict) -> tuple[dict, dict]:
    """Return the settings of a stage and its options for ``mace_run_train``.

    The ``stress_weights`` of a stage replace those of the data, ``anchors`` names the anchors to train on, and
    ``distilled_weight`` is the weight of distilled frames.
    """
    options = settings["mace"] | stage
    weights, names = options.pop("stress_weights", None), options.pop("anchors", None)
    distilled_weight = options.pop("distilled_weight", 1.0)
    data = [
        source | {"stress_weights": weights} if weights is not None and "stress_weights" in source else source
        for source in settings["data"]
    ]
    anchors = settings.get("anchors", {})
    chosen = anchors if names is None else {name: anchors[name] for name in names}
    return settings | {"data": data, "anchors": chosen, "distilled_weight": distilled_weight}, options


def begin_stage(number: int, options: dict, work_dir: Path) -> None:
    """Write the learning rate and the decay of a new stage to the latest checkpoint before mace-torch resumes from it.

    mace-torch reads both from the checkpoint and ignores its options.
    """
    marker = work_dir / "stage"
    checkpoints = sorted((work_dir / "checkpoints").glob("*.pt"), key=lambda file: file.stat().st_mtime)
    if number == 1 or (marker.exists() and int(marker.read_text()) == number):
        return
    marker.write_text(str(number))
    if not checkpoints:
        return
    state = torch.load(checkpoints[-1], map_location="cpu", weights_only=False)
    for group in state["optimizer"]["param_groups"]:
        group["lr"] = group["initial_lr"] = options["lr"]
    scheduler = state["lr_scheduler"]
    scheduler["gamma"] = options["lr_scheduler_gamma"]
    for key in ("base_lrs", "_last_lr"):
        scheduler[key] = [options["lr"]] * len(scheduler[key])
    torch.save(state, checkpoints[-1])


def configured_with(configure: Callable[..., tuple], file: Path) -> Callable[..., tuple]:
    """Return mace-torch's ``configure_model``, modified to load the weights of a portable file."""

    def configure_and_load(*arguments, **options):
        model, output_arguments = configure(*arguments, **options)
        with safe_open(file, framework="pt") as archive:
            spec = json.loads(archive.metadata()["spec"])
            loaded = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 (no iterator)
        state = model.state_dict()
        # only trained or fitted weights; mace-torch recreates the coupling tensors, which are sparse in the file
        kept = {name: tensor for name, tensor in loaded.items() if name in state and "U_matrix" not in name}
        unlike = {name for name, tensor in kept.items() if tensor.numel() != state[name].numel()}
        unlike |= {name for name, _ in model.named_parameters()} - set(kept)
        if unlike:
            sys.exit(
                f"train.py: {min(unlike)} is missing in {file} or has another shape than in this model; give weights "
                "of the same shape"
            )
        model.load_state_dict(state | {name: tensor.reshape(state[name].shape) for name, tensor in kept.items()})
        for interaction, layer in zip(model.interactions, spec["layers"], strict=True):
            interaction.avg_num_neighbors = layer["avg_num_neighbors"]
        return model, output_arguments

    return configure_and_load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="settings: 'data', 'flags', 'mace', 'stages'")
    parser.add_argument("data_dir", type=Path, help="folder of the data sets (REF_energy, REF_forces, REF_stress)")
    parser.add_argument("work_dir", type=Path, help="folder for checkpoints and the trained model")
    parser.add_argument("--stage", type=int, default=1, help="stage of the configuration, from 1 on")
    parser.add_argument("--weights", type=Path, help="portable file to begin from, with a fresh optimiser")
    parser.add_argument("--distilled", type=Path, nargs="+", default=[], help="more training frames, from distill.py")
    arguments = parser.parse_args()

    settings = yaml.safe_load(arguments.config.read_text())
    stages = settings.get("stages", [{}])
    if not 1 <= arguments.stage <= len(stages):
        sys.exit(
            f"train.py: --stage is {arguments.stage}, but {arguments.config} has stages 1 to {len(stages)}; give one"
        )
    settings, training_options = settings_of_stage(settings, stages[arguments.stage - 1])
    work_dir = arguments.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    if missing := next((file for file in arguments.distilled if not file.is_file()), None):
        sys.exit(f"train.py: the file {missing} does not exist; give an output file of distill.py")
    try:
        distilled = [atoms for file in arguments.distilled for atoms in ase.io.read(file, ":", format="extxyz")]
        write_split(settings, arguments.data_dir, work_dir, distilled)
    except DataError as error:
        sys.exit(f"train.py: {error}")

    torch.set_num_threads(1)
    begin_stage(arguments.stage, training_options, work_dir)
    options = {
        "name": arguments.config.stem,
        "work_dir": work_dir,
        "train_file": work_dir / "train.xyz",
        "valid_file": work_dir / "valid.xyz",
        "test_file": work_dir / "test.xyz",
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "device": "cpu",
    } | training_options
    sys.argv = ["mace_run_train", "--restart_latest", *settings.get("flags", [])]
    sys.argv += [f"--{key}={value}" for key, value in options.items()]

    from mace.cli import run_train

    if arguments.weights:
        run_train.configure_model = configured_with(run_train.configure_model, arguments.weights)
    run_train.main()


if __name__ == "__main__":
    main()
