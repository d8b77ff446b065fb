/* The interface between the LAMMPS side and the model side: plain arrays and one abstract class.
   mlip_lammps/model_file/contract.py is the Python counterpart. This file includes no header of torch or LAMMPS. */

#ifndef MLIP_CONTRACT_H
#define MLIP_CONTRACT_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlip {

/* Atoms and edges of one rank. Rows 0 .. n_local-1 are owned atoms, the others ghosts. */
struct Graph {
  int64_t n_local = 0;
  int64_t n_ghost = 0;
  int64_t n_edges = 0;
  const int64_t *species = nullptr;        // (n_local + n_ghost)  row in the model's element table
  const double *edge_vectors = nullptr;    // (n_edges, 3)         r_ij = x_j - x_i, angstrom
  const int64_t *edge_centre = nullptr;    // (n_edges)            i < n_local, in ascending order
  const int64_t *edge_neighbour = nullptr; // (n_edges)            j < n_local + n_ghost
  const double *positions = nullptr;       // (n_local + n_ghost, 3)  angstrom, ghosts unwrapped; for moments and charges
  const double *cell = nullptr;            // (3, 3)  cell vectors in rows, angstrom; null: no periods; for charges
  const double *charge_weights = nullptr;  // (n_local)  gradients of the weighted sum of charges are added to those of
                                           // the short-range energy, in place of the long-range energy; usually null
};

/* Node features or their gradients, row-major. */
struct Features {
  void *data = nullptr;
  int64_t n_rows = 0;      // at least n_local + n_ghost; further rows are padding
  int64_t width = 0;       // values in a row
  int value_bytes = 8;     // 8: float64, 4: float32
};

/* Sends rows to ghosts and back, and sums numbers over ranks. Every rank calls it the same number of times in each
   evaluation, also after a fault of this rank. */
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void forward(Features &) = 0;    // owned rows -> ghost rows
  virtual void reverse(Features &) = 0;    // ghost rows are added to their owners' rows
  virtual bool moves_rows() const { return true; }    // false: no rank has ghosts, and both do nothing
  virtual void sum(double * /*values*/, int64_t /*n*/) {}    // adds those of all ranks; n is the same on every rank
  virtual int rank() const { return 0; }
  virtual int n_ranks() const { return 1; }
};

/* Results of one evaluation. The model owns the memory, which stays valid until the next evaluation. */
struct Results {
  const double *node_energies = nullptr;     // (n_local)     eV
  const double *edge_gradients = nullptr;    // (n_edges, 3)  dE_total / d r_ij, eV/angstrom
  const double *edge_moments = nullptr;      // (n_edges, 3, 3)  sum_k (x_k - x_i)_a dU_k / d r_ij,b, eV; may be null
  const double *node_properties = nullptr;   // (n_local, n_properties)  see Metadata; null if the model has none
  bool has_sum = false;                      // whether a sum over ranks adds the following, also on a rank without atoms
  const double *node_forces = nullptr;       // (n_local, 3)  of the sum over ranks at fixed charges, eV/angstrom
  const double *node_virials = nullptr;      // (n_local, 6)  the same, xx yy zz xy xz yz, eV; null unless requested
  double virial[6] = {};                     // the same, this rank's share
};

/* Atoms of one rank, for a model that finds its own edges on a GPU. Rows as in Graph. */
struct Atoms {
  int64_t n_local = 0, n_ghost = 0;
  const int64_t *species = nullptr;       // (n_local + n_ghost)     row in the model's element table
  const double *positions = nullptr;      // (n_local + n_ghost, 3)  angstrom, ghosts unwrapped
  const int32_t *owner = nullptr;         // (n_ghost)  owned row of the ghost's atom; null: other ranks own it
  bool is_new = true;                     // atoms differ from the last call, or have moved too far for its neighbours
  double reach = 0.0;                     // angstrom: pairs farther apart stay outside the cutoff until is_new
};

/* Results of one step. The model owns the memory, which stays valid until the next step or evaluation. */
struct StepResults {
  const double *node_energies = nullptr;    // (n_local)          eV
  const double *forces = nullptr;           // (n_force_rows, 3)  eV/angstrom; ghosts with a known owner have no rows
  int64_t n_force_rows = 0;                 // n_local, or n_local + n_ghost
  double energy = 0.0;                      // sum over this rank's atoms, eV
  double virial[6] = {};                    // xx yy zz xy xz yz, eV
  int32_t close_i = -1, close_j = -1;       // the caller's rows of the closest pair below its smallest distance, or -1
};

/* The GPU on which a model runs. */
struct Gpu {
  std::string name;                            // empty: the model runs on a CPU
  int64_t free_bytes = 0, total_bytes = 0;     // memory of the device, for all processes
};

/* A number of the whole system that the first layer takes, such as the total charge. */
struct GlobalInput {
  std::string name;
  double default_value = 0.0;
  bool has_bounds = false, is_integer = false;
  double lowest = 0.0, highest = 0.0;        // allowed values, with bounds
};

/* Energy of latent charges, a sum over all atoms: layers add up the charges of their atoms, all ranks take part in the
   sum, and its derivatives with respect to the charges are an input of the gradients of the layers. */
struct LatentEwaldSettings {
  bool is_used = false;
  double sigma = 0.0;                        // angstrom: width of the charges
  double resolution = 0.0;                   // angstrom: shortest wavelength of the reciprocal sum
  double strength = 0.0;                     // eV angstrom: 1 / (2 epsilon_0)
  bool has_self_interaction = false;
};

/* The part of a model file's metadata block that this side needs. */
struct Metadata {
  std::vector<std::string> elements;         // element symbols, in the order of species rows
  double cutoff = 0.0;                       // angstrom
  double angle_cutoff = 0.0;                 // angstrom: edges up to this length form angles; 0: the model has none
  int64_t max_bonds = 0;                     // most edges of a centre that form angles; 0: any number
  int64_t n_layers = 0;
  std::vector<int64_t> feature_widths;       // width of features_t, t = 1 .. n_layers-1
  std::vector<int64_t> skip_widths;          // width of skips_t, 0 if the next layer has no skip connection
  std::vector<int64_t> message_widths;       // width of messages_t, kept for the gradient of layer t; 0 if not kept;
                                             // of the last layer too in a model with latent charges
  int64_t chunk_atoms = 0;                   // centres per call of a program
  int feature_bytes = 8;                     // bytes of one feature value
  std::vector<double> min_distances;         // (n_elements, n_elements) smallest distances, angstrom; may be empty
  std::vector<GlobalInput> global_inputs;    // in the order of the tensor global_inputs; empty for most models
  std::vector<std::string> node_properties;  // further results for each atom, such as magmoms; empty for most models
  LatentEwaldSettings latent_ewald;
  std::string build_id;                      // identifies this compilation
  std::string source_sha256;
  std::string source_name;
  std::string head;
  std::string dtype;                         // float64, float32 or mixed
  std::string device;                        // cpu or cuda
  std::string torch_version;
};

}    // namespace mlip

#endif
