"""GPU kernels compiled on a machine without a GPU, and the choice among them, tested with a mock CUDA driver."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from lammps_run import environment

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.kernels.gpu import nvrtc
from mlip_lammps.kernels.gpu.backend import ARCHITECTURES, EMULATED_PATH
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.testing.emulated_gpu import write_emulated

# A mock driver that reports a GPU and, given kernels, prints their architecture and refuses to load them.
DRIVER = """
#include <cstdlib>
#include <cstring>
#include <cstdio>
static int number(const char *name) { const char *text = getenv(name); return text ? atoi(text) : 0; }
static char something;
extern "C" {
int cuInit(unsigned) { return number("STAND_IN_STATUS"); }
int cuGetErrorString(int status, const char **text) { *text = status == 100 ? "no device" : "a fault"; return 0; }
int cuDeviceGetCount(int *n) { *n = number("STAND_IN_GPUS"); return 0; }
int cuDeviceGet(int *gpu, int k) { *gpu = k; return 0; }
int cuDeviceGetName(char *name, int n, int) { strncpy(name, "Stand-in", n); return 0; }
int cuDeviceGetAttribute(int *value, int which, int)
{
  *value = which == 75 ? number("STAND_IN_CAPABILITY") / 10 : number("STAND_IN_CAPABILITY") % 10;
  return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int) { *context = &something; return 0; }
int cuCtxSetCurrent(void *) { return 0; }
int cuModuleLoadData(void **, const void *image)
{
  const auto *bytes = static_cast<const unsigned char *>(image);
  unsigned flags;
  memcpy(&flags, bytes + 48, 4);
  fprintf(stderr, "kernels of sm_%u\\n", (flags >> 8 & 0xff) >= 50 ? flags >> 8 & 0xff : flags & 0xff);
  return 222;
}
int cuStreamDestroy_v2(void *) { return 0; }
#define NEVER(name) int name() { abort(); }
NEVER(cuMemAlloc_v2) NEVER(cuMemFree_v2) NEVER(cuMemGetInfo_v2) NEVER(cuMemHostAlloc) NEVER(cuMemFreeHost)
NEVER(cuMemcpyHtoDAsync_v2) NEVER(cuMemcpyDtoHAsync_v2) NEVER(cuMemcpyDtoDAsync_v2) NEVER(cuMemsetD8Async)
NEVER(cuStreamCreate) NEVER(cuStreamSynchronize) NEVER(cuStreamBeginCapture_v2) NEVER(cuStreamEndCapture)
NEVER(cuGraphInstantiateWithFlags) NEVER(cuGraphLaunch) NEVER(cuGraphDestroy) NEVER(cuGraphExecDestroy)
NEVER(cuModuleUnload) NEVER(cuModuleGetFunction) NEVER(cuLaunchKernel)
}
"""
# Does not import torch, which takes seconds.
OPEN = """
import ctypes, sys
from mlip_lammps.core.native import MODEL_LIBRARY, native_folder, torch_folder
error = ctypes.create_string_buffer(4096)
library, folder = ctypes.CDLL(str(native_folder() / MODEL_LIBRARY)), str(torch_folder()).encode()
library.mlip_model_open.restype = ctypes.c_void_p
handle = library.mlip_model_open(sys.argv[1].encode(), folder, 1, error, ctypes.c_int64(4096))
sys.exit(0 if handle else error.value.decode())
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """Return the folder of a mock ``libcuda.so.1``."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.cpp").write_text(DRIVER)
    command = ["g++", "-shared", "-fPIC", "driver.cpp", "-o", "libcuda.so.1"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture
def model(compile_once) -> Path:
    """Return a GPU file."""
    return compile_once("one_layer", "mixed", device="cuda")


def open_on(driver: Path, model: Path, capability: int, n_gpus: int = 1, status: int = 0) -> str:
    """Return the output of a process that opens ``model`` with a GPU of a compute capability (times ten)."""
    changes = {
        "LD_LIBRARY_PATH": str(driver),
        "STAND_IN_CAPABILITY": str(capability),
        "STAND_IN_GPUS": str(n_gpus),
        "STAND_IN_STATUS": str(status),
    }
    command = [sys.executable, "-c", OPEN, model]
    done = subprocess.run(command, env=environment(changes), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("capability", "taken"), [(80, 80), (86, 80), (89, 80), (90, 90), (100, 100), (103, 100), (120, 120), (121, 120)]
)
def test_a_gpu_uses_the_latest_kernels_of_its_generation(capability, taken, driver, model):
    assert f"kernels of sm_{taken}\n" in open_on(driver, model, capability)


@pytest.mark.parametrize("capability", [60, 75, 110])
def test_a_gpu_of_another_generation_is_refused(capability, driver, model):
    text = open_on(driver, model, capability)
    assert f"{model} has no kernels for this GPU, Stand-in (compute capability {capability / 10:.1f}; " in text
    assert "the file has 8.0, 9.0, 10.0, 12.0); use one of these, or export the model with --device cpu" in text
    assert "kernels of" not in text


def test_kernels_that_the_driver_rejects_are_reported(driver, model):
    text = open_on(driver, model, 90)
    assert f"the driver cannot load the kernels of {model}: a fault (CUDA error 222); install a newer driver" in text


def test_a_missing_gpu_is_reported(driver, model):
    for options, reason in ((dict(n_gpus=0), "; "), (dict(status=100), " (no device (CUDA error 100)); ")):
        text = open_on(driver, model, 90, **options)
        assert f"{model} was exported for a GPU, but this process sees none{reason}export" in text


def test_an_export_reports_architectures_and_differences(model):
    with zipfile.ZipFile(model) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    assert {f"extra/gpu/kernels-sm_{architecture}.cubin" for architecture in ARCHITECTURES} < names
    assert EMULATED_PATH not in names
    facts = json.loads(zipfile.ZipFile(model).read("model/extra/mlip_lammps.json"))
    assert facts["compute_capabilities"] == [f"{architecture / 10:.1f}" for architecture in ARCHITECTURES]
    assert 0.0 < facts["differences"]["gradient_relative"] < 1e-4
    assert not {"torch_version", "machine", "chunk_atoms", "programs"} & facts.keys()


def test_info_names_the_device(model, capsys):
    assert main(["info", str(model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["device", "cuda"] for line in lines)
    assert any("compute_capabilities" in line and "12.0" in line for line in lines)


def test_a_missing_gpu_compiler_is_reported_with_the_next_step(portable_models, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nvrtc, "_candidates", list)
    nvrtc._library.cache_clear()
    try:
        words = ["export", str(portable_models["one_layer"]), "-o", str(tmp_path / "m.pt2"), "--device", "cuda"]
        assert main(words) == 2
    finally:
        nvrtc._library.cache_clear()
    printed = capsys.readouterr().err
    assert "NVRTC, which compiles the GPU kernels, was not found; install it with: pip install" in printed
    assert not (tmp_path / "m.pt2").exists()


def test_a_file_with_a_plan_for_another_precision_is_refused(trained_models, tmp_path):
    path = write_emulated(trained_models["one_layer"], tmp_path / "model.pt2", "mixed")
    done = damaged(path, lambda facts: facts.update(dtype="float64"))
    assert "its plan does not match its metadata; export it again" in done


def test_a_file_of_an_older_version_without_kernels_is_refused(trained_models, tmp_path):
    path, old = write_emulated(trained_models["one_layer"], tmp_path / "model.pt2"), tmp_path / "old.pt2"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            if not name.endswith("plan.json"):
                target.writestr(name, source.read(name))
    assert f"{old} is for a GPU but has no plan.json, like files of older versions" in refusal(old)


def damaged(path: Path, change) -> str:
    """Return the error message for a file with changed metadata."""
    other = path.with_name("damaged.pt2")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("checksums.json"):
                continue
            if name.endswith("mlip_lammps.json"):
                facts = json.loads(content) | {"has_checksums": False}
                change(facts)
                content = json.dumps(facts)
            target.writestr(name, content)
    return refusal(other)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as error:
        CompiledModel(path)
    return str(error.value)
