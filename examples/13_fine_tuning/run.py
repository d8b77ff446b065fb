"""Fine-tune silicon-pbe to the Stillinger-Weber potential, naively and with replay, and run LAMMPS."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parents[1] / "mlip_lammps/models/silicon-pbe/model.safetensors"
MLIP = (sys.executable, "-m", "mlip_lammps.cli.main")
TRUSTED = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
"""mace-torch reads its own constants with pickle."""


def run(*command: object) -> None:
    """Print and run a command; its output goes to commands.log, except that of errors.py."""
    print("$", *command, flush=True)
    with open("commands.log", "a") as log:
        output = None if HERE / "errors.py" in command else log
        subprocess.run([str(one) for one in command], check=True, stdout=output, stderr=log, env=TRUSTED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="epochs of each training")
    parser.add_argument("--out", type=Path, default=Path("out/fine_tuning"), help="folder for the results")
    chosen = parser.parse_args()
    mace = Path(os.environ.get("MLIP_LAMMPS_MACE_PYTHON", HERE.parents[1] / ".venv-mace/bin/python")).absolute()
    chosen.out.mkdir(parents=True, exist_ok=True)
    os.chdir(chosen.out)
    run(sys.executable, HERE / "data.py")
    run(mace, HERE / "to_mace.py", SHIPPED, "silicon-pbe.model")
    train = (
        mace, "-m", "mace.cli.run_train", "--foundation_model=silicon-pbe.model", "--train_file=sw_train.xyz",
        "--valid_file=sw_valid.xyz", "--E0s=foundation", "--energy_key=REF_energy", "--forces_key=REF_forces",
        "--energy_weight=10", "--forces_weight=100", "--lr=0.002", "--batch_size=4", "--default_dtype=float64",
        f"--max_num_epochs={chosen.epochs}", "--seed=1", "--device=cpu",
    )  # fmt: skip
    run(*train, "--name=naive", "--multiheads_finetuning=False")
    replay = "--pt_train_file=pbe_train.xyz", "--pt_valid_file=pbe_valid.xyz", "--force_mh_ft_lr=True"
    run(*train, "--name=replay", "--multiheads_finetuning=True", *replay)
    for model in (["silicon-pbe"], ["naive.model"], ["replay.model", "Default"], ["replay.model", "pt_head"]):
        run(sys.executable, HERE / "errors.py", *model)
    run(*MLIP, "export", "replay.model", "--head", "Default", "-o", "replay.pt2")
    run(*MLIP, "md", "replay.pt2", "start.xyz", "--temperature", "300", "--time", "0.5", "--out", "md")
    print(f"the run: {chosen.out}/md")


if __name__ == "__main__":
    main()
