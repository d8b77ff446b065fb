/* ----------------------------------------------------------------------
   Steps of a model that finds its own edges on the GPU.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "gpu_engine.h"

#include "model/stopwatch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <stdexcept>

using namespace mlip;

StepResults GpuEngine::step(const Atoms &atoms, Exchange &exchange)
{
  const auto start = std::chrono::steady_clock::now();
  const bool is_alone = atoms.owner || !exchange.moves_rows();
  was_replayed = false;
  FirstFault fault;
  fault.guard([&] {
    device->enter();
    if (atoms.is_new || !has_lists)
      load_atoms(atoms);
    else
      upload_positions(atoms);
    if (is_alone) run_alone();
  });
  if (!is_alone) {
    fault.guard([&] { find_edges(atoms); });
    sweep(PLAIN, exchange, fault);
    run("sums", fault);
  }
  fault.guard([&] {
    download_results();
    int32_t found = 0;
    std::memcpy(&found, result("found"), sizeof(found));
    if (!is_alone || !has_more_edges(found)) return;
    build_lists(atoms);
    run_alone();
    download_results();
  });
  has_lists = !fault.is_kept();
  fault.raise();
  if (was_replayed) seconds["last"] += seconds_since(start);
  return unpack();
}

void GpuEngine::load_atoms(const Atoms &atoms)
{
  has_lists = false;
  device->synchronize();
  sizes = {};
  sizes.local = atoms.n_local;
  sizes.atoms = atoms.n_local + atoms.n_ghost;
  sizes.nodes = atoms.owner ? atoms.n_local : sizes.atoms;
  sizes.elements = plan->n_elements();
  order.set(atoms.species, sizes.local, sizes.nodes, sizes.elements);
  order.place_ghosts(atoms);
  grid.set(atoms.positions, sizes.atoms, atoms.reach);
  sizes.cells = grid.n_cells;
  features->start(order, nullptr);
  up->resize(3 * sizes.atoms * sizeof(double));
  build_lists(atoms);
}

/* Builds the lists on the device from the positions of atoms; repeats with more memory if there was too little. */

void GpuEngine::build_lists(const Atoms &atoms)
{
  is_warm = is_recorded = false;
  sizes.slots = slot_capacity;
  sizes.edges = edge_capacity;
  reserve_atoms();
  upload_atoms();
  upload("node_of", order.node_of);
  upload("atom_of", order.atom_of);
  upload("grid", grid.numbers);
  upload_positions(atoms);
  run_timed("bins");
  sizes.slots = download_found();
  const bool has_room = sizes.slots <= slot_capacity;
  const int64_t slots_before = slot_capacity, edges_before = edge_capacity;
  if (!has_room) {
    slot_capacity = sizes.slots + sizes.slots / 16;
    // about this share of the candidates lies within the cutoff; the first step finds the actual number
    const double share = std::pow(metadata.cutoff / atoms.reach, 3);
    edge_capacity = std::max(edge_capacity, static_cast<int64_t>(1.2 * share * sizes.slots) + sizes.local + MIN_EDGES);
  }
  sizes.edges = edge_capacity;
  bool is_kept = false;
  try {
    is_kept = reserve_step();
  } catch (...) {    // a smaller system can follow
    slot_capacity = slots_before;
    edge_capacity = edges_before;
    throw;
  }
  if (!is_kept) return build_lists(atoms);    // memory was short, and all of it was allocated again
  run_timed("near");
  run_timed("list");
}

/* Reserves the buffers that count candidates; the size of the others depends on that count. */

void GpuEngine::reserve_atoms()
{
  std::set<int> used = plan->buffers_of({"bins"});
  for (const char *name :
       {"species", "element_begin", "energy_weights", "node_of", "atom_of", "positions", "grid", "found"})
    used.insert(plan->memory.find(name));
  plan->prepare(used, sizes, order.element_begin);
}

bool GpuEngine::reserve_step()
{
  static const std::vector<std::string> results = {"positions", "grid", "forces", "totals", "closest", "found"};
  std::vector<std::string> phases = {"bins", "near"};
  phases.insert(phases.end(), whole.begin(), whole.end());
  return plan->prepare(buffers(phases, results), sizes, order.element_begin);
}

int32_t GpuEngine::download_found()
{
  int32_t *const found = reinterpret_cast<int32_t *>(down->resize(sizeof(int32_t)));
  device->download(found, plan->memory.data(plan->memory.find("found")), sizeof(*found));
  device->synchronize();
  // the scan saturates at the largest number; in older files it overflows
  if (*found < 0 || *found == INT32_MAX)
    throw std::runtime_error("too many pairs of atoms for one GPU (" + std::to_string(INT32_MAX) +
                             " or more); use more GPUs or ranks");
  return *found;
}

