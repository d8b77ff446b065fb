#include "model.h"

#include "archive.h"
#include "machine.h"
#include "torch_shim.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <dlfcn.h>
#include <limits>
#include <malloc.h>
#include <map>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

using namespace mlip;
using json = nlohmann_lmp::json;

namespace {

constexpr int FORMAT_VERSION = 2;
constexpr int64_t MIN_SIZE = 2;    // torch.export takes sizes 0 and 1 for constants

struct Document {
  Metadata metadata;
  json content;
};

Document read_document(const Archive &archive, const std::string &path)
{
  const std::string cure = "; make it again with: mlip-lammps export MODEL -o " + path;
  const auto names = archive.find("extra/mlip_lammps.json", "");
  if (names.size() != 1)
    throw std::runtime_error(path + " is no model of this package (no metadata in it)" + cure);
  try {
    Document document;
    document.content = json::parse(archive.read(names[0]));
    const auto &d = document.content;
    const int version = d.at("format_version").get<int>();
    if (version != FORMAT_VERSION)
      throw std::runtime_error("it has format " + std::to_string(version) + ", this pair style reads " +
                               std::to_string(FORMAT_VERSION));
    auto &m = document.metadata;
    m.elements = d.at("elements").get<std::vector<std::string>>();
    m.cutoff = d.at("cutoff").get<double>();
    m.n_layers = d.at("n_layers").get<int64_t>();
    m.feature_widths = d.at("feature_widths").get<std::vector<int64_t>>();
    m.dtype = d.at("dtype").get<std::string>();
    m.message_widths = d.at("message_widths").get<std::vector<int64_t>>();
    m.feature_bytes = m.dtype == "float64" ? 8 : 4;
    m.build_id = d.at("build_id").get<std::string>();
    m.source_sha256 = d.at("source").at("sha256").get<std::string>();
    m.source_name = d.at("source").at("name").get<std::string>();
    for (const auto &row : d.value("min_distances", json::array()))
      for (const auto &distance : row) m.min_distances.push_back(distance.get<double>());
    m.head = d.at("head").get<std::string>();
    m.device = d.at("device").get<std::string>();
    m.torch_version = d.at("torch_version").get<std::string>();
    if (m.n_layers < 1 || static_cast<int64_t>(m.feature_widths.size()) != m.n_layers - 1 ||
        m.message_widths.size() != m.feature_widths.size())
      throw std::runtime_error("its layers and feature widths do not fit together");
    if (!m.min_distances.empty() && m.min_distances.size() != m.elements.size() * m.elements.size())
      throw std::runtime_error("its smallest distances do not fit its elements");
    return document;
  } catch (const json::exception &e) {
    throw std::runtime_error(path + ": damaged metadata (" + e.what() + ")" + cure);
  } catch (const std::runtime_error &e) {
    throw std::runtime_error(path + ": " + e.what() + cure);
  }
}

std::string release(const std::string &version)
{
  return version.substr(0, version.find('+'));
}

void require_this_machine(const Document &document, const std::string &path, const std::string &torch_dir)
{
  const std::string again =
      "; export it again here: mlip-lammps export " + document.content.at("source").at("name").get<std::string>() +
      " -o " + path;
  const std::string found = Torch::version(torch_dir);
  const std::string wanted = document.metadata.torch_version;
  if (release(found) != release(wanted))
    throw std::runtime_error(path + " was compiled with torch " + wanted + ", this environment has torch " + found +
                             again);
  const auto &machine = document.content.at("machine");
  const auto architecture = machine.at("architecture").get<std::string>();
  if (architecture != machine_architecture())
    throw std::runtime_error(path + " was compiled for " + architecture + ", this machine is " +
                             machine_architecture() + again);
  const auto missing = missing_instructions(machine.at("cpu_flags").get<std::vector<std::string>>());
  if (!missing.empty())
    throw std::runtime_error(path + " was compiled for another processor: this one lacks " + missing[0] + again);
}

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

Metadata mlip::read_metadata(const std::string &path)
{
  return read_document(Archive(path), path).metadata;
}

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

  Metadata metadata;
  const Torch *torch = nullptr;
  DType feature_dtype = DType::FLOAT64;
  int n_threads = 0;
  bool on_gpu = false;
  int gpu = 0;
  std::map<std::string, NamedProgram> programs;

  // the graph of this evaluation, padded to sizes that a program accepts
  int64_t n_local = 0, n_nodes = 0, n_edges = 0, n_phantoms = 0;
  Features without_phantoms(const Features &) const;
  const int64_t *species = nullptr, *edge_centre = nullptr, *edge_neighbour = nullptr;
  const double *edge_vectors = nullptr;
  std::vector<int64_t> padded_species, padded_centre, padded_neighbour;
  std::vector<double> padded_vectors;

  std::vector<Buffer> features, gradients, messages;    // of layers 1 .. n_layers-1
  std::vector<double> node_energies, edge_gradients, scratch;

  void pad(const Graph &);
  void shape(Buffer &, int64_t width, int64_t n_rows);
  void run(const std::string &name);
  void take(const Tensor &, const std::string &name, bool is_own);
  std::vector<int64_t> sizes(const std::string &name, bool is_own);
  Buffer &buffer(const std::string &name);
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
  } catch (const json::exception &e) {
    throw std::runtime_error(path + ": damaged metadata (" + e.what() + "); export it again");
  }
  for (const int64_t width : state.metadata.feature_widths) {
    // the width is right from the start: a rank whose first evaluation fails takes part in the exchange all the same
    const State::Buffer empty{{}, Features{nullptr, 0, width, state.metadata.feature_bytes}};
    state.features.push_back(empty);
    state.gradients.push_back(empty);
  }
  state.messages.resize(state.metadata.message_widths.size());
  return model;
}

