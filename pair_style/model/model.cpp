#include "model.h"

#include "archive.h"
#include "document.h"
#include "evaluation.h"
#include "first_fault.h"
#include "latent_ewald.h"
#include "model/gpu/gpu_engine.h"
#include "stopwatch.h"
#include "torch_shim.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <limits>
#include <malloc.h>
#include <map>
#include <stdexcept>
#include <sys/stat.h>

using namespace mlip;

namespace {

bool is_folder(const std::string &path)
{
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

/* Programs allocate the same large arrays in every step. By default glibc maps and unmaps each of them, and page faults
   take a tenth of a step or more: keep the memory in the process instead. */
void keep_freed_memory()
{
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 << 20);
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
#ifdef MLIP_TORCH_DIR    // of the environment in which build-plugin ran
  if (is_folder(MLIP_TORCH_DIR)) return MLIP_TORCH_DIR;
#endif
  throw std::runtime_error("no torch beside this package; run: pip install torch, or set MLIP_LAMMPS_TORCH to the "
                           "folder of the torch package");
}

/* ---------------------------------------------------------------------- */

struct Model::State {
  Metadata metadata;
  int n_threads = 0;
  std::unique_ptr<GpuEngine> gpu;    // only for a GPU file; the other members are for CPU files
  const Torch *torch = nullptr;
  std::map<std::string, NamedProgram> programs;
  PairTableRecord pair_tables;
  Evaluation evaluation;
  LatentEwald latent_ewald;
  double latent_seconds = 0.0;

