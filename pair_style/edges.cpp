#include "edges.h"

namespace mlip {

/* ---------------------------------------------------------------------- */

void Edges::build(const AtomArrays &atoms, const NeighbourRows &list, double cutoff)
{
  clear();
  number_atoms(atoms);

  int *listed = row_has_list.resize(n_local + 1);
  for (int64_t row = 0; row < n_local; row++) listed[row] = 0;
  std::size_t n_candidates = 0;
  for (int ii = 0; ii < list.n_centres; ii++) {
    const int i = list.centres[ii];
    if (i >= atoms.n_local || row_of_atom(i) < 0) continue;
    listed[row_of_atom(i)] = 1;
    n_candidates += list.counts[i];
  }

  // room for every candidate and one more: the loop writes first and counts afterwards
  int64_t *edge_centre = centre.resize(n_candidates + 1);
  int64_t *edge_neighbour = neighbour.resize(n_candidates + 1);
  double *edge_vectors = vectors.resize(3 * (n_candidates + 1));

  const double *x = atoms.positions;
  const int *row_of_j = row_of.data();
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
      edge_centre[edge] = row;
      edge_neighbour[edge] = row_j;
      edge_vectors[3 * edge] = dx;
      edge_vectors[3 * edge + 1] = dy;
      edge_vectors[3 * edge + 2] = dz;
      edge += (dx * dx + dy * dy + dz * dz < cutoff_sq) & (row_j >= 0);
    }
  }
  n_edges = edge;
}

/* ---------------------------------------------------------------------- */

void Edges::number_atoms(const AtomArrays &atoms)
{
  const int n_all = atoms.n_local + atoms.n_ghost;
  int *rows = row_of.resize(n_all + 1);
  int *back = atom_of.resize(n_all + 1);
  int64_t *kinds = species.resize(n_all + 1);
  int row = 0;
  for (int i = 0; i < n_all; i++) {
    if (i == atoms.n_local) n_local = row;
    const int kind = atoms.species_of_type[atoms.types[i]];
    rows[i] = kind < 0 ? -1 : row;
    if (kind < 0) continue;
    back[row] = i;
    kinds[row] = kind;
    row++;
  }
  if (atoms.n_ghost == 0) n_local = row;
  n_ghost = row - n_local;
}

/* ---------------------------------------------------------------------- */

void Edges::clear()
{
  n_local = n_ghost = n_edges = 0;
}

/* ---------------------------------------------------------------------- */

Graph Edges::graph() const
{
  Graph result;
  result.n_local = n_local;
  result.n_ghost = n_ghost;
  result.n_edges = n_edges;
  result.species = species.data();
  result.edge_vectors = vectors.data();
  result.edge_centre = centre.data();
  result.edge_neighbour = neighbour.data();
  return result;
}

/* ---------------------------------------------------------------------- */

double Edges::bytes() const
{
  return row_of.bytes() + atom_of.bytes() + row_has_list.bytes() + species.bytes() + centre.bytes() +
      neighbour.bytes() + vectors.bytes();
}

}    // namespace mlip
