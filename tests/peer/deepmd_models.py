"""Trains a small model of DeePMD-kit for some steps; runs in the interpreter of DeePMD-kit: FOLDER gets graph.pth."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.calculators.lj import LennardJones

N_FRAMES, N_STEPS, CUTOFF = 4, 20, 4.0


def write_frames(folder: Path) -> None:
    """Write frames of rattled silicon with energies and forces of a pair potential."""
    data = folder / "set.000"
    data.mkdir(parents=True)
    frames = [bulk("Si", cubic=True) for _ in range(N_FRAMES)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=seed)
        atoms.calc = LennardJones(sigma=2.0, epsilon=0.5, rc=5.0)
    np.save(data / "coord.npy", [atoms.positions.ravel() for atoms in frames])
    np.save(data / "box.npy", [atoms.cell[:].ravel() for atoms in frames])
    np.save(data / "energy.npy", [atoms.get_potential_energy() for atoms in frames])
    np.save(data / "force.npy", [atoms.get_forces().ravel() for atoms in frames])
    (folder / "type.raw").write_text("0\n" * len(frames[0]))
    (folder / "type_map.raw").write_text("Si\n")


def main(folder: Path) -> None:
    write_frames(folder / "data")
    descriptor = {
        "type": "se_e2_a", "rcut": CUTOFF, "rcut_smth": 0.5, "sel": [40], "neuron": [4, 8], "axis_neuron": 4,
        "seed": 1, "precision": "float64",
    }  # fmt: skip
    training = {"training_data": {"systems": [str(folder / "data")], "batch_size": 1}, "numb_steps": N_STEPS, "seed": 1}
    settings = {
        "model": {
            "type_map": ["Si"],
            "descriptor": descriptor,
            "fitting_net": {"neuron": [8, 8], "seed": 1, "precision": "float64"},
        },
        "learning_rate": {"type": "exp", "start_lr": 0.01, "stop_lr": 0.001, "decay_steps": 5},
        "loss": {
            "type": "ener", "start_pref_e": 0.1, "limit_pref_e": 1, "start_pref_f": 100, "limit_pref_f": 1,
        },
        "training": training,
    }  # fmt: skip
    (folder / "input.json").write_text(json.dumps(settings))
    program = Path(sys.executable).parent / "dp"
    for words in (("train", "input.json"), ("freeze", "-o", "graph.pth")):
        subprocess.run([program, "--pt", *words], cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
