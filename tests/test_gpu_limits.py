"""Sizes that kernels of a GPU cannot count are refused: they would overflow, and give wrong results."""

import subprocess
from pathlib import Path

import pytest

import mlip_lammps.kernels.gpu
from mlip_lammps.core.native import MODEL_LIBRARY
from mlip_lammps.engines.lammps.plugin import source_folder

LIMIT = 2**31
"""One more than the largest int."""

PROGRAM = """
#include "lists.h"
#include "model/gpu/gpu_memory.h"

#include <cstdio>
#include <cstdlib>
#include <exception>

// buffer, its rows, its width, their number
static void require(char **word)
{
  alignas(16) char none[64] = {};    // asked for nothing
  mlip::GpuMemory memory(reinterpret_cast<mlip::GpuDevice &>(none));
  mlip::GraphSizes sizes;
  sizes.edges = sizes.nodes = sizes.local = std::atoll(word[3]);
  const int buffer = memory.add(word[0], mlip::SizeOf(word[1]), std::atoll(word[2]), 4);
  memory.require_int32({buffer}, sizes);
}

static void scan(char **word, int n)
{
  std::vector<int> in, out(n + 1);
  for (int k = 0; k < n; k++) in.push_back(std::atoi(word[k]));
  int total = 0;
  mlip_gpu::scan(mlip_gpu::Place{0, 0}, n, in.data(), 2147483647, out.data(), &total);
  std::printf("%d", total);
}

int main(int n, char **word)
{
  try {
    if (word[1][0] == 'r') require(word + 2);
    else scan(word + 2, n - 2);
  } catch (std::exception &e) {
    std::printf("%s", e.what());
  }
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder, native = tmp_path_factory.mktemp("limits"), source_folder()
    (folder / "limits.cpp").write_text(PROGRAM)
    include = [f"-I{path}" for path in (native, Path(mlip_lammps.kernels.gpu.__file__).parent)]
    library = [f"-L{native}", f"-l:{MODEL_LIBRARY}", f"-Wl,-rpath,{native}"]
    command = ["g++", "-std=c++17", "-O1", *include, folder / "limits.cpp", *library, "-o", folder / "limits"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)

    def run(*words: object) -> str:
        command = [str(word) for word in (folder / "limits", *words)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    return run


@pytest.mark.parametrize(
    ("buffer", "rows", "width"),
    [("partial_1", "edges", 32), ("features_1", "nodes", 512), ("messages_2", "local", 640), ("vectors", "edges", 3)],
)
def test_more_numbers_than_an_int_counts_are_refused(buffer, rows, width, program):
    most = (LIMIT - 1) // width
    assert program("require", buffer, rows, width, most) == ""
    told = program("require", buffer, rows, width, most + 1)
    assert told.startswith(f"too many atoms for one GPU: {most + 1} atoms need {most + 1} rows of {width} values in")
    assert told.endswith(f"buffer {buffer}, but at most {most} rows are possible; use more GPUs or ranks")


@pytest.mark.parametrize(("buffer", "rows"), [("rows", "edges"), ("received_1", "local"), ("received_2", "local")])
def test_buffers_that_kernels_count_in_64_bits_have_no_limit(buffer, rows, program):
    assert program("require", buffer, rows, 512, LIMIT) == ""


def test_a_sum_of_candidates_does_not_overflow(program):
    assert program("scan", 3, 4, 5) == "12"
    most = LIMIT - 1
    assert program("scan", *[2**30] * 2) == str(most)
    # more than 256 numbers: several rounds of a warp
    assert program("scan", *[2**22] * 511) == str(2**22 * 511)
    assert program("scan", *[2**22] * 600) == str(most)
    assert program("scan", *[2**22] * 1400) == str(most)