  void sum_charges(const Graph &, bool has_node_virials, Exchange &, FirstFault &);
  void open_programs(const Archive &, const Document &, const std::string &path);
};

Model::Model() : state(new State) {}
Model::~Model() = default;

const Metadata &Model::metadata() const
{
  return state->metadata;
}

bool Model::finds_edges() const
{
  return state->gpu != nullptr;
}

Gpu Model::gpu() const
{
  return state->gpu ? state->gpu->gpu() : Gpu();
}

void Model::set_threads(int n_threads)
{
  state->n_threads = n_threads;
  if (n_threads > 0 && state->torch) state->torch->set_threads(n_threads);
}

int Model::n_threads() const
{
  return state->torch ? state->torch->n_threads() : 0;
}

void Model::set_global_inputs(const std::vector<double> &values)
{
  if (values.size() != state->metadata.global_inputs.size())
    throw std::runtime_error("the model takes " + std::to_string(state->metadata.global_inputs.size()) +
                             " global inputs, but " + std::to_string(values.size()) + " are given; report a bug");
  state->evaluation.global_inputs = values;
}

void Model::require_elements(const std::vector<int64_t> &species)
{
  set_threads(state->n_threads);
  state->evaluation.pair_tables.require_elements(species);
}

Model::PairTableCost Model::pair_table_cost() const
{
  const PairTables &tables = state->evaluation.pair_tables;
  return {tables.n_tables(), tables.n_bytes(), tables.seconds};
}

std::vector<std::pair<std::string, double>> Model::timings() const
{
  std::vector<std::pair<std::string, double>> result;
  if (state->gpu) result.assign(state->gpu->seconds.begin(), state->gpu->seconds.end());
  for (const auto &entry : state->programs)
    if (entry.first.rfind("tables_", 0) != 0) result.emplace_back(entry.first, entry.second.seconds);
  if (state->metadata.latent_ewald.is_used) result.emplace_back("latent_ewald", state->latent_seconds);
  return result;
}

void Model::reset_timings()
{
  if (state->gpu) state->gpu->seconds.clear();
  for (auto &entry : state->programs) entry.second.seconds = 0.0;
  state->latent_seconds = 0.0;
}

std::unique_ptr<Model> Model::open(const std::string &path, const std::string &torch_dir, int n_threads)
{
  const Archive archive(path);
  const Document document = read_document(archive, path);
  std::unique_ptr<Model> model(new Model);
  State &state = *model->state;
  state.metadata = document.metadata;
  state.pair_tables = document.pair_tables;
  try {
    require_this_machine(document, path, torch_dir);
    if (state.metadata.device == "cuda") {
      state.gpu = std::make_unique<GpuEngine>(archive, path, state.metadata, torch_dir);
    } else {
      keep_freed_memory();
      state.torch = &Torch::load(torch_dir);
    }
    model->set_threads(n_threads);
    if (!state.gpu) state.open_programs(archive, document, path);
  } catch (const nlohmann_lmp::json::exception &e) {
    throw std::runtime_error(path + ": damaged metadata (" + e.what() + "); export the model again");
  }
  return model;
}

void Model::State::open_programs(const Archive &archive, const Document &document, const std::string &path)
{
  evaluation.open(metadata, *torch);
  if (!pair_tables.tables.empty()) evaluation.pair_tables.open(pair_tables, *torch);
  const auto build = document.content.at("build_id").get<std::string>();
  for (const auto &kernels : archive.find("extra/kernels", ".so"))
    load_kernels(build + "-kernels", archive.read(kernels));
  for (const auto &entry : document.content.at("programs")) {
    const auto name = entry.at("name").get<std::string>();
    const auto libraries = archive.find("data/aotinductor/" + name + "/", ".so");
    const auto weights = archive.find("data/aotinductor/" + name + "/", ".blob");
    if (libraries.size() != 1 || weights.size() != 1)
      throw std::runtime_error(path + " has no program " + name + "; export the model again");
    auto &program = programs[name];
    program.inputs = entry.at("inputs").get<std::vector<std::string>>();
    program.outputs = entry.at("outputs").get<std::vector<std::string>>();
    program.program.reset(
        new Program(*torch, build + "-" + name, archive.read(libraries[0]), archive.read_pages(weights[0])));
    if (name.rfind("tables_", 0) == 0) evaluation.pair_tables.add_maker(program.program.get(), program.outputs);
  }
}

/* ---------------------------------------------------------------------- */

StepResults Model::step(const Atoms &atoms, Exchange &exchange)
{
  if (!state->gpu) throw std::runtime_error("this model is for a CPU, where step() is not available; use evaluate()");
  return state->gpu->step(atoms, exchange);
}

/* Between the forward and the backward programs: energies and derivatives of the charges of all ranks. */

void Model::State::sum_charges(const Graph &graph, bool has_node_virials, Exchange &exchange, FirstFault &fault)
{
  const auto start = std::chrono::steady_clock::now();
  ChargedAtoms atoms{0, nullptr, nullptr, graph.cell};
  fault.guard([&] {
    if (graph.n_local > 0 && !graph.positions)
      throw std::runtime_error("the model has latent charges, but the graph has no positions; report a bug");
    atoms = {graph.n_local, evaluation.charges(), graph.positions, graph.cell};
  });
  latent_ewald.evaluate(metadata.latent_ewald, atoms, has_node_virials, exchange, fault);
  if (graph.charge_weights) latent_ewald.potentials.assign(graph.charge_weights, graph.charge_weights + graph.n_local);
  fault.guard([&] { evaluation.take_potentials(latent_ewald.potentials); });
  latent_seconds += seconds_since(start);
}

Results Model::evaluate(const Graph &graph, Exchange &exchange, bool has_moments, bool has_node_virials)
{
  State &s = *state;
  if (s.gpu) return s.gpu->evaluate(graph, exchange, has_moments);
  set_threads(s.n_threads);    // this setting of torch is process-wide, and another model may have changed it
  FirstFault fault;
  const auto run = [&](const std::string &program) { fault.guard([&] { s.evaluation.run(s.programs.at(program)); }); };
  const int n_layers = static_cast<int>(s.metadata.n_layers);

  fault.guard([&] {
    if (has_moments && s.metadata.latent_ewald.is_used)
      throw std::runtime_error("the model has latent charges, whose energy has no moments of edges, so there are no "
                               "per-atom virials with nine components and no heat flux");
  });
  fault.guard([&] { s.evaluation.start(graph, has_moments); });
  fault.guard([&] {
    s.evaluation.pair_tables.require_edges(graph.n_edges, graph.species, graph.edge_centre, graph.edge_neighbour);
  });
  for (int t = 1; t < n_layers; t++) {
    run("forward_" + std::to_string(t));
    Features rows = s.evaluation.rows("features_" + std::to_string(t));
    exchange.forward(rows);
  }
  const bool has_charges = s.metadata.latent_ewald.is_used;
  const std::string last = std::to_string(n_layers);
  if (has_charges) {
    run("forward_" + last);
    s.sum_charges(graph, has_node_virials, exchange, fault);
  }
  run(has_charges ? "backward_" + last : "last");
  for (int t = n_layers - 1; t > 0; t--) {
    const std::string gradients = "feature_gradients_" + std::to_string(t);
    Features rows = s.evaluation.rows(gradients);
    exchange.reverse(rows);
    for (int axis = 0; axis < (has_moments ? 3 : 0); axis++) {
      rows = s.evaluation.moment_rows(gradients, axis);
      exchange.reverse(rows);
    }
    run("backward_" + std::to_string(t));
  }
  fault.raise();
  Results results = s.evaluation.results();
  if (!has_charges) return results;
  results.has_sum = true;
  results.node_forces = s.latent_ewald.forces.data();
  if (has_node_virials) results.node_virials = s.latent_ewald.node_virials.data();
  std::copy_n(s.latent_ewald.virial.data(), 6, results.virial);
  return results;
}
