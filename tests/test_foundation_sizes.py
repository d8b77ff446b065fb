"""Exports in the size of foundation models take less than 3 minutes of two cores and less than 6 GB: ``make sizes``."""

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from foundation_sizes import SIZES

from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing.structures import rattled_triclinic

MOST_SECONDS = 2 * 180
"""Processor time: 3 minutes of two cores. The elapsed time depends on what else runs."""
MOST_BYTES = 6e9


def memory_of_session(session: int) -> int:
    """Return the memory of all processes of a session in bytes; pages that several share count once."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found = re.search(r"^Pss: *(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
                total += 1024 * int(found[1]) if found else 0
        except OSError:  # it has ended
            continue
    return total


@pytest.mark.sizes
@pytest.mark.parametrize("dtype", ["mixed", "float64"])
@pytest.mark.parametrize("name", list(SIZES))
def test_a_model_of_the_size_of_a_foundation_model_exports_and_runs(name, dtype, tmp_path):
    output = tmp_path / "model.pt2"
    script = Path(__file__).with_name("foundation_sizes.py")
    before, started, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, str(script), name, dtype, str(output)]
    with subprocess.Popen(command, start_new_session=True, env=environment) as process:
        while process.poll() is None:
            most = max(most, memory_of_session(process.pid))
            time.sleep(0.5)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    elapsed, size = time.monotonic() - started, output.stat().st_size if output.exists() else 0
    sizes = f"{most / 1e9:.1f} GB, file {size / 1e6:.0f} MB"
    print(f"{name}, {dtype}: {seconds:.0f} s of one core, {elapsed:.0f} s, {sizes}")
    assert process.returncode == 0
    assert seconds < MOST_SECONDS
    assert most < MOST_BYTES
    model = CompiledModel(output, n_threads=2)
    assert len(read_metadata(output)["elements"]) > 80
    found = model.evaluate(build_graph(rattled_triclinic(("O", "Si", "Ni"), repeat=(2, 2, 2)), model.cutoff))
    assert abs(found.energy) < 1e9
