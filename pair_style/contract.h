/* The border between the LAMMPS side and the model side: plain arrays and one interface.
   mlip_lammps/model_file/contract.py says the same in Python. No torch and no LAMMPS header here. */

#ifndef MLIP_CONTRACT_H
#define MLIP_CONTRACT_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlip {

/* One rank's atoms and edges. Rows 0 .. n_local-1 are owned atoms, the rest ghosts. */
struct Graph {
  int64_t n_local = 0;
  int64_t n_ghost = 0;
  int64_t n_edges = 0;
  const int64_t *species = nullptr;        // (n_local + n_ghost)  row in the model's element table
  const double *edge_vectors = nullptr;    // (n_edges, 3)         r_ij = x_j - x_i, angstrom
  const int64_t *edge_centre = nullptr;    // (n_edges)            i < n_local, does not decrease
  const int64_t *edge_neighbour = nullptr; // (n_edges)            j < n_local + n_ghost
  const double *positions = nullptr;       // (n_local + n_ghost, 3)  angstrom, ghosts where they are seen; for moments
};

/* Node features, or their gradients, row-major. */
struct Features {
  void *data = nullptr;
  int64_t n_rows = 0;      // at least n_local + n_ghost; rows beyond are padding
  int64_t width = 0;       // numbers in a row
  int value_bytes = 8;     // 8: float64, 4: float32
};

/* How rows reach ghosts and come back. Called by every rank the same number of times in each evaluation, also
   after a fault of this rank. */
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void forward(Features &) = 0;    // owned rows -> ghost rows
  virtual void reverse(Features &) = 0;    // ghost rows are added to their owners' rows
  virtual bool moves_rows() const { return true; }    // false: there are no ghosts on any rank, both do nothing
};

/* What one evaluation gives. Memory belongs to the model and lasts until the next evaluation. */
struct Results {
  const double *node_energies = nullptr;     // (n_local)     eV
  const double *edge_gradients = nullptr;    // (n_edges, 3)  dE_total / d r_ij, eV/angstrom
  const double *edge_moments = nullptr;      // (n_edges, 3, 3)  sum_k (x_k - x_i)_a dU_k / d r_ij,b, eV; null if not asked for
};

/* One rank's atoms for a model that finds its own edges, on a GPU. Rows as in Graph. */
struct Atoms {
  int64_t n_local = 0, n_ghost = 0;
  const int64_t *species = nullptr;       // (n_local + n_ghost)     row in the model's element table
  const double *positions = nullptr;      // (n_local + n_ghost, 3)  angstrom, ghosts where they are seen
  const int32_t *owner = nullptr;         // (n_ghost)  owned row of which the ghost is an image; null: ghosts are others' atoms
  bool is_new = true;                     // atoms differ from the last call, or have moved too far for its neighbours
  double reach = 0.0;                     // angstrom: no pair that is farther apart now comes within the cutoff until is_new
};

/* What one step gives. Memory belongs to the model and lasts until the next step or evaluation. */
struct StepResults {
  const double *node_energies = nullptr;    // (n_local)          eV
  const double *forces = nullptr;           // (n_force_rows, 3)  eV/angstrom; ghosts with owners have no rows
  int64_t n_force_rows = 0;                 // n_local, or n_local + n_ghost
  double energy = 0.0;                      // of this rank's atoms, eV
  double virial[6] = {};                    // xx yy zz xy xz yz, eV
  int32_t close_i = -1, close_j = -1;       // the caller's rows of the closest pair below its smallest distance
};

/* The GPU that a model runs on. */
struct Gpu {
  std::string name;                            // empty: the model is for a CPU
  int64_t free_bytes = 0, total_bytes = 0;     // of its memory, whoever takes the rest
};

/* What the metadata block of a model file says, as far as this side needs it. */
struct Metadata {
  std::vector<std::string> elements;         // symbols, in the order of species rows
  double cutoff = 0.0;                       // angstrom
  int64_t n_layers = 0;
  std::vector<int64_t> feature_widths;       // width of features_t, t = 1 .. n_layers-1
  std::vector<int64_t> skip_widths;          // width of skips_t, 0 where the next layer has no skip connection
  std::vector<int64_t> message_widths;       // width of messages_t, kept for the gradient of layer t; 0 if they are not
  int64_t chunk_atoms = 0;                   // centres that one call of a program takes
  int feature_bytes = 8;                     // bytes of one feature
  std::vector<double> min_distances;         // (n_elements, n_elements) angstrom, closer is no structure; may be empty
  std::string build_id;                      // of this compilation
  std::string source_sha256;
  std::string source_name;
  std::string head;
  std::string dtype;                         // float64, float32 or mixed
  std::string device;                        // cpu or cuda
  std::string torch_version;
};

}    // namespace mlip

#endif
