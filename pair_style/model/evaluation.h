/* Runs compiled programs on a graph, chunk by chunk, and stores the tensors that pass between them. */

#ifndef MLIP_EVALUATION_H
#define MLIP_EVALUATION_H

#include "chunk.h"
#include "contract.h"
#include "pair_tables.h"
#include "torch_shim.h"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mlip {

struct NamedProgram {
  std::vector<std::string> inputs, outputs;
  std::unique_ptr<Program> program;
  double seconds = 0.0;
};

/* In addition to gradients it can propagate their moments, which per-atom virials and the heat flux need: for a node n
   with features h, sum_i (x_i - x_n) dU_i/dh, where U_i is the energy of atom i. They take three more runs of each
   gradient program, one for each axis, with energies weighted by positions instead of 1: gradients of
   sum_i (x_i - x_o) U_i, with an origin x_o in each chunk, minus (x_n - x_o) times the gradient itself. */
class Evaluation {
 public:
  void open(const Metadata &, const Torch &);

  void start(const Graph &, bool has_moments);
  void run(NamedProgram &);

  std::vector<double> global_inputs;    // numbers of the whole system, in the order of the metadata
  PairTables pair_tables;               // of models whose radial functions depend on the pair of elements

  /* Rows of the graph's atoms for features_T, feature_gradients_T and their moments. */
  Features rows(const std::string &tensor) const { return without_phantoms(tensors.at(tensor).features); }
  Features moment_rows(const std::string &tensor, int axis) const;

  /* Of a model with latent charges, rows of owned atoms. */
  const double *charges() const { return node_charges.data() + graph.n_phantoms; }
  /* Adds the energies of the charges, half of each times its potential, and keeps the potentials for the gradients. */
  void take_potentials(const std::vector<double> &potentials);

  Results results() const;

 private:
  struct Rows {
    std::vector<double> memory;    // doubles for the alignment; also stores floats
    Features features;
  };
  using ThreeRows = std::array<Rows, 3>;

  static constexpr int PLAIN = -1;    // no axis: all weights are 1

  void shape(Rows &, int64_t width, int64_t n_rows) const;
  void clear(Rows &) const;
  Features without_phantoms(const Features &) const;

  int64_t count_chunks() const;

  void call(const NamedProgram &, int axis);
  Tensor input(const std::string &tensor, int axis);
  Tensor view(const void *data, const std::vector<int64_t> &shape, DType) const;
  const int64_t *neighbour_species();
  const void *gather(const Features &all);
  const void *weigh(const std::string &tensor, const Features &all, int axis);
  void take(Tensor &&, const std::string &name, int axis);
  void take_edge_gradients(const Tensor &, int axis);
  void take_node_properties(const Tensor &);
  void take_gradients(const Tensor &, const std::string &name, int axis);
  Features centre_rows(const Features &) const;
  void add(const Features &from, const Rows &to, bool has_nodes, int less_axis) const;
  double offset(int64_t node, int axis) const;

  const Metadata *metadata = nullptr;
  const Torch *torch = nullptr;
  DType feature_dtype = DType::FLOAT64;
  bool has_moments = false;

  PaddedGraph graph;
  Chunk chunk;
  std::map<std::string, Rows> tensors;         // features_T, feature_gradients_T (nodes), skips_T, messages_T, ... (owned)
  std::map<std::string, ThreeRows> moments;    // of feature_gradients_T and skip_gradients_T
  std::map<std::string, Rows> weighted;        // gradients of weighted energies, rows of one chunk
  Rows gathered;                               // rows of one chunk
  std::vector<double> weights, scratch;        // of one chunk
  std::vector<int64_t> edge_species;           // of the neighbours, one chunk
  std::vector<double> node_energies, edge_gradients, edge_moments;
  std::vector<double> node_properties;         // (n_local, n_properties)
  std::vector<double> node_charges, charge_gradients;    // (n_local) of a model with latent charges
};

}    // namespace mlip

#endif
