/* The model side: opens a compiled model and runs its layers on plain arrays. No LAMMPS header. */

#ifndef MLIP_MODEL_H
#define MLIP_MODEL_H

#include "contract.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mlip {

/* Read the metadata block. Loads no native code. Throws std::runtime_error with a message for the user. */
Metadata read_metadata(const std::string &path);

class Model {
 public:
  /* Open a compiled model. torch_dir is the folder of the torch package (it holds version.py and lib/).
     Throws std::runtime_error with a message for the user: missing file, no model, another torch, another
     machine. */
  static std::unique_ptr<Model> open(const std::string &path, const std::string &torch_dir, int n_threads);
  ~Model();

  const Metadata &metadata() const;

  /* Threads of an evaluation; 0: as many as torch has. Throws std::runtime_error if torch does not say how. */
  void set_threads(int);

  /* Energies of owned atoms and gradients of every edge. Collective through the exchange: a fault of this rank
     is kept until the last exchange is done, then thrown as std::runtime_error, so no other rank waits.
     With has_moments, the same on every rank, also the moments of edges; the graph needs positions then. */
  Results evaluate(const Graph &, Exchange &, bool has_moments = false);

  /* Whether step() may be called: a file for a GPU. */
  bool finds_edges() const;

  /* Energies, forces and virial of atoms whose neighbours the model finds itself. Collective
     through the exchange unless ghosts have owners, as evaluate() is; faults likewise. */
  StepResults step(const Atoms &, Exchange &);

  /* What it runs on; without a name if that is a CPU. Throws std::runtime_error if the GPU fails. */
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
