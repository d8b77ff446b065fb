#include "model.h"

#include "archive.h"
#include "document.h"
#include "evaluation.h"
#include "machine.h"
#include "torch_shim.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <limits>
#include <malloc.h>
#include <map>
#include <new>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

using namespace mlip;

namespace {

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

/* GPUs that this process may use; several ranks of a node share them in turn. */
int count_gpus()
{
  if (const char *visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    const std::string names = visible;
    return 1 + static_cast<int>(std::count(names.begin(), names.end(), ','));
  }
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
  Metadata metadata;
  const Torch *torch = nullptr;
  int n_threads = 0;
  std::map<std::string, NamedProgram> programs;
  Evaluation evaluation;
};

Model::Model() : state(new State) {}
Model::~Model() = default;

const Metadata &Model::metadata() const
{
  return state->metadata;
}

void Model::set_threads(int n_threads)
{
  state->n_threads = n_threads;
  if (n_threads > 0) state->torch->set_threads(n_threads);
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
  const int gpu = state.metadata.device == "cuda" ? local_rank() % count_gpus() : -1;
  try {
    require_this_machine(document, path, torch_dir);
    keep_freed_memory();
    state.torch = &Torch::load(torch_dir, gpu >= 0);
    model->set_threads(n_threads);
    const std::string device = gpu >= 0 ? "cuda:" + std::to_string(gpu) : "cpu";
    state.evaluation.open(state.metadata, *state.torch, gpu);
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
  return model;
}

/* ---------------------------------------------------------------------- */

Results Model::evaluate(const Graph &graph, Exchange &exchange, bool has_moments)
{
  State &s = *state;
  set_threads(s.n_threads);    // torch has one number for the process, which another model may have changed
  std::string fault;
  const auto guarded = [&](const auto &step) {
    if (!fault.empty()) return;
    try {
      step();
    } catch (const std::bad_alloc &) {
      fault = "no memory for the model; use more ranks";
    } catch (const std::exception &e) {
      fault = e.what();
      if (fault.empty()) fault = "unknown fault in the model";
    }
  };
  const auto run = [&](const std::string &program) { guarded([&] { s.evaluation.run(s.programs.at(program)); }); };
  const int n_layers = static_cast<int>(s.metadata.n_layers);

  guarded([&] { s.evaluation.start(graph, has_moments); });
  for (int t = 1; t < n_layers; t++) {
    run("forward_" + std::to_string(t));
    Features rows = s.evaluation.rows("features_" + std::to_string(t));
    exchange.forward(rows);
  }
  run("last");
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
  if (!fault.empty()) throw std::runtime_error(fault);
  return s.evaluation.results();
}
