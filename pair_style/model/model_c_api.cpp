#include "model_c_api.h"

#include "model.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>

struct mlip_model {
  std::unique_ptr<mlip::Model> model;
};

namespace {

class NoExchange : public mlip::Exchange {
 public:
  void forward(mlip::Features &) override {}
  void reverse(mlip::Features &) override {}
  bool moves_rows() const override { return false; }
};

void write_text(const char *from, char *to, int64_t n_bytes)
{
  std::strncpy(to, from, static_cast<size_t>(n_bytes - 1));
  to[n_bytes - 1] = '\0';
}

void report(const std::exception &fault, char *error, int64_t n_error)
{
  write_text(fault.what(), error, n_error);
}

}    // namespace

mlip_model *mlip_model_open(const char *path, const char *torch_dir, int n_threads, char *error, int64_t n_error)
{
  try {
    return new mlip_model{mlip::Model::open(path, torch_dir, n_threads)};
  } catch (const std::exception &fault) {
    report(fault, error, n_error);
    return nullptr;
  }
}

int mlip_model_set_threads(mlip_model *model, int n_threads)
{
  const int before = model->model->n_threads();
  try {
    model->model->set_threads(n_threads);
  } catch (const std::exception &) {    // this torch cannot set them
  }
  return before;
}

void mlip_model_close(mlip_model *model)
{
  delete model;
}

int mlip_model_evaluate(mlip_model *model, int64_t n_atoms, int64_t n_edges, const int64_t *species,
                        const double *edge_vectors, const int64_t *edge_centre, const int64_t *edge_neighbour,
                        const double *global_inputs, const double *positions, const double *cell,
                        const double *charge_weights, double *node_energies, double *edge_gradients, double *edge_moments, double *node_properties, double *node_forces,
                        double *virial, double *node_virials, char *error, int64_t n_error)
{
  try {
    const mlip::Graph graph{n_atoms, 0, n_edges, species, edge_vectors, edge_centre, edge_neighbour, positions, cell,
                            charge_weights};
    const auto n_inputs = model->model->metadata().global_inputs.size();
    model->model->set_global_inputs(std::vector<double>(global_inputs, global_inputs + n_inputs));
    NoExchange exchange;
    const mlip::Results results =
        model->model->evaluate(graph, exchange, edge_moments != nullptr, node_virials != nullptr);
    std::copy_n(results.node_energies, n_atoms, node_energies);
    std::copy_n(results.edge_gradients, 3 * n_edges, edge_gradients);
    if (edge_moments) std::copy_n(results.edge_moments, 9 * n_edges, edge_moments);
    const auto n_properties = static_cast<int64_t>(model->model->metadata().node_properties.size());
    if (node_properties && results.node_properties)
      std::copy_n(results.node_properties, n_properties * n_atoms, node_properties);
    if (node_forces && results.node_forces) std::copy_n(results.node_forces, 3 * n_atoms, node_forces);
    if (virial) std::copy_n(results.virial, 6, virial);
    if (node_virials && results.node_virials) std::copy_n(results.node_virials, 6 * n_atoms, node_virials);
    return 0;
  } catch (const std::exception &fault) {
    report(fault, error, n_error);
    return 1;
  }
}

int mlip_model_finds_edges(const mlip_model *model)
{
  return model->model->finds_edges() ? 1 : 0;
}

int mlip_model_gpu(const mlip_model *model, char *name, int64_t n_name, int64_t *memory, char *error, int64_t n_error)
{
  try {
    const mlip::Gpu gpu = model->model->gpu();
    write_text(gpu.name.c_str(), name, n_name);
    memory[0] = gpu.free_bytes;
    memory[1] = gpu.total_bytes;
    return 0;
  } catch (const std::exception &fault) {
    report(fault, error, n_error);
    return 1;
  }
}

int mlip_model_step(mlip_model *model, int64_t n_local, int64_t n_ghost, const int64_t *species,
                    const double *positions, const int32_t *owner, int is_new, double reach, double *node_energies,
                    double *forces, double *totals, int32_t *closest, char *error, int64_t n_error)
{
  try {
    if (n_ghost > 0 && !owner) throw std::runtime_error("ghosts need owners in a single process; pass owner");
    const mlip::Atoms atoms{n_local, n_ghost, species, positions, owner, is_new != 0, reach};
    NoExchange exchange;
    const mlip::StepResults results = model->model->step(atoms, exchange);
    std::copy_n(results.node_energies, n_local, node_energies);
    std::copy_n(results.forces, 3 * n_local, forces);
    totals[0] = results.energy;
    std::copy_n(results.virial, 6, totals + 1);
    closest[0] = results.close_i;
    closest[1] = results.close_j;
    return 0;
  } catch (const std::exception &fault) {
    report(fault, error, n_error);
    return 1;
  }
}

double mlip_model_seconds(const mlip_model *model, const char *phase)
{
  for (const auto &entry : model->model->timings())
    if (entry.first == phase) return entry.second;
  return 0.0;
}
