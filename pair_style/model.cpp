#include "model.h"

#include "archive.h"
#include "document.h"
#include "machine.h"
#include "torch_shim.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <limits>
#include <malloc.h>
#include <map>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

using namespace mlip;

namespace {

constexpr int64_t MIN_SIZE = 2;    // torch.export takes sizes 0 and 1 for constants

bool is_folder(const std::string &path)
{
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

/* Programs allocate the same large arrays in every step. As glibc comes, each is mapped and given back, and touching
   fresh pages costs a tenth and more of a step: keep the memory in the process instead. */
void keep_freed_memory()
{
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 << 20);
}

/* GPUs that the driver shows; several ranks of a node share them in turn. */
int count_gpus()
{
  int n = 0;
  while (n < 64 && access(("/dev/nvidia" + std::to_string(n)).c_str(), F_OK) == 0) n++;
  return std::max(n, 1);
}

}    // namespace

/* ---------------------------------------------------------------------- */

std::string mlip::find_torch_dir()
{
  if (const char *given = std::getenv("MLIP_LAMMPS_TORCH")) return given;
  Dl_info info;
  if (dladdr(reinterpret_cast<void *>(&mlip::find_torch_dir), &info) && info.dli_fname) {
    const std::string library = info.dli_fname;
    const std::string here = library.substr(0, library.rfind('/'));
    const std::string beside = here + "/../../torch";
    if (is_folder(beside)) return beside;
  }
  throw std::runtime_error("no torch beside this package; run: pip install torch, or set MLIP_LAMMPS_TORCH to the "
                           "folder of the torch package");
}

/* ---------------------------------------------------------------------- */

struct Model::State {
  struct NamedProgram {
    std::vector<std::string> inputs, outputs;
    std::unique_ptr<Program> program;
    double seconds = 0.0;
  };
  struct Buffer {
    std::vector<double> memory;    // of doubles for the alignment; holds floats too
    Features features;
  };
  /* Centres that one call takes, with their edges, numbered from 0; sources of features are all nodes, or (for a program
     that gives gradients of them) the rows that the edges name. */
  struct Chunk {
    int64_t begin = 0, end = 0;          // centres
    int64_t edge = 0, n_edges = 0;       // first edge, and how many without padding
    bool is_compact = false;
    std::vector<int64_t> centre, neighbour, rows;
    std::vector<double> vectors;         // only where edges had to be padded
    Buffer features, gradients;
    int64_t n_centres() const { return end - begin; }
    int64_t n_padded() const { return std::max(n_edges, MIN_SIZE); }
  };

  Metadata metadata;
  const Torch *torch = nullptr;
  DType feature_dtype = DType::FLOAT64;
  int n_threads = 0;
  bool on_gpu = false;
  int gpu = 0;
  std::map<std::string, NamedProgram> programs;

  // the graph of this evaluation: with fewer atoms than a program accepts, phantoms stand before the owned ones
  int64_t n_local = 0, n_nodes = 0, n_edges = 0, n_phantoms = 0;
  const int64_t *species = nullptr, *edge_centre = nullptr, *edge_neighbour = nullptr;
  const double *edge_vectors = nullptr;
  std::vector<int64_t> padded_species, padded_centre, padded_neighbour;
  Features without_phantoms(const Features &) const;

  std::map<std::string, Buffer> buffers;    // features_t, feature_gradients_t (all nodes), skips_t, messages_t, ... (owned)
  std::vector<double> node_energies, edge_gradients, scratch;
  std::vector<int64_t> place;    // of a node in a compact chunk, -1 outside it
  Chunk chunk;

  void pad(const Graph &);
  void shape(Buffer &, int64_t width, int64_t n_rows);
  void run(const std::string &name);
  void set_chunk(int64_t begin, int64_t end, bool is_compact);
  void compact();
  void run_chunk(const NamedProgram &);
  Tensor input(const std::string &tensor);
  void take(const Tensor &, const std::string &name);
  void scatter(const Tensor &, Buffer &);
};

Model::Model() : state(new State) {}
Model::~Model() = default;

const Metadata &Model::metadata() const
{
  return state->metadata;
}

std::vector<std::pair<std::string, double>> Model::timings() const
{
  std::vector<std::pair<std::string, double>> result;
  for (const auto &entry : state->programs) result.emplace_back(entry.first, entry.second.seconds);
  return result;
}

void Model::reset_timings()
{
  for (auto &entry : state->programs) entry.second.seconds = 0.0;
}

