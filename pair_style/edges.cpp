#include "edges.h"

#include <algorithm>
#include <cmath>

namespace mlip {

/* ---------------------------------------------------------------------- */

void Edges::watch_distances(const std::vector<double> &smallest, int n_kinds)
{
  n_watched = n_kinds;
  smallest_sq.clear();
  largest_watched_sq = 0.0;
  for (const double distance : smallest) {
    smallest_sq.push_back(distance * distance);
    largest_watched_sq = std::max(largest_watched_sq, distance * distance);
  }
}

/* ---------------------------------------------------------------------- */

void Edges::build(const AtomArrays &atoms, const NeighbourRows &list, double cutoff)
{
  clear();
  built_cutoff = cutoff;
  numbering.number(atoms);
  n_local = numbering.n_local();
  n_ghost = numbering.n_all() - n_local;

  int *listed = row_has_list.resize(n_local + 1);
  for (int64_t row = 0; row < n_local; row++) listed[row] = 0;
  std::size_t n_candidates = 0;
  for (int ii = 0; ii < list.n_centres; ii++) {
    const int i = list.centres[ii];
    if (i >= atoms.n_local || row_of_atom(i) < 0) continue;
    listed[row_of_atom(i)] = 1;
    n_candidates += list.counts[i];
  }

  // one more than the candidates: the loop writes an edge before it decides to count it
  int64_t *edge_centre = centre.resize(n_candidates + 1);
  int64_t *edge_neighbour = neighbour.resize(n_candidates + 1);
  double *edge_vectors = vectors.resize(3 * (n_candidates + 1));

  const double *x = atoms.positions;
  const int *row_of_j = numbering.row_of_atoms();
  const double cutoff_sq = cutoff * cutoff;
  int64_t edge = 0;
  for (int64_t row = 0; row < n_local; row++) {
    if (!listed[row]) continue;
    const int i = atom_of_row(row);
    const double xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
    const int *jlist = list.rows[i];
    for (int jj = 0; jj < list.counts[i]; jj++) {
      const int j = jlist[jj] & list.mask;
      const double dx = x[3 * j] - xi, dy = x[3 * j + 1] - yi, dz = x[3 * j + 2] - zi;
      const int row_j = row_of_j[j];
      const double distance_sq = dx * dx + dy * dy + dz * dz;
      if (distance_sq < largest_watched_sq && row_j >= 0) note_close_pair(i, j, distance_sq);
      edge_centre[edge] = row;
      edge_neighbour[edge] = row_j;
      edge_vectors[3 * edge] = dx;
      edge_vectors[3 * edge + 1] = dy;
      edge_vectors[3 * edge + 2] = dz;
      edge += (distance_sq < cutoff_sq) & (row_j >= 0);
    }
  }
  n_edges = edge;
}

/* ---------------------------------------------------------------------- */

void Edges::gather_positions(const AtomArrays &atoms)
{
  const int64_t n_rows = n_local + n_ghost;
  double *x = positions.resize(3 * n_rows + 1);
  for (int64_t row = 0; row < n_rows; row++) std::copy_n(atoms.positions + 3 * atom_of_row(row), 3, x + 3 * row);
  has_positions = true;
}

/* ---------------------------------------------------------------------- */

void Edges::note_close_pair(int i, int j, double distance_sq)
{
  const int64_t *kind = numbering.kinds();
  const double limit_sq = smallest_sq[kind[row_of_atom(i)] * n_watched + kind[row_of_atom(j)]];
  const double worst = close_pair.i < 0 ? 1.0 : close_pair.distance / close_pair.smallest;
  if (distance_sq >= limit_sq * worst * worst) return;
  close_pair = {i, j, std::sqrt(distance_sq), std::sqrt(limit_sq)};
}

/* ---------------------------------------------------------------------- */

void Edges::clear()
{
  n_local = n_ghost = n_edges = 0;
  close_pair = ClosePair();
  has_positions = false;
}

/* ---------------------------------------------------------------------- */

Graph Edges::graph() const
{
  Graph result;
  result.n_local = n_local;
  result.n_ghost = n_ghost;
  result.n_edges = n_edges;
  result.species = numbering.kinds();
  result.edge_vectors = vectors.data();
  result.edge_centre = centre.data();
  result.edge_neighbour = neighbour.data();
  result.positions = has_positions ? positions.data() : nullptr;
  result.cell = cell;
  return result;
}

/* ---------------------------------------------------------------------- */

double Edges::bytes() const
{
  return numbering.bytes() + row_has_list.bytes() + centre.bytes() + neighbour.bytes() + vectors.bytes() +
      positions.bytes();
}

/* ---------------------------------------------------------------------- */

void ModelEdges::select(const Edges &edges, const std::vector<int64_t> &species_of_kind, double cutoff)
{
  clear();
  const Graph all = edges.graph();
  selected.cell = all.cell;
  const int64_t n_atoms = all.n_local + all.n_ghost;
  int64_t *rows = species.resize(n_atoms + 1);
  for (int64_t row = 0; row < n_atoms; row++) rows[row] = species_of_kind[all.species[row]];

  is_subset = cutoff < edges.cutoff();
  int64_t n_edges = all.n_edges;
  if (is_subset) {
    int64_t *kept = index.resize(all.n_edges + 1);
    int64_t *edge_centre = centre.resize(all.n_edges + 1);
    int64_t *edge_neighbour = neighbour.resize(all.n_edges + 1);
    double *edge_vectors = vectors.resize(3 * (all.n_edges + 1));
    n_edges = 0;
    for (int64_t edge = 0; edge < all.n_edges; edge++) {
      const double *r = all.edge_vectors + 3 * edge;
      kept[n_edges] = edge;
      edge_centre[n_edges] = all.edge_centre[edge];
      edge_neighbour[n_edges] = all.edge_neighbour[edge];
      std::copy_n(r, 3, edge_vectors + 3 * n_edges);
      n_edges += r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < cutoff * cutoff;
    }
  }
  selected = all;
  selected.species = rows;
  selected.n_edges = n_edges;
  if (!is_subset) return;
  selected.edge_centre = centre.data();
  selected.edge_neighbour = neighbour.data();
  selected.edge_vectors = vectors.data();
}

/* ---------------------------------------------------------------------- */

void ModelEdges::clear()
{
  const double *const cell = selected.cell;
  selected = Graph();
  selected.cell = cell;
  is_subset = false;
}

}    // namespace mlip
