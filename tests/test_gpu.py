"""The way of a file for a GPU, without one: a libtorch whose GPU is the CPU, and programs that are compiled for it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_export import with_metadata

from mlip_lammps.core.native import torch_folder
from mlip_lammps.export import runtime
from mlip_lammps.export.runtime import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing.structures import rattled_triclinic

STAND_IN = """#include <cstdint>
extern "C" int32_t aoti_torch_device_type_cpu();
extern "C" int32_t aoti_torch_device_type_cuda() { return aoti_torch_device_type_cpu(); }
"""


@pytest.fixture(scope="module")
def torch_without_gpu(tmp_path_factory) -> Path:
    """A folder like that of torch; what it does not define is in the real library."""
    folder, real = tmp_path_factory.mktemp("stand_in") / "torch", torch_folder()
    (folder / "lib").mkdir(parents=True)
    shutil.copy(real / "version.py", folder)
    (folder / "gpu.cpp").write_text(STAND_IN)
    libraries = ["-Wl,--no-as-needed", real / "lib" / "libtorch_cpu.so", f"-Wl,-rpath,{real / 'lib'}"]
    command = ["g++", "-shared", "-fPIC", folder / "gpu.cpp", "-o", folder / "lib" / "libtorch.so", *libraries]
    subprocess.run(command, check=True)
    return folder


@pytest.mark.parametrize("chunk_atoms", [1000, 5])
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_what_stays_on_the_gpu_is_what_the_host_would_hand_on(
    chunk_atoms, dtype, torch_without_gpu, compile_once, tmp_path, monkeypatch
):
    path = compile_once("two_layers", dtype)
    expected = CompiledModel(path)
    monkeypatch.setattr(runtime, "torch_folder", lambda: torch_without_gpu)
    entries = dict(device="cuda", chunk_atoms=chunk_atoms)
    found = CompiledModel(with_metadata(path, tmp_path / "gpu.pt2", **entries))
    tolerance = 1e-11 if dtype == "float64" else 1e-5
    for n, seed in ((2, 1), (3, 2), (2, 3)):  # a smaller one after a larger one
        atoms = rattled_triclinic(expected.elements, repeat=(n, 2, 2), seed=seed)
        atoms.pbc = False
        for positions in (None, atoms.positions, None):
            graph = build_graph(atoms, expected.cutoff)
            one, other = expected.evaluate(graph, positions), found.evaluate(graph, positions)
            np.testing.assert_allclose(other.node_energies, one.node_energies, rtol=0, atol=tolerance)
            np.testing.assert_allclose(other.edge_gradients, one.edge_gradients, rtol=0, atol=tolerance)
            if positions is not None:
                np.testing.assert_allclose(other.edge_moments, one.edge_moments, rtol=0, atol=10 * tolerance)