std::unique_ptr<Model> Model::open(const std::string &path, const std::string &torch_dir, int n_threads)
{
  const Archive archive(path);
  const Document document = read_document(archive, path);
  std::unique_ptr<Model> model(new Model);
  State &state = *model->state;
  state.metadata = document.metadata;
  state.feature_dtype = state.metadata.feature_bytes == 4 ? DType::FLOAT32 : DType::FLOAT64;
  state.on_gpu = state.metadata.device == "cuda";
  state.gpu = state.on_gpu ? local_rank() % count_gpus() : 0;
  state.n_threads = n_threads;
  try {
    require_this_machine(document, path, torch_dir);
    keep_freed_memory();
    state.torch = &Torch::load(torch_dir, state.on_gpu);
    if (n_threads > 0) state.torch->set_threads(n_threads);
    const std::string device = state.on_gpu ? "cuda:" + std::to_string(state.gpu) : "cpu";
    const auto build = document.content.at("build_id").get<std::string>();
    for (const auto &kernels : archive.find("extra/kernels", ".so"))
      load_kernels(build + "-kernels", archive.read(kernels));
    for (const auto &entry : document.content.at("programs")) {
      const auto name = entry.at("name").get<std::string>();
      const auto libraries = archive.find("data/aotinductor/" + name + "/", ".so");
      if (libraries.size() != 1) throw std::runtime_error(path + " has no program " + name + "; export it again");
      auto &program = state.programs[name];
      program.inputs = entry.at("inputs").get<std::vector<std::string>>();
      program.outputs = entry.at("outputs").get<std::vector<std::string>>();
      program.program.reset(new Program(*state.torch, build + "-" + name, archive.read(libraries[0]), device));
    }
  } catch (const nlohmann_lmp::json::exception &e) {
    throw std::runtime_error(path + ": damaged metadata (" + e.what() + "); export it again");
  }
  for (size_t t = 0; t < state.metadata.feature_widths.size(); t++) {
    // widths are right from the start: a rank whose first evaluation fails takes part in the exchange all the same
    const std::string layer = std::to_string(t + 1);
    const auto with_width = [&](int64_t width) {
      return State::Buffer{{}, Features{nullptr, 0, width, state.metadata.feature_bytes}};
    };
    for (const char *name : {"features_", "feature_gradients_"})
      state.buffers[name + layer] = with_width(state.metadata.feature_widths[t]);
    for (const char *name : {"skips_", "skip_gradients_"})
      state.buffers[name + layer] = with_width(state.metadata.skip_widths[t]);
    state.buffers["messages_" + layer] = with_width(state.metadata.message_widths[t]);
  }
  return model;
}

/* ----------------------------------------------------------------------
   Phantom atoms stand before the owned ones, so that no ghost is taken for an owned atom. They have no edge; the exchange
   does not see them.
------------------------------------------------------------------------- */

namespace {
bool has_all_nodes(const std::string &tensor)
{
  return tensor == "species" || tensor.rfind("features_", 0) == 0 || tensor.rfind("feature_gradients_", 0) == 0;
}
}    // namespace

void Model::State::pad(const Graph &graph)
{
  n_phantoms = std::max<int64_t>(MIN_SIZE - graph.n_local, 0);
  n_local = graph.n_local + n_phantoms;
  n_nodes = n_local + graph.n_ghost;
  n_edges = graph.n_edges;
  species = graph.species;
  edge_vectors = graph.edge_vectors;
  edge_centre = graph.edge_centre;
  edge_neighbour = graph.edge_neighbour;

  if (n_phantoms > 0) {
    padded_species.assign(n_nodes, 0);
    std::copy_n(graph.species, graph.n_local + graph.n_ghost, padded_species.begin() + n_phantoms);
    padded_centre.resize(n_edges);
    padded_neighbour.resize(n_edges);
    for (int64_t edge = 0; edge < n_edges; edge++) {
      padded_centre[edge] = graph.edge_centre[edge] + n_phantoms;
      padded_neighbour[edge] = graph.edge_neighbour[edge] + n_phantoms;
    }
    species = padded_species.data();
    edge_centre = padded_centre.data();
    edge_neighbour = padded_neighbour.data();
  }
  node_energies.assign(n_local, 0.0);
  edge_gradients.assign(3 * n_edges, 0.0);
  for (auto &[name, buffer] : buffers) shape(buffer, buffer.features.width, has_all_nodes(name) ? n_nodes : n_local);
}

void Model::State::shape(Buffer &buffer, int64_t width, int64_t n_rows)
{
  buffer.features = Features{nullptr, n_rows, width, metadata.feature_bytes};
  const size_t n_doubles = (static_cast<size_t>(n_rows * width) * metadata.feature_bytes + 7) / 8;
  if (buffer.memory.size() < n_doubles) buffer.memory.resize(n_doubles + n_doubles / 8);
  buffer.features.data = buffer.memory.data();
}

