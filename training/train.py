"""Train a shipped model with mace-torch, in stages that resume.

    python training/train.py CONFIG.yaml DATA_DIR WORK_DIR [--stage N]

Needs an environment with ``mace-torch`` (``make peer`` makes one). The split is that of ``split.py`` with the seed in
the configuration; its frames are written beside the checkpoints. Running it again with the same WORK_DIR resumes from
the checkpoint there, the last one whose validation loss was the lowest until then. ``--stage`` goes on from there with
the options of that stage; the same number resumes it.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

# mace-torch pins an e3nn that reads its constants with a pickle; its own wheel, not foreign data.
os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

import ase.io
import torch
import yaml
from anchors import close_pairs, compressed_diamond
from ase import Atoms
from split import DataError, read_frames, unit_cell

ANCHORS: dict[str, Callable[..., list[Atoms]]] = {
    "compressed_diamond": compressed_diamond,
    "close_pairs": close_pairs,
}


def write_split(settings: dict, data_dir: Path, work_dir: Path) -> None:
    """Write train.xyz, valid.xyz and test.xyz, each of all data sets, into ``work_dir``; anchors go to train.xyz."""
    parts: dict[str, list[Atoms]] = {"train": [], "valid": [], "test": []}
    for name, arguments in settings.get("anchors", {}).items():
        parts["train"] += ANCHORS[name](**arguments)
    for frame in read_frames(settings["data"], data_dir):
        parts[frame.part].append(unit_cell(frame.atoms, frame.repeats) if frame.part == "train" else frame.atoms)
    for part, atoms in parts.items():
        ase.io.write(work_dir / f"{part}.xyz", atoms, format="extxyz")


def begin_stage(number: int, options: dict, work_dir: Path) -> None:
    """Give the latest checkpoint the learning rate and its decay of a stage, once, before mace-torch resumes from it.

    mace-torch takes both from the checkpoint and not from its options.
    """
    marker = work_dir / "stage"
    checkpoints = sorted((work_dir / "checkpoints").glob("*.pt"), key=lambda file: file.stat().st_mtime)
    if number == 1 or not checkpoints or (marker.exists() and int(marker.read_text()) == number):
        return
    state = torch.load(checkpoints[-1], map_location="cpu", weights_only=False)
    for group in state["optimizer"]["param_groups"]:
        group["lr"] = group["initial_lr"] = options["lr"]
    scheduler = state["lr_scheduler"]
    scheduler["gamma"] = options["lr_scheduler_gamma"]
    for key in ("base_lrs", "_last_lr"):
        scheduler[key] = [options["lr"]] * len(scheduler[key])
    torch.save(state, checkpoints[-1])
    marker.write_text(str(number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="settings: 'data', 'flags', 'mace', 'stages'")
    parser.add_argument("data_dir", type=Path, help="folder of the data sets (REF_energy, REF_forces, REF_stress)")
    parser.add_argument("work_dir", type=Path, help="folder for checkpoints and the trained model")
    parser.add_argument("--stage", type=int, default=1, help="stage of the configuration, from 1 on")
    arguments = parser.parse_args()

    settings = yaml.safe_load(arguments.config.read_text())
    work_dir = arguments.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    try:
        write_split(settings, arguments.data_dir, work_dir)
    except DataError as error:
        sys.exit(f"train.py: {error}")

    torch.set_num_threads(1)
    stages = settings.get("stages", [{}])
    if not 1 <= arguments.stage <= len(stages):
        sys.exit(f"train.py: stage {arguments.stage} of {arguments.config}, which has {len(stages)}; give one of these")
    training_options = settings["mace"] | stages[arguments.stage - 1]
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

    from mace.cli.run_train import main as run_train

    run_train()


if __name__ == "__main__":
    main()