/* More edges than there is memory for; the caller builds the lists again. */

bool GpuEngine::has_more_edges(int64_t found)
{
  if (found <= sizes.edges) return false;
  edge_capacity = found + found / 16;
  return true;
}

void GpuEngine::find_edges(const Atoms &atoms)
{
  run_timed("edges");
  if (!has_more_edges(download_found())) return;
  build_lists(atoms);
  run_timed("edges");
}

void GpuEngine::upload_positions(const Atoms &atoms)
{
  const size_t bytes = 3 * (atoms.n_local + atoms.n_ghost) * sizeof(double);
  const int positions = plan->memory.find("positions");
  if (bytes != plan->memory.bytes(positions))
    throw std::runtime_error("the number of atoms changed without a new neighbour list; report a bug with this input");
  if (bytes > 0) std::memcpy(up->data(), atoms.positions, bytes);
  device->upload(plan->memory.data(positions), up->data(), bytes);
}

/* The first step with new lists launches kernels one by one, so that libraries can load what they need; later steps
   replay a recording. */

void GpuEngine::run_alone()
{
  if (is_warm && may_record && (is_recorded || record())) {
    device->replay();
    was_replayed = true;
    return;
  }
  for (const auto &phase : whole) run_timed(phase);
  is_warm = true;
}

bool GpuEngine::record()
{
  try {
    device->begin_capture();
    try {
      for (const auto &phase : whole) plan->run(phase);
    } catch (...) {
      device->end_capture(true);
      throw;
    }
    device->end_capture(false);
    is_recorded = true;
  } catch (const std::runtime_error &e) {
    std::cerr << "mlip-lammps: cannot record a CUDA graph (" << e.what()
              << "); kernels are launched one by one, which is slower" << std::endl;
    may_record = false;
  }
  return is_recorded;
}

/* totals, closest, node_energies and forces are contiguous */

void GpuEngine::download_results()
{
  GpuMemory &memory = plan->memory;
  const int first = memory.find("totals"), last = memory.find("forces");
  const size_t bytes = memory.data(last) + memory.bytes(last) - memory.data(first);
  char *const results = down->resize(bytes);
  device->download(results, memory.data(first), bytes);
  device->synchronize();
}

/* The host address of a result buffer. */

const char *GpuEngine::result(const char *name) const
{
  const GpuMemory &memory = plan->memory;
  return down->data() + (memory.data(memory.find(name)) - memory.data(memory.find("totals")));
}

StepResults GpuEngine::unpack()
{
  const auto values = [&](const char *name) { return reinterpret_cast<const double *>(result(name)); };
  StepResults results;
  const double *const totals = values("totals");
  results.energy = totals[0];
  std::copy_n(totals + 1, 6, results.virial);
  results.node_energies = values("node_energies");
  results.forces = values("forces");
  results.n_force_rows = order.n_nodes;
  find_closest(results);
  if (order.is_identity) return results;

  node_energies.resize(order.n_local);
  forces.resize(3 * order.n_nodes);
  const auto reorder = [&](const double *from, std::vector<double> &to, size_t row_bytes) {
    order.to_caller(reinterpret_cast<const char *>(from), reinterpret_cast<char *>(to.data()), row_bytes);
  };
  reorder(results.node_energies, node_energies, sizeof(double));
  reorder(results.forces, forces, 3 * sizeof(double));
  std::copy(results.forces + 3 * order.n_local, results.forces + 3 * order.n_nodes,
            forces.begin() + 3 * order.n_local);
  results.node_energies = node_energies.data();
  results.forces = forces.data();
  return results;
}

/* High half: bits of distance / smallest; low half: the candidate slot; all ones: none. */

void GpuEngine::find_closest(StepResults &results)
{
  uint64_t closest = 0;
  std::memcpy(&closest, result("closest"), sizeof(closest));
  const auto slot = static_cast<int64_t>(closest & 0xffffffffu);
  if (closest == ~uint64_t(0) || slot >= sizes.slots) return;
  std::vector<int32_t> first(sizes.local + 1);
  const auto *const candidates =
      reinterpret_cast<const int32_t *>(plan->memory.data(plan->memory.find("candidate")));
  device->download(first.data(), plan->memory.data(plan->memory.find("list_first")), first.size() * sizeof(int32_t));
  device->download(&results.close_j, candidates + slot, sizeof(int32_t));
  device->synchronize();
  const auto after = std::upper_bound(first.begin(), first.end(), slot);
  results.close_i = order.atom_of[after - first.begin() - 1];
}
