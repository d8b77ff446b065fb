/* Models that see the same atoms and edges: their mean drives the dynamics, their spread estimates its uncertainty.
   Depends on neither LAMMPS nor torch. A single model is a committee of one. */

#ifndef MLIP_COMMITTEE_H
#define MLIP_COMMITTEE_H

#include "contract.h"
#include "edges.h"
#include "model/model.h"

#include <memory>
#include <string>
#include <vector>

namespace mlip {

class Committee {
 public:
  /* Opens one more model. Throws the same exceptions as Model::open. */
  void open(const std::string &path, const std::string &torch_dir, int n_threads);

  /* Number of threads for an evaluation; 0: the default of torch. */
  void set_threads(int n_threads);

  int size() const { return static_cast<int>(members.size()); }
  const Metadata &metadata(int k) const { return members[k].model->metadata(); }
  const std::string &path(int k) const { return members[k].path; }
  Model &model(int k) { return *members[k].model; }
  const Model &model(int k) const { return *members[k].model; }

  /* Whether a model has a sum over all atoms. */
  bool has_latent_charges() const;

  bool knows(int k, const std::string &symbol) const;

  /* Element symbols of kinds 0, 1, ...; every model must know them. */
  void name_kinds(const std::vector<std::string> &symbols);
  /* Makes the radial tables of the named elements. Throws std::runtime_error. */
  void require_kinds();

  double cutoff() const;    // longest cutoff of the models, angstrom

  /* Smallest distances that the models allow for pairs of kinds, (n_kinds, n_kinds) in angstrom: the largest value
     where models differ; empty if no model states any. */
  std::vector<double> min_distances() const;

  /* Mean energies of owned atoms and mean gradients of every edge; with has_moments also mean moments of edges.
     Collective through the exchange, like Model::evaluate: a fault of this rank is thrown as std::runtime_error after
     the last exchange. The committee owns the memory, which stays valid until the next evaluation. */
  Results evaluate(const Edges &, Exchange &, bool has_moments = false, bool has_node_virials = false);

  /* Reserves memory for force_deviations, so that it cannot fail. Throws std::bad_alloc. */
  void prepare_deviations(const Edges &);

  /* sqrt(sum_k |F_k - F|^2 / K) of every owned row, eV/angstrom; F: mean force. Collective; call after evaluate. */
  const double *force_deviations(const Edges &, Exchange &);

  /* Energy of this rank's atoms from each model, eV; call after evaluate. */
  std::vector<double> energies() const;

 private:
  struct Member {
    std::string path;
    std::unique_ptr<Model> model;
    std::vector<int64_t> species_of_kind;
    ModelEdges edges;
    Results results;
  };
  Results mean(const Graph &, bool has_moments);
  void add_to_mean(const Member &);

  std::vector<Member> members;
  Buffer<double> mean_energies, mean_gradients, mean_moments, forces, deviations;
};

}    // namespace mlip

#endif
