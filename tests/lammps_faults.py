"""Planted run-time faults: a preloaded library that intercepts calls from the pair style to the model."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lammps_run import Finished, lammps_options, run_command

from mlip_lammps.engines.lammps.plugin import source_folder
from mlip_lammps.engines.lammps.process import find_program

SOURCE = r"""
#include "model/model.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <limits>
#include <new>
#include <stdexcept>

// MLIP_FAULT names the fault, MLIP_FAULT_CALL the call of Model::evaluate (from 0) in which it strikes.
static int n_calls = 0;
static bool is_evaluating = false;
static bool is_now(const char *name)
{
  const char *fault = getenv("MLIP_FAULT"), *call = getenv("MLIP_FAULT_CALL");
  return fault && call && strcmp(fault, name) == 0 && n_calls == atoi(call);
}

static void *allocate(size_t size, const char *fault, const char *library, void *caller)
{
  Dl_info info;
  if (is_now(fault) && size > 100 && dladdr(caller, &info) && strstr(info.dli_fname, library)) throw std::bad_alloc();
  if (void *memory = malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
void *operator new(size_t size)
{
  const char *fault = is_evaluating ? "no_memory_in_model" : "no_memory_to_open";
  return allocate(size, fault, "libmlip_model.so", __builtin_return_address(0));
}
void *operator new[](size_t size)
{
  return allocate(size, "no_memory_for_edges", "mliptorchplugin.so", __builtin_return_address(0));
}
void operator delete(void *memory) noexcept { free(memory); }
void operator delete[](void *memory) noexcept { free(memory); }
void operator delete(void *memory, size_t) noexcept { free(memory); }
void operator delete[](void *memory, size_t) noexcept { free(memory); }

mlip::Results mlip::Model::evaluate(const Graph &graph, Exchange &exchange, bool has_moments, bool has_node_virials)
{
  using Function = Results (*)(Model *, const Graph &, Exchange &, bool, bool);
  static const Function original = reinterpret_cast<Function>(
      dlsym(dlopen("libmlip_model.so", RTLD_NOW | RTLD_NOLOAD),
            "_ZN4mlip5Model8evaluateERKNS_5GraphERNS_8ExchangeEbb"));
  struct Evaluating {
    Evaluating() { is_evaluating = true; }
    ~Evaluating() { is_evaluating = false; }
  } evaluating;
  const Results results = original(this, graph, exchange, has_moments, has_node_virials);
  const double infinity = std::numeric_limits<double>::infinity();
  if (is_now("nan_energy")) const_cast<double *>(results.node_energies)[0] = infinity - infinity;
  if (is_now("infinite_force")) const_cast<double *>(results.edge_gradients)[1] = -infinity;
  if (is_now("exception")) throw std::runtime_error("a planted exception");
  n_calls++;
  return results;
}
"""


def build_fault_library(folder: Path) -> Path:
    """Compile the library."""
    source, library = folder / "faults.cpp", folder / "libfaults.so"
    source.write_text(SOURCE)
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", f"-I{source_folder()}", source, "-o", library, "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return library


def run_with_fault(
    text: str,
    folder: Path,
    library: Path,
    fault: str,
    *,
    n_ranks: int,
    rank: int,
    call: int,
    lammps: Sequence[object] = (),
    **options: object,
) -> Finished:
    """Run LAMMPS commands with a fault on one rank; see ``run_lammps`` for the other options."""
    (folder / "in.fault").write_text(text)
    lmp = [find_program("lmp"), *lammps_options("in.fault"), *lammps]
    planted = ["-env", "MLIP_FAULT", fault, "-env", "MLIP_FAULT_CALL", call]
    parts = [(rank, []), (1, planted), (n_ranks - rank - 1, [])]
    command: list[object] = [find_program("mpiexec")]
    for n, environment in parts:
        if n:
            command += [":"] * (len(command) > 1) + ["-n", n, *environment, *lmp]
    return run_command(command, folder, changes={"LD_PRELOAD": str(library)}, **options)
