#include "gpu_engine.h"

#include "model/archive.h"
#include "model/stopwatch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

using namespace mlip;

namespace {

std::string read_member(const Archive &archive, const std::string &path, const std::string &name)
{
  const auto members = archive.find("extra/gpu/" + name, "");
  if (members.size() != 1)
    throw std::runtime_error(path + " is for a GPU but has no " + name + ", like files of older versions; "
                                    "export it again with --device cuda");
  return archive.read(members[0]);
}

/* The environment variable MLIP_LAMMPS_GPU_GRAPHS=0 launches each kernel of each step separately. */

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
    throw std::runtime_error(path + ": its plan does not match its metadata; export it again");
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

/* Members in device memory are freed after this. */

GpuEngine::~GpuEngine()
{
  try {
    device->enter();
  } catch (const std::exception &) {    // at process exit the driver may be unloaded
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

/* Runs all programs. With an axis, computes gradients of energies weighted by positions: programs run again from the
   first, since later ones may overwrite results of earlier ones, but the features of ghosts are already present. */

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
        throw std::runtime_error("the width of " + plan->memory.name(buffer) +
                                 " in the plan differs from the metadata; export the model again");
      all.insert(buffer);
    }
  return all;
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

/* Positions relative to the middle of the owned atoms, so that the values are small. */

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

/* Results in device order. */

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

/* Gradients of energies weighted by x_k - x_o, minus x_i - x_o times the plain gradients. */

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
