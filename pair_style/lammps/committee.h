/* Models that see the same atoms and edges: their mean drives, their spread tells how far to trust it.
   Knows neither LAMMPS nor torch. One model is a committee too. */

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
  /* Opens one more model. Throws what Model::open throws. */
  void open(const std::string &path, const std::string &torch_dir, int n_threads);

  /* Threads of an evaluation; 0: as many as torch has. */
  void set_threads(int n_threads);

  int size() const { return static_cast<int>(members.size()); }
  const Metadata &metadata(int k) const { return members[k].model->metadata(); }
  const std::string &path(int k) const { return members[k].path; }
  Model &model(int k) { return *members[k].model; }
  const Model &model(int k) const { return *members[k].model; }

  bool knows(int k, const std::string &symbol) const;

  /* Symbols of kinds 0, 1, ...: every model must know them. */
  void name_kinds(const std::vector<std::string> &symbols);

  double cutoff() const;    // the longest, angstrom

  /* Smallest distances that the models state for pairs of kinds, (n_kinds, n_kinds) in angstrom: the largest of
     them where they differ; empty if none states any. */
  std::vector<double> min_distances() const;

  /* Mean energies of owned atoms and mean gradients of every edge. Collective through the exchange, like
     Model::evaluate: a fault of this rank is thrown as std::runtime_error after the last exchange. Memory belongs to
     the committee and lasts until the next evaluation. With has_moments also mean moments of edges. */
  Results evaluate(const Edges &, Exchange &, bool has_moments = false);

  /* Room for force_deviations, which cannot fail then. Throws std::bad_alloc. */
  void prepare_deviations(const Edges &);

  /* sqrt(sum_k |F_k - F|^2 / K) of every owned row, eV/angstrom, F the mean force. Collective; after evaluate. */
  const double *force_deviations(const Edges &, Exchange &);

  /* Energy of this rank's atoms by each model, eV; after evaluate. */
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
