/* Neighbour rows and positions -> the contract's arrays inside the cutoff. Knows neither LAMMPS nor torch.
   A kind is the caller's number of an element; each model has species rows of its own for the kinds. */

#ifndef MLIP_EDGES_H
#define MLIP_EDGES_H

#include "contract.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace mlip {

/* A plain array that is kept from step to step and grows geometrically: fresh large allocations are dear. */
template <class T> class Buffer {
 public:
  /* Room for at least size values. What was stored before is lost when it grows. */
  T *resize(std::size_t size)
  {
    if (size > capacity) {
      const std::size_t grown = size > capacity + capacity / 2 ? size : capacity + capacity / 2;
      values.reset();
      capacity = 0;
      values.reset(new T[grown]);
      capacity = grown;
    }
    return values.get();
  }
  T *data() { return values.get(); }
  const T *data() const { return values.get(); }
  double bytes() const { return static_cast<double>(capacity) * sizeof(T); }

 private:
  std::unique_ptr<T[]> values;
  std::size_t capacity = 0;
};

/* The caller's atoms: owned ones first, then ghosts. */
struct AtomArrays {
  int n_local = 0;
  int n_ghost = 0;
  const double *positions = nullptr;      // (n_local + n_ghost, 3)  angstrom, ghosts unwrapped
  const int *types = nullptr;             // (n_local + n_ghost)
  const int *kind_of_type = nullptr;      // by type; -1: not one of the model's
  const int *groups = nullptr;            // (n_local + n_ghost) bits; an atom without bit 1 is not there. null: all are
};

/* A full neighbour list in the caller's numbering: the j of atom i are rows[i][0 .. counts[i]-1] & mask. */
struct NeighbourRows {
  int n_centres = 0;
  const int *centres = nullptr;           // (n_centres)  atoms that have a row, each at most once
  const int *counts = nullptr;            // by atom
  const int *const *rows = nullptr;       // by atom
  int mask = ~0;                          // bits of j that hold the index
};

/* Two atoms closer than their kinds may be; i is -1 where there are none. */
struct ClosePair {
  int i = -1, j = -1;                     // in the caller's numbering
  double distance = 0.0, smallest = 0.0;  // angstrom
};

/* Edges of the model's atoms in a numbering of their own: owned atoms of the model's types are rows
   0 .. n_local-1, ghosts of the model's types follow, both in the caller's order. */
class Edges {
 public:
  /* smallest (n_kinds, n_kinds): distances in angstrom below which a pair is noted; empty: none is. */
  void watch_distances(const std::vector<double> &smallest, int n_kinds);

  void build(const AtomArrays &, const NeighbourRows &, double cutoff);

  /* Positions of the rows of the last build, for moments. */
  void gather_positions(const AtomArrays &);

  /* No atoms: what a rank hands to the model after a fault of its own. */
  void clear();

  /* species holds kinds. */
  Graph graph() const;
  double cutoff() const { return built_cutoff; }
  int atom_of_row(int64_t row) const { return atom_of.data()[row]; }
  int row_of_atom(int atom) const { return row_of.data()[atom]; }    // -1: not one of the model's
  const ClosePair &closest() const { return close_pair; }            // of the last build, by its share of the smallest
  double bytes() const;

 private:
  void number_atoms(const AtomArrays &);
  void note_close_pair(int i, int j, double distance_sq);

  int64_t n_local = 0, n_ghost = 0, n_edges = 0;
  double built_cutoff = 0.0;
  Buffer<int> row_of, atom_of, row_has_list;
  Buffer<int64_t> kinds, centre, neighbour;
  Buffer<double> vectors, positions;
  bool has_positions = false;

  std::vector<double> smallest_sq;    // (n_watched, n_watched)
  int n_watched = 0;
  double largest_watched_sq = 0.0;
  ClosePair close_pair;
};

/* What one model sees: its own species rows, and of the edges those inside its own cutoff. */
class ModelEdges {
 public:
  /* Refers to the arrays of edges, until they are built again. Throws std::bad_alloc. */
  void select(const Edges &edges, const std::vector<int64_t> &species_of_kind, double cutoff);
  void clear();

  const Graph &graph() const { return selected; }
  int64_t edge(int64_t k) const { return is_subset ? index.data()[k] : k; }    // row of all edges

 private:
  Graph selected;
  bool is_subset = false;
  Buffer<int64_t> species, centre, neighbour, index;
  Buffer<double> vectors;
};

}    // namespace mlip

#endif
