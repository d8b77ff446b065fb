#include "gpu_engine.h"

#include "model/archive.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <stdexcept>

using namespace mlip;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start)
{
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string read_member(const Archive &archive, const std::string &path, const std::string &name)
{
  const auto members = archive.find("extra/gpu/" + name, "");
  if (members.size() != 1)
    throw std::runtime_error(path + " is for a GPU and has no " + name + " for it, like files of older versions; "
                                    "export it again with --device cuda");
  return archive.read(members[0]);
}

/* MLIP_LAMMPS_GPU_GRAPHS=0 in the environment: launch each kernel of each step. */

bool may_record_launches()
{
  const char *choice = std::getenv("MLIP_LAMMPS_GPU_GRAPHS");
  const bool is_watched = std::getenv("MLIP_LAMMPS_GPU_DEBUG") || std::getenv("MLIP_LAMMPS_GPU_PROFILE");
  return !is_watched && !(choice && std::string(choice) == "0");
}

}    // namespace

GpuEngine::GpuEngine(const Archive &archive, const std::string &path, const Metadata &metadata,
                     const std::string &torch_dir) :
    metadata(metadata)
{
  const std::string text = read_member(archive, path, "plan.json");
  const std::string weights_blob = read_member(archive, path, "weights.bin");
  try {
    const auto json = GpuPlan::Json::parse(text);
    device = open_gpu(archive, path, torch_dir, GpuPlan::has_products(json));
    device->enter();
    plan = std::make_unique<GpuPlan>(json, weights_blob, *device);
    plan->memory.join({"totals", "closest", "found", "node_energies", "forces"});
  } catch (const nlohmann_lmp::json::exception &e) {
    throw std::runtime_error(path + ": damaged plan (" + e.what() + "); export it again");
  } catch (const std::runtime_error &e) {
    const std::string what = e.what();
    throw std::runtime_error(what.rfind(path, 0) == 0 ? what : path + ": " + what);
  }
  if (plan->value_bytes() != metadata.feature_bytes ||
      plan->n_elements() != static_cast<int64_t>(metadata.elements.size()))
    throw std::runtime_error(path + ": its plan and its metadata do not fit together; export it again");
  features = std::make_unique<GpuFeatures>(metadata, *plan, *device);
  up = std::make_unique<PinnedMemory>(*device);
  down = std::make_unique<PinnedMemory>(*device);
  may_record = may_record_launches();

  const int n_layers = static_cast<int>(metadata.n_layers);
  programs = {"begin"};
  for (int t = 1; t < n_layers; t++) programs.push_back("forward_" + std::to_string(t));
  programs.push_back("last");
  for (int t = n_layers - 1; t > 0; t--) programs.push_back("backward_" + std::to_string(t));
  whole = {"edges"};
  whole.insert(whole.end(), programs.begin(), programs.end());
  whole.push_back("sums");
}

Gpu GpuEngine::gpu() const
{
  device->enter();
  return {device->name(), static_cast<int64_t>(device->free_bytes()), static_cast<int64_t>(device->total_bytes())};
}

/* What lies in its memory is freed after this. */

GpuEngine::~GpuEngine()
{
  try {
    device->enter();
  } catch (const std::exception &) {    // at the end of a process the driver may be gone
  }
}

/* ---------------------------------------------------------------------- */

void GpuEngine::run_timed(const std::string &phase)
{
  const auto start = std::chrono::steady_clock::now();
  plan->run(phase);
  device->synchronize();
  seconds[phase] += seconds_since(start);
}

void GpuEngine::run(const std::string &phase, FirstFault &fault)
{
  fault.guard([&] { run_timed(phase); });
}

/* All programs. With an axis, gradients of energies weighted by positions: programs run again from the first, since
   later ones may overwrite what earlier ones made, but the features of ghosts are there already. */

void GpuEngine::sweep(int axis, Exchange &exchange, FirstFault &fault)
{
  const int n_layers = static_cast<int>(metadata.n_layers);
  run("begin", fault);
  for (int t = 1; t < n_layers; t++) {
    run("forward_" + std::to_string(t), fault);
    if (axis == PLAIN) features->forward(t, exchange, fault);
  }
  run("last", fault);
  for (int t = n_layers - 1; t > 0; t--) {
    features->reverse(t, axis, exchange, fault);
    run("backward_" + std::to_string(t), fault);
  }
}

