#include "model_c_api.h"

#include "model.h"

#include <algorithm>
#include <cstring>
#include <exception>

struct mlip_model {
  std::unique_ptr<mlip::Model> model;
};

namespace {

class NoExchange : public mlip::Exchange {
 public:
  void forward(mlip::Features &) override {}
  void reverse(mlip::Features &) override {}
};

void report(const std::exception &fault, char *error, int64_t n_error)
{
  std::strncpy(error, fault.what(), static_cast<size_t>(n_error - 1));
  error[n_error - 1] = '\0';
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

void mlip_model_close(mlip_model *model)
{
  delete model;
}

int mlip_model_evaluate(mlip_model *model, int64_t n_atoms, int64_t n_edges, const int64_t *species,
                        const double *edge_vectors, const int64_t *edge_centre, const int64_t *edge_neighbour,
                        const double *positions, double *node_energies, double *edge_gradients,
                        double *edge_moments, char *error, int64_t n_error)
{
  try {
    const mlip::Graph graph{n_atoms, 0, n_edges, species, edge_vectors, edge_centre, edge_neighbour, positions};
    NoExchange exchange;
    const mlip::Results results = model->model->evaluate(graph, exchange, positions != nullptr);
    std::copy_n(results.node_energies, n_atoms, node_energies);
    std::copy_n(results.edge_gradients, 3 * n_edges, edge_gradients);
    if (positions) std::copy_n(results.edge_moments, 9 * n_edges, edge_moments);
    return 0;
  } catch (const std::exception &fault) {
    report(fault, error, n_error);
    return 1;
  }
}
