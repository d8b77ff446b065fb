"""Create random-weight models and time mace-torch's ASE calculator; runs in mace-torch's interpreter.

    python benchmarks/peer.py make OPTIONS.json MODEL_FILE
    python benchmarks/peer.py time MODEL_FILE STRUCTURE.extxyz SECONDS

``time`` prints JSON: seconds per evaluation of energy, forces and stress in float64 on one thread.
"""

import json
import os
import sys
import time

os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

import ase.io
import numpy as np
import torch
from e3nn import o3
from mace import modules
from mace.calculators import MACECalculator


def make(options_file: str, model_file: str) -> None:
    with open(options_file) as file:
        options = json.load(file)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    numbers = options["atomic_numbers"]
    first, later = options.get("interactions", ("RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock"))
    more = dict(options.get("more", {}))
    if "edge_irreps" in more:
        more["edge_irreps"] = o3.Irreps(more["edge_irreps"])
    model = modules.ScaleShiftMACE(
        r_max=options["r_max"],
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=options["max_ell"],
        interaction_cls=modules.interaction_classes[later],
        interaction_cls_first=modules.interaction_classes[first],
        num_interactions=options.get("num_interactions", 2),
        num_elements=len(numbers),
        hidden_irreps=o3.Irreps(options["hidden_irreps"]),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(len(numbers)),
        avg_num_neighbors=options.get("avg_num_neighbors", 40.0),
        atomic_numbers=numbers,
        correlation=options["correlation"],
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        radial_MLP=options.get("radial_MLP", [64, 64, 64]),
        **more,
    )
    torch.save(model, model_file)


def measure(model_file: str, structure_file: str, seconds: str) -> None:
    torch.set_num_threads(1)
    calculator = MACECalculator(model_paths=model_file, device="cpu", default_dtype="float64")
    atoms = ase.io.read(structure_file)
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    times = []
    start = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < float(seconds):
        atoms.positions += rng.normal(scale=1e-4, size=atoms.positions.shape)
        before = time.perf_counter()
        atoms.get_forces()
        atoms.get_stress()
        times.append(time.perf_counter() - before)
    print("RESULT " + json.dumps({"seconds": times[1:], "torch": torch.__version__}))


if __name__ == "__main__":
    {"make": make, "time": measure}[sys.argv[1]](*sys.argv[2:])