Features Model::State::without_phantoms(const Features &all) const
{
  Features rows = all;
  rows.data = static_cast<char *>(all.data) + n_phantoms * all.width * all.value_bytes;
  rows.n_rows -= n_phantoms;
  return rows;
}

/* Run a program on all owned atoms, a chunk after the other. */

void Model::State::run(const std::string &name)
{
  const auto start = std::chrono::steady_clock::now();
  NamedProgram &entry = programs.at(name);
  const auto &outputs = entry.outputs;
  const bool gives_gradients = std::any_of(outputs.begin(), outputs.end(), [](const std::string &tensor) {
    return tensor.rfind("feature_gradients_", 0) == 0;
  });
  const int64_t n_chunks = on_gpu ? 1 : n_local / std::max(metadata.chunk_atoms, 2 * MIN_SIZE) + 1;
  const bool is_compact = gives_gradients && n_chunks > 1;
  if (is_compact)
    for (const auto &tensor : outputs)
      if (has_all_nodes(tensor)) {
        const Features &f = buffers.at(tensor).features;
        std::memset(f.data, 0, static_cast<size_t>(f.n_rows * f.width) * f.value_bytes);
      }
  chunk.edge = chunk.n_edges = 0;
  for (int64_t k = 0; k < n_chunks; k++) {
    set_chunk(k * n_local / n_chunks, (k + 1) * n_local / n_chunks, is_compact);
    run_chunk(entry);
  }
  entry.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/* Centres from 0, and at least two edges: further ones lie beyond the cutoff, where all weights are zero. */

void Model::State::set_chunk(int64_t begin, int64_t end, bool is_compact)
{
  chunk.begin = begin;
  chunk.end = end;
  chunk.is_compact = is_compact;
  chunk.edge += chunk.n_edges;
  int64_t last = chunk.edge;
  while (last < n_edges && edge_centre[last] < end) last++;
  chunk.n_edges = last - chunk.edge;
  chunk.centre.resize(chunk.n_padded());
  chunk.neighbour.resize(chunk.n_padded());
  for (int64_t e = 0; e < chunk.n_edges; e++) {
    chunk.centre[e] = edge_centre[chunk.edge + e] - begin;
    chunk.neighbour[e] = edge_neighbour[chunk.edge + e];
  }
  for (int64_t e = chunk.n_edges; e < chunk.n_padded(); e++) {
    chunk.centre[e] = end - begin - 1;
    chunk.neighbour[e] = 0;
  }
  chunk.vectors.clear();
  if (chunk.n_edges < MIN_SIZE) {
    chunk.vectors.assign(3 * MIN_SIZE, 2.0 * metadata.cutoff);
    std::copy_n(edge_vectors + 3 * chunk.edge, 3 * chunk.n_edges, chunk.vectors.begin());
  }
  if (is_compact) compact();
}

/* Number the sources of the chunk's edges from 0. */

void Model::State::compact()
{
  place.resize(n_nodes, -1);
  chunk.rows.clear();
  for (int64_t &node : chunk.neighbour) {
    int64_t &row = place[node];
    if (row < 0) {
      row = static_cast<int64_t>(chunk.rows.size());
      chunk.rows.push_back(node);
    }
    node = row;
  }
  for (const int64_t node : chunk.rows) place[node] = -1;
  while (static_cast<int64_t>(chunk.rows.size()) < MIN_SIZE) chunk.rows.push_back(0);
}

void Model::State::run_chunk(const NamedProgram &entry)
{
  std::vector<Tensor> inputs;
  for (const auto &tensor : entry.inputs) inputs.push_back(input(tensor));
  const auto outputs = entry.program->run(std::move(inputs), entry.outputs.size());
  for (size_t k = 0; k < outputs.size(); k++) take(outputs[k], entry.outputs[k]);
}

Tensor Model::State::input(const std::string &tensor)
{
  const void *data = nullptr;
  DType dtype = DType::INT64;
  std::vector<int64_t> shape{chunk.n_padded()};
  if (tensor == "centre_species") {
    data = species + chunk.begin;
    shape = {chunk.n_centres()};
  } else if (tensor == "species") {
    data = species;
    shape = {n_nodes};
  } else if (tensor == "edge_centre") {
    data = chunk.centre.data();
  } else if (tensor == "edge_neighbour") {
    data = chunk.neighbour.data();
  } else if (tensor == "edge_vectors") {
    data = chunk.vectors.empty() ? edge_vectors + 3 * chunk.edge : chunk.vectors.data();
    shape.push_back(3);
    dtype = DType::FLOAT64;
  } else {
    const Features &all = buffers.at(tensor).features;
    const int64_t row_bytes = all.width * all.value_bytes;
    dtype = feature_dtype;
    if (tensor.rfind("features_", 0) != 0) {
      data = static_cast<const char *>(all.data) + chunk.begin * row_bytes;
      shape = {chunk.n_centres(), all.width};
    } else if (chunk.is_compact) {
      const int64_t n_rows = static_cast<int64_t>(chunk.rows.size());
      this->shape(chunk.features, all.width, n_rows);
      for (int64_t k = 0; k < n_rows; k++)
        std::memcpy(static_cast<char *>(chunk.features.features.data) + k * row_bytes,
                    static_cast<const char *>(all.data) + chunk.rows[k] * row_bytes, row_bytes);
      data = chunk.features.features.data;
      shape = {n_rows, all.width};
    } else {
      data = all.data;
      shape = {n_nodes, all.width};
    }
  }
  Tensor view = Tensor::view(*torch, data, shape, dtype);
  return on_gpu ? view.to_cuda(shape, dtype, gpu) : std::move(view);
}

void Model::State::take(const Tensor &tensor, const std::string &name)
{
  if (name == "node_energies") {
    scratch.resize(chunk.n_centres());
    tensor.copy_to(scratch.data(), {chunk.n_centres()}, DType::FLOAT64, !on_gpu);
    for (int64_t k = 0; k < chunk.n_centres(); k++) node_energies[chunk.begin + k] += scratch[k];
  } else if (name == "edge_gradients") {
    scratch.resize(3 * chunk.n_padded());
    tensor.copy_to(scratch.data(), {chunk.n_padded(), 3}, DType::FLOAT64, !on_gpu);
    for (int64_t k = 0; k < 3 * chunk.n_edges; k++) edge_gradients[3 * chunk.edge + k] += scratch[k];
  } else {
    Buffer &all = buffers.at(name);
    const int64_t width = all.features.width;
    if (name.rfind("feature_gradients_", 0) != 0) {
      char *const rows = static_cast<char *>(all.features.data) + chunk.begin * width * all.features.value_bytes;
      tensor.copy_to(rows, {chunk.n_centres(), width}, feature_dtype, !on_gpu);
    } else if (chunk.is_compact) {
      scatter(tensor, all);
    } else {
      tensor.copy_to(all.features.data, {n_nodes, width}, feature_dtype, !on_gpu);
    }
  }
}

/* Add the rows of a compact chunk to those of all nodes. */

void Model::State::scatter(const Tensor &tensor, Buffer &all)
{
  const int64_t n_rows = static_cast<int64_t>(chunk.rows.size()), width = all.features.width;
  shape(chunk.gradients, width, n_rows);
  void *const data = chunk.gradients.features.data;
  tensor.copy_to(data, {n_rows, width}, feature_dtype, !on_gpu);
  const auto add = [&](auto *target, const auto *source) {
    for (int64_t k = 0; k < n_rows; k++)
      for (int64_t m = 0; m < width; m++) target[chunk.rows[k] * width + m] += source[k * width + m];
  };
  if (feature_dtype == DType::FLOAT64)
    add(static_cast<double *>(all.features.data), static_cast<const double *>(data));
  else
    add(static_cast<float *>(all.features.data), static_cast<const float *>(data));
}

/* ---------------------------------------------------------------------- */

Results Model::evaluate(const Graph &graph, Exchange &exchange)
{
  State &s = *state;
  std::string fault;
  const auto guarded = [&](const auto &step) {
    if (!fault.empty()) return;
    try {
      step();
    } catch (const std::exception &e) {
      fault = e.what();
      if (fault.empty()) fault = "unknown fault in the model";
    }
  };
  const int n_layers = static_cast<int>(s.metadata.n_layers);

  guarded([&] { s.pad(graph); });
  for (int t = 1; t < n_layers; t++) {
    guarded([&] { s.run("forward_" + std::to_string(t)); });
    Features rows = s.without_phantoms(s.buffers.at("features_" + std::to_string(t)).features);
    exchange.forward(rows);
  }
  guarded([&] { s.run("last"); });
  for (int t = n_layers - 1; t > 0; t--) {
    Features rows = s.without_phantoms(s.buffers.at("feature_gradients_" + std::to_string(t)).features);
    exchange.reverse(rows);
    guarded([&] { s.run("backward_" + std::to_string(t)); });
  }
  if (!fault.empty()) throw std::runtime_error(fault);
  return {s.node_energies.data() + s.n_phantoms, s.edge_gradients.data()};
}