std::set<int> GpuEngine::buffers(const std::vector<std::string> &phases, const std::vector<std::string> &others) const
{
  std::set<int> all = plan->buffers_of(phases);
  for (const int buffer : plan->buffers_of({"list"})) all.insert(buffer);
  for (const char *name : {"species", "element_begin", "energy_weights", "node_energies"})
    all.insert(plan->memory.find(name));
  for (const auto &name : others) all.insert(plan->memory.find(name));
  for (size_t t = 1; t <= metadata.feature_widths.size(); t++)
    for (const char *name : {"features_", "feature_gradients_"}) {
      const int buffer = plan->memory.find(name + std::to_string(t));
      if (plan->memory.width(buffer) != metadata.feature_widths[t - 1])
        throw std::runtime_error("its plan has another width of " + plan->memory.name(buffer) +
                                 " than its metadata; export it again");
      all.insert(buffer);
    }
  return all;
}

/* The host's values must stay until the next synchronize(). */

template <class T> void GpuEngine::upload(const char *name, const std::vector<T> &values)
{
  const int buffer = plan->memory.find(name);
  const size_t bytes = values.size() * sizeof(T);
  if (bytes > plan->memory.bytes(buffer))
    throw std::runtime_error(std::string("buffer ") + name + " is too small in the plan; export the model again");
  device->upload(plan->memory.data(buffer), values.data(), bytes);
}

void GpuEngine::upload_atoms()
{
  upload("species", order.species);
  upload("element_begin", order.element_begin);
  weights.assign(order.n_local, 1.0);
  upload("energy_weights", weights);
}

/* ----------------------------------------------------------------------
   graphs
------------------------------------------------------------------------- */

Results GpuEngine::evaluate(const Graph &graph, Exchange &exchange, bool has_moments)
{
  has_lists = is_recorded = false;
  FirstFault fault;
  fault.guard([&] { start(graph, has_moments); });
  sweep(PLAIN, exchange, fault);
  fault.guard([&] {
    take_energies(graph);
    take_gradients(graph);
    if (has_moments) take_moments(graph, PLAIN);
  });
  for (int axis = 0; axis < (has_moments ? 3 : 0); axis++) {
    fault.guard([&] { weigh(axis); });
    sweep(axis, exchange, fault);
    fault.guard([&] { take_moments(graph, axis); });
  }
  fault.raise();
  return {node_energies.data(), edge_gradients.data(), has_moments ? edge_moments.data() : nullptr};
}

void GpuEngine::start(const Graph &graph, bool has_moments)
{
  device->enter();
  device->synchronize();
  const int64_t n_nodes = graph.n_local + graph.n_ghost;
  order.set(graph.species, graph.n_local, n_nodes, plan->n_elements());
  edges.set(graph, order);
  plan->prepare(buffers(programs, {"first", "source", "vectors", "place", "edge_gradients"}),
                {graph.n_local, n_nodes, n_nodes, edges.n_edges(), edges.n_edges(), 0, plan->n_elements()},
                order.element_begin);
  node_energies.resize(graph.n_local);
  edge_gradients.resize(3 * graph.n_edges);
  if (has_moments) measure_offsets(graph);
  features->start(order, has_moments ? offsets.data() : nullptr);
  upload_atoms();
  upload("first", edges.first);
  upload("source", edges.node);
  upload("slot_node", edges.node);
  upload("vectors", edges.vectors);
  upload("place", edges.place);
  run_timed("list");
}

/* From the middle of the owned atoms, so that the numbers are small. */

void GpuEngine::measure_offsets(const Graph &graph)
{
  edge_moments.assign(9 * graph.n_edges, 0.0);
  offsets.resize(3 * order.n_nodes);
  for (int axis = 0; axis < 3; axis++) {
    double least = 0.0, most = 0.0;
    for (int64_t n = 0; n < graph.n_local; n++) {
      const double x = graph.positions[3 * n + axis];
      least = n == 0 ? x : std::min(least, x);
      most = n == 0 ? x : std::max(most, x);
    }
    for (int64_t n = 0; n < order.n_nodes; n++)
      offsets[3 * n + axis] = graph.positions[3 * n + axis] - 0.5 * (least + most);
  }
}

void GpuEngine::weigh(int axis)
{
  for (int64_t row = 0; row < order.n_local; row++) weights[row] = offsets[3 * order.atom_of[row] + axis];
  upload("energy_weights", weights);
}

