/* Turns neighbour rows and positions into the contract's edges within the cutoff. Depends on neither LAMMPS nor
   torch. */

#ifndef MLIP_EDGES_H
#define MLIP_EDGES_H

#include "atom_rows.h"
#include "contract.h"

#include <cstdint>
#include <vector>

namespace mlip {

/* Edges of the model's atoms in the numbering of AtomRows. */
class Edges {
 public:
  /* smallest (n_kinds, n_kinds): closer pairs are recorded, angstrom; empty: no pair is. */
  void watch_distances(const std::vector<double> &smallest, int n_kinds);

  void build(const AtomArrays &, const NeighbourRows &, double cutoff);

  /* Copies the positions of the rows of the last build, for moments and charges. */
  void gather_positions(const AtomArrays &);

  /* Cell vectors (3, 3) of the graphs, which the caller keeps; null: no periods. */
  void set_cell(const double *vectors) { cell = vectors; }

  /* No atoms: the input of the model on a rank with a fault. */
  void clear();

  /* The species of this graph are kinds. */
  Graph graph() const;
  double cutoff() const { return built_cutoff; }
  const AtomRows &rows() const { return numbering; }
  int atom_of_row(int64_t row) const { return numbering.atom_of_row(row); }
  int row_of_atom(int atom) const { return numbering.row_of_atom(atom); }    // -1: not an atom of the model
  const ClosePair &closest() const { return close_pair; }            // of the last build, relative to the smallest
  double bytes() const;

 private:
  void note_close_pair(int i, int j, double distance_sq);

  int64_t n_local = 0, n_ghost = 0, n_edges = 0;
  double built_cutoff = 0.0;
  AtomRows numbering;
  Buffer<int> row_has_list;
  Buffer<int64_t> centre, neighbour;
  Buffer<double> vectors, positions;
  bool has_positions = false;
  const double *cell = nullptr;

  std::vector<double> smallest_sq;    // (n_watched, n_watched)
  int n_watched = 0;
  double largest_watched_sq = 0.0;
  ClosePair close_pair;
};

/* Edges within the cutoff of one model, with the model's species rows. */
class ModelEdges {
 public:
  /* Refers to the arrays of edges, which must not be built again meanwhile. Throws std::bad_alloc. */
  void select(const Edges &edges, const std::vector<int64_t> &species_of_kind, double cutoff);
  void clear();    // all but the cell

  const Graph &graph() const { return selected; }
  int64_t edge(int64_t k) const { return is_subset ? index.data()[k] : k; }    // index among all edges

 private:
  Graph selected;
  bool is_subset = false;
  Buffer<int64_t> species, centre, neighbour, index;
  Buffer<double> vectors;
};

}    // namespace mlip

#endif
