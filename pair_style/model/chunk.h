/* The atoms and edges of one call of a program. Depends on neither LAMMPS nor torch. */

#ifndef MLIP_CHUNK_H
#define MLIP_CHUNK_H

#include "contract.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mlip {

constexpr int64_t MIN_SIZE = 2;    // torch.export specialises on sizes 0 and 1

/* The graph of one evaluation with at least MIN_SIZE owned atoms. Phantom atoms precede the owned atoms, so that no
   ghost is treated as an owned atom; they have no edges, and the exchange ignores them. */
class PaddedGraph {
 public:
  /* Refers to the arrays of graph if no phantoms are needed. */
  void set(const Graph &graph);

  int64_t n_phantoms = 0, n_local = 0, n_nodes = 0, n_edges = 0;
  const int64_t *species = nullptr, *edge_centre = nullptr, *edge_neighbour = nullptr;
  const double *edge_vectors = nullptr, *positions = nullptr;

 private:
  std::vector<int64_t> padded_species, padded_centre, padded_neighbour;
  std::vector<double> padded_positions;
};

/* Some centres with their edges, numbered from 0. Feature sources are all nodes, or (compact) only the neighbours of
   the edges. Has at least MIN_SIZE edges: padding edges lie beyond the cutoff, where all weights are zero.

   An angle is a pair of edges of one centre that are shorter than the cutoff of the angles. A chunk of a model with
   angles has at least MIN_SIZE of them: padding angles are between two padding edges of different directions. */
class Chunk {
 public:
  /* Moves before the first centre of the graph. */
  void restart();

  /* Moves to the next centres, up to end. Throws if a centre has more than max_bonds edges that form angles. */
  void advance(const PaddedGraph &, int64_t end, const Metadata &, bool is_compact);

  int64_t begin = 0, end = 0;              // range of centres
  int64_t edge = 0, n_edges = 0;           // first edge, and number of edges without padding
  bool is_compact = false;
  std::vector<int64_t> centre, neighbour;  // ends of each edge
  std::vector<int64_t> rows;               // nodes of a compact chunk
  std::vector<int64_t> angle_edges;        // (n_angles, 2) edges of each angle, the first before the second
  const double *vectors = nullptr;

  int64_t n_centres() const { return end - begin; }
  int64_t n_padded() const { return n_edges + n_padding; }
  int64_t n_angles() const { return static_cast<int64_t>(angle_edges.size()) / 2; }

 private:
  void find_angles(const PaddedGraph &, const Metadata &);
  void compact(int64_t n_nodes);

  int64_t n_padding = 0;
  std::vector<int64_t> close;    // edges of one centre that form angles
  std::vector<double> padded_vectors;
  std::vector<int64_t> place;    // index of a node in a compact chunk, -1 outside it
};

}    // namespace mlip

#endif
