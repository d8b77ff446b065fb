"""Time mace-torch on one GPU for growing structures until one does not fit; runs in mace-torch's interpreter.

    python benchmarks/gpu_peer_worker.py MODEL cuda|cpu float64|float32 eager|cueq SECONDS STRUCTURE.extxyz ...

The script prints one line of JSON per structure: median times in s of the model and of the ASE calculator, and the
memory.
"""

import json
import os
import statistics
import sys
import time

os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

import ase.io
import numpy as np
import torch
from mace.calculators import MACECalculator

_WARM_UP, _LEAST, _MOST = 3, 3, 10  # torch.jit specialises during the first calls for each size
_SECONDS_OF_A_SIZE = 1.5


def tell(**numbers: object) -> None:
    print("RESULT " + json.dumps(numbers), flush=True)


def median_seconds(call, device: str) -> float:
    """Return the median time of a call, with the device idle before and after."""
    times: list[float] = []
    for k in range(_WARM_UP + _MOST):
        if len(times) >= _LEAST and sum(times) > _SECONDS_OF_A_SIZE:
            break
        before = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        if k >= _WARM_UP:
            times.append(time.perf_counter() - before)
    return statistics.median(times)


def measure(calculator: MACECalculator, atoms: ase.Atoms, device: str) -> dict[str, object]:
    """Time the model with a prepared batch, then the calculator with displaced atoms."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model, rng = calculator.models[0], np.random.default_rng(0)
    number = next(model.parameters()).dtype
    batch = calculator._atoms_to_batch(atoms)

    def call_model() -> None:
        inputs = calculator._clone_batch(batch)
        for key in inputs.keys:
            if torch.is_tensor(inputs[key]) and torch.is_floating_point(inputs[key]):
                inputs[key] = inputs[key].to(number)
        model(inputs.to_dict(), compute_stress=False)["forces"].detach()

    def call_calculator() -> None:
        atoms.positions += rng.normal(scale=1e-4, size=atoms.positions.shape)
        atoms.get_forces()

    found = {"n_atoms": len(atoms), "model_seconds": median_seconds(call_model, device)}
    atoms.calc = calculator
    found["calculator_seconds"] = median_seconds(call_calculator, device)
    found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    return found


def main(model: str, device: str, dtype: str, kind: str, seconds: str, *structures: str) -> None:
    ends = time.perf_counter() + float(seconds)
    try:
        calculator = MACECalculator(model_paths=model, device=device, default_dtype=dtype, enable_cueq=kind == "cueq")
    except Exception as error:  # the table reports what is missing in one line
        tell(stopped=f"does not start: {type(error).__name__}: {error}")
        return
    for path in structures:
        atoms = ase.io.read(path)
        if time.perf_counter() > ends:
            tell(n_atoms=len(atoms), stopped="no time left")
            return
        try:
            tell(**measure(calculator, atoms, device), torch=torch.__version__)
        except Exception as error:  # compiled code raises no specific type, also when memory runs out
            is_full = "out of memory" in str(error)
            why = "does not fit the card's memory" if is_full else f"{type(error).__name__}: {error}"
            tell(n_atoms=len(atoms), stopped=why)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