void GpuEngine::take_energies(const Graph &graph)
{
  const size_t bytes = graph.n_local * sizeof(double);
  char *const energies = down->resize(bytes);
  device->download(energies, plan->memory.data(plan->memory.find("node_energies")), bytes);
  device->synchronize();
  order.to_caller(energies, reinterpret_cast<char *>(node_energies.data()), sizeof(double));
}

/* In device order. */

const double *GpuEngine::download_gradients()
{
  const size_t bytes = 3 * edges.n_edges() * sizeof(double);
  char *const gradients = down->resize(bytes);
  device->download(gradients, plan->memory.data(plan->memory.find("edge_gradients")), bytes);
  device->synchronize();
  return reinterpret_cast<const double *>(gradients);
}

void GpuEngine::take_gradients(const Graph &graph)
{
  const double *const gradients = download_gradients();
  for (int64_t row = 0; row < graph.n_local; row++)
    std::copy(gradients + 3 * int64_t(edges.first[row]), gradients + 3 * int64_t(edges.first[row + 1]),
              edge_gradients.begin() + 3 * edges.edge_of_row(row, order));
}

/* Of energies weighted by x_k - x_o; the plain ones times x_i - x_o are taken from them. */

void GpuEngine::take_moments(const Graph &graph, int axis)
{
  if (axis == PLAIN) {
    for (int64_t e = 0; e < graph.n_edges; e++)
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
          edge_moments[9 * e + 3 * a + b] = -offsets[3 * graph.edge_centre[e] + a] * edge_gradients[3 * e + b];
    return;
  }
  const double *gradient = download_gradients();
  for (int64_t row = 0; row < graph.n_local; row++) {
    double *moment = edge_moments.data() + 9 * edges.edge_of_row(row, order) + 3 * axis;
    for (int32_t k = edges.first[row]; k < edges.first[row + 1]; k++, moment += 9, gradient += 3)
      for (int b = 0; b < 3; b++) moment[b] += gradient[b];
  }
}

/* ----------------------------------------------------------------------
   steps
------------------------------------------------------------------------- */

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

/* From the positions of atoms: on the device, as far as it has room; again with more where it had too little. */

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
    // of the candidates, those within the cutoff: about this share, and what the first step finds is what counts
    const double share = std::pow(metadata.cutoff / atoms.reach, 3);
    edge_capacity = std::max(edge_capacity, static_cast<int64_t>(1.2 * share * sizes.slots) + sizes.local + MIN_EDGES);
  }
  sizes.edges = edge_capacity;
  bool is_kept = false;
  try {
    is_kept = reserve_step();
  } catch (...) {    // a smaller system may follow
    slot_capacity = slots_before;
    edge_capacity = edges_before;
    throw;
  }
  if (!is_kept) return build_lists(atoms);    // memory was short and all of it was taken anew
  run_timed("near");
  run_timed("list");
}

/* What finds the number of candidates: the rest is as large as they are many. */

void GpuEngine::reserve_atoms()
{
  std::set<int> used = plan->buffers_of({"bins"});
  for (const char *name : {"species", "element_begin", "energy_weights", "node_of", "atom_of", "positions", "grid", "found"})
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
  // the scan stops at the largest number, and those of older files run over
  if (*found < 0 || *found == INT32_MAX)
    throw std::runtime_error("too many pairs of atoms for one GPU (" + std::to_string(INT32_MAX) +
                             " or more); use more GPUs or ranks");
  return *found;
}

/* More edges than there is memory for: the caller builds the lists again. */

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
    throw std::runtime_error("the number of atoms changed without new candidates for neighbours");
  if (bytes > 0) std::memcpy(up->data(), atoms.positions, bytes);
  device->upload(plan->memory.data(positions), up->data(), bytes);
}

/* The first step of new lists launches one by one, which also lets libraries load what they need; from the second on
   what was recorded is replayed. */

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
    std::cerr << "mlip-lammps: kernels are launched one by one, which is slower (" << e.what() << ")" << std::endl;
    may_record = false;
  }
  return is_recorded;
}

/* totals, closest, node_energies and forces lie one after the other */

void GpuEngine::download_results()
{
  GpuMemory &memory = plan->memory;
  const int first = memory.find("totals"), last = memory.find("forces");
  const size_t bytes = memory.data(last) + memory.bytes(last) - memory.data(first);
  char *const results = down->resize(bytes);
  device->download(results, memory.data(first), bytes);
  device->synchronize();
}

/* Where a buffer of the results lies on the host. */

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