/* ----------------------------------------------------------------------
   Phantom atoms stand before the owned ones, so that no ghost is taken for an owned atom: its own energy would
   otherwise leave a gradient in its features, and the exchange would send it home. They have no edge but those beyond
   the cutoff, whose weights are zero; the exchange does not see them.
------------------------------------------------------------------------- */

void Model::State::pad(const Graph &graph)
{
  n_phantoms = std::max<int64_t>(MIN_SIZE - graph.n_local, 0);
  n_local = graph.n_local + n_phantoms;
  n_nodes = n_local + graph.n_ghost;
  n_edges = std::max(graph.n_edges, MIN_SIZE);
  species = graph.species;
  edge_vectors = graph.edge_vectors;
  edge_centre = graph.edge_centre;
  edge_neighbour = graph.edge_neighbour;

  if (n_phantoms > 0) {
    padded_species.assign(n_nodes, 0);
    std::copy_n(graph.species, graph.n_local + graph.n_ghost, padded_species.begin() + n_phantoms);
    species = padded_species.data();
  }
  if (n_phantoms > 0 || n_edges > graph.n_edges) {
    padded_vectors.assign(3 * n_edges, 2.0 * metadata.cutoff);
    padded_centre.assign(n_edges, n_local - 1);
    padded_neighbour.assign(n_edges, 0);
    std::copy_n(graph.edge_vectors, 3 * graph.n_edges, padded_vectors.begin());
    for (int64_t edge = 0; edge < graph.n_edges; edge++) {
      padded_centre[edge] = graph.edge_centre[edge] + n_phantoms;
      padded_neighbour[edge] = graph.edge_neighbour[edge] + n_phantoms;
    }
    edge_vectors = padded_vectors.data();
    edge_centre = padded_centre.data();
    edge_neighbour = padded_neighbour.data();
  }
  node_energies.assign(n_local, 0.0);
  edge_gradients.assign(3 * n_edges, 0.0);
  for (size_t t = 0; t < features.size(); t++) {
    shape(features[t], metadata.feature_widths[t], n_nodes);
    shape(gradients[t], metadata.feature_widths[t], n_nodes);
    shape(messages[t], metadata.message_widths[t], n_local);
  }
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

/* features_3, feature_gradients_3 and messages_3 all belong to layer 3 */

Model::State::Buffer &Model::State::buffer(const std::string &name)
{
  const size_t t = std::stoul(name.substr(name.rfind('_') + 1)) - 1;
  if (name.rfind("features_", 0) == 0) return features.at(t);
  return name.rfind("messages_", 0) == 0 ? messages.at(t) : gradients.at(t);
}

std::vector<int64_t> Model::State::sizes(const std::string &name, bool is_own)
{
  if (name == "centre_species" || name == "node_energies") return {n_local};
  if (name == "species") return {n_nodes};
  if (name == "edge_vectors" || name == "edge_gradients") return {n_edges, 3};
  if (name == "edge_centre" || name == "edge_neighbour") return {n_edges};
  return {is_own ? n_local : n_nodes, buffer(name).features.width};
}

/* Features that a layer makes and gradients that it takes have rows for owned atoms only. */

void Model::State::run(const std::string &name)
{
  const auto start = std::chrono::steady_clock::now();
  NamedProgram &entry = programs.at(name);
  const std::string layer = name.substr(name.rfind('_') + 1);
  const auto is_own = [&](const std::string &tensor) { return tensor.substr(tensor.rfind('_') + 1) == layer; };

  std::vector<Tensor> inputs;
  for (const auto &tensor : entry.inputs) {
    const void *data = nullptr;
    DType dtype = DType::INT64;
    if (tensor == "centre_species" || tensor == "species") data = species;
    else if (tensor == "edge_centre") data = edge_centre;
    else if (tensor == "edge_neighbour") data = edge_neighbour;
    else if (tensor == "edge_vectors") { data = edge_vectors; dtype = DType::FLOAT64; }
    else { data = buffer(tensor).features.data; dtype = feature_dtype; }
    const auto shape = sizes(tensor, is_own(tensor));
    Tensor view = Tensor::view(*torch, data, shape, dtype);
    inputs.push_back(on_gpu ? view.to_cuda(shape, dtype, gpu) : std::move(view));
  }

  const auto outputs = entry.program->run(std::move(inputs), entry.outputs.size());
  for (size_t k = 0; k < outputs.size(); k++) take(outputs[k], entry.outputs[k], is_own(entry.outputs[k]));
  entry.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Model::State::take(const Tensor &tensor, const std::string &name, bool is_own)
{
  const auto shape = sizes(name, is_own);
  if (name == "node_energies" || name == "edge_gradients") {
    auto &sum = name == "node_energies" ? node_energies : edge_gradients;
    scratch.resize(sum.size());
    tensor.copy_to(scratch.data(), shape, DType::FLOAT64, !on_gpu);
    for (size_t k = 0; k < sum.size(); k++) sum[k] += scratch[k];
  } else {
    tensor.copy_to(buffer(name).features.data, shape, feature_dtype, !on_gpu);
  }
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
    Features rows = s.without_phantoms(s.features[t - 1].features);
    exchange.forward(rows);
  }
  guarded([&] { s.run("last"); });
  for (int t = n_layers - 1; t > 0; t--) {
    Features rows = s.without_phantoms(s.gradients[t - 1].features);
    exchange.reverse(rows);
    guarded([&] {
      s.run("backward_" + std::to_string(t));
    });
  }
  if (!fault.empty()) throw std::runtime_error(fault);
  return {s.node_energies.data() + s.n_phantoms, s.edge_gradients.data()};
}
