/* The model side: opens a compiled model and runs its layers on plain arrays. Includes no LAMMPS header. */

#ifndef MLIP_MODEL_H
#define MLIP_MODEL_H

#include "contract.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mlip {

/* Reads the metadata block without loading native code. Throws std::runtime_error with a message for the user. */
Metadata read_metadata(const std::string &path);

class Model {
 public:
  /* Opens a compiled model. torch_dir is the folder of the torch package (it contains version.py and lib/).
     Throws std::runtime_error with a message for the user: a missing file, a file that is not a compiled model, another
     torch or another machine. */
  static std::unique_ptr<Model> open(const std::string &path, const std::string &torch_dir, int n_threads);
  ~Model();

  const Metadata &metadata() const;

  /* Number of threads for an evaluation; 0: the default of torch. Throws std::runtime_error if torch cannot set it. */
  void set_threads(int);
  int n_threads() const;    // that of torch in this process; 0: unknown

  /* Values of the global inputs of later evaluations, in the order of the metadata; defaults before the first call.
     Values outside the bounds are the caller's fault: tables of the model end there. */
  void set_global_inputs(const std::vector<double> &);

  /* Makes the radial tables of these elements (rows of the element table), which otherwise the first evaluation with
     each pair of them makes; seconds for many elements. Models without tables of pairs make none. */
  void require_elements(const std::vector<int64_t> &);
  struct PairTableCost {
    int64_t n_tables = 0, n_bytes = 0;
    double seconds = 0.0;
  };
  PairTableCost pair_table_cost() const;

  /* Returns energies of owned atoms and gradients of every edge. Collective through the exchange: a fault of this rank
     is kept until the last exchange is done, then thrown as std::runtime_error, so that no other rank waits.
     With has_moments, the same on every rank, also the moments of edges, which need the positions of the graph; with
     has_node_virials the virials of a sum over ranks by atom. A model with latent charges needs positions and cell. */
  Results evaluate(const Graph &, Exchange &, bool has_moments = false, bool has_node_virials = false);

  /* Whether step() is available: only for GPU files. */
  bool finds_edges() const;

  /* Returns energies, forces and virial of atoms whose neighbours the model finds itself. Collective through the
     exchange unless ghosts have owners; faults as in evaluate(). */
  StepResults step(const Atoms &, Exchange &);

  /* The GPU of the model; its name is empty on a CPU. Throws std::runtime_error if the GPU fails. */
  Gpu gpu() const;

  /* Seconds that this rank spent in each program (forward_1, ..., last, ..., backward_1) since the last reset. */
  std::vector<std::pair<std::string, double>> timings() const;
  void reset_timings();

  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;

 private:
  Model();
  struct State;
  std::unique_ptr<State> state;
};

/* Folder of the torch package: MLIP_LAMMPS_TORCH if set, else site-packages/torch beside this library.
   Throws std::runtime_error if there is none. */
std::string find_torch_dir();

}    // namespace mlip

#endif
