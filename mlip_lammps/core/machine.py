"""Description of the processor that compiled code depends on."""

import platform
from pathlib import Path

_INSTRUCTION_PREFIXES = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "asimd", "sve")


def machine_record() -> dict[str, object]:
    """Return the architecture and the instruction sets that code compiled here may use."""
    flags: list[str] = []
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            flags = line.partition(":")[2].split()
            break
    return {
        "architecture": platform.machine(),
        "cpu_flags": sorted(flag for flag in flags if flag.startswith(_INSTRUCTION_PREFIXES)),
    }
