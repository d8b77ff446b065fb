/* Neighbour search: cells, candidates until the next rebuild, edges of a step, and the edges from each node.

   Candidates are the neighbours of each centre within the cutoff plus a skin, in the slots list_first[i] ..
   list_first[i + 1] - 1. Atoms (owned and ghost atoms) are in the caller's order, nodes in the model's order. The order
   of every list depends only on positions, so that sums over it are reproducible. */

#ifndef MLIP_GPU_LISTS_H
#define MLIP_GPU_LISTS_H

#include "lanes.h"

namespace mlip_gpu {

/* out[k] = in[0] + ... + in[k - 1] for k = 0 .. n, at most capacity; total[0] = sum of all. Runs on one warp. If the sum
   is too large for an int, total[0] is the largest int, and out must not be used. */
MLIP_DEVICE void scan(Place at, int n, const int *in, int capacity, int *out, int *total)
{
  constexpr int EACH = 8, MOST = 2147483647;
  if (at.warp > 0) return;
  int sum = 0;
  for (int base = 0; base < n; base += WARP * EACH) {
    Lanes<int> values[EACH], own = 0;
    const Lanes<int> start = lane() * EACH + base;
    MLIP_UNROLL
    for (int k = 0; k < EACH; k++) values[k] = load_if(start + k < n, in, start + k, Lanes<int>(0));
    MLIP_UNROLL
    for (int k = 0; k < EACH; k++) own += values[k];
    int of_all;
    Lanes<int> before = scan_lanes(own, of_all) + sum;
    MLIP_UNROLL
    for (int k = 0; k < EACH; k++) {
      store_if(start + k < n, out, start + k, select(before < capacity, before, Lanes<int>(capacity)));
      before += values[k];
    }
    sum = of_all < 0 || sum > MOST - of_all ? MOST : sum + of_all;
  }
  store_if(lane() < 1, out, lane() + n, Lanes<int>(sum < capacity ? sum : capacity));
  store_if(lane() < 1, total, lane(), Lanes<int>(sum));
}

/* counts[g] += items of group g */
MLIP_DEVICE void count_members(Place at, int n, const int *groups, int *counts)
{
  const Lanes<int> item = lane() + at.warp * WARP;
  const Lanes<bool> is_item = item < n;
  Lanes<int> before;
  add_atomic(counts, load_if(is_item, groups, item, Lanes<int>(0)), is_item, before);
}

/* members: items of each group in any order; the cursors must start at zero */
MLIP_DEVICE void fill_members(Place at, int n, const int *groups, const int *first, int *cursors, int *members)
{
  const Lanes<int> item = lane() + at.warp * WARP;
  const Lanes<bool> is_item = item < n;
  const Lanes<int> group = load_if(is_item, groups, item, Lanes<int>(0));
  Lanes<int> before;
  add_atomic(cursors, group, is_item, before);
  store_if(is_item, members, load(first, group) + before, item);
}

/* Sort the items of each of n groups in ascending order, so that sums over them are reproducible. */
MLIP_DEVICE void sort_members(Place at, int n, const int *first, const int *unsorted, int *members)
{
  const int group = at.warp;
  if (group >= n) return;
  const int begin = first[group], end = first[group + 1];
  for (int base = begin; base < end; base += WARP) {
    const Lanes<int> entry = lane() + base;
    const Lanes<bool> is_entry = entry < end;
    const Lanes<int> own = load_if(is_entry, unsorted, entry, Lanes<int>(0));
    Lanes<int> rank = begin;
    for (int k = begin; k < end; k++) rank += convert<int>(Lanes<int>(unsorted[k]) < own);
    store_if(is_entry, members, rank, own);
  }
}

/* Cells of a box around all atoms, as wide as the candidate distance: the candidates of an atom are in adjacent cells. */
struct Grid {
  const double *numbers;    // origin (3), cells per angstrom (3), number of cells (3), squared candidate distance

  MLIP_DEVICE int cells(int axis) const { return static_cast<int>(numbers[6 + axis]); }
  MLIP_DEVICE double reach_sq() const { return numbers[9]; }
  /* Positions outside use the outermost cell, NaN positions the first cell. */
  MLIP_DEVICE Lanes<int> along(const Lanes<double> &x, int axis) const
  {
    const Lanes<double> n = numbers[6 + axis], zero = 0.0;
    const Lanes<double> place = (x - Lanes<double>(numbers[axis])) * Lanes<double>(numbers[3 + axis]);
    const Lanes<double> last = n - Lanes<double>(1.0);
    return convert<int>(select(place >= zero && place < n, place, select(place >= n, last, zero)));
  }
};

/* cell index of each atom; x varies fastest */
MLIP_DEVICE void bin_atoms(Place at, int n_atoms, const double *positions, const Grid &grid, int *cell)
{
  const Lanes<int> own = lane() + at.warp * WARP;
  const Lanes<bool> is_atom = own < n_atoms;
  Lanes<int> place[3];
  for (int k = 0; k < 3; k++) place[k] = grid.along(load_if(is_atom, positions, own * 3 + k, Lanes<double>(0.0)), k);
  const Lanes<int> index = (place[2] * grid.cells(1) + place[1]) * grid.cells(0) + place[0];
  store_if(is_atom, cell, own, index);
}

/* Input of the candidate search. */
struct Cells {
  int n_local;
  const int *atom_of, *cell, *cell_first, *cell_atoms;
  const double *positions;
  Grid grid;

  /* Call step(atoms, is_candidate) for 32 atoms at a time, for all possible candidates of centre i. */
  template <typename Step> MLIP_DEVICE void search(int i, Step &&step) const
  {
    const int atom = atom_of[i], own = cell[atom], nx = grid.cells(0), ny = grid.cells(1), nz = grid.cells(2);
    const int x = own % nx, y = own / nx % ny, z = own / (nx * ny);
    const int first_x = x > 0 ? x - 1 : 0, last_x = x + 1 < nx ? x + 1 : x;
    for (int cz = z > 0 ? z - 1 : 0; cz <= z + 1 && cz < nz; cz++)
      for (int cy = y > 0 ? y - 1 : 0; cy <= y + 1 && cy < ny; cy++) {
        const int row = (cz * ny + cy) * nx, end = cell_first[row + last_x + 1];
        for (int base = cell_first[row + first_x]; base < end; base += WARP) {
          const Lanes<bool> is_entry = lane() + base < end;
          const Lanes<int> j = load_if(is_entry, cell_atoms, lane() + base, Lanes<int>(atom));
          Lanes<double> distance_sq = 0.0;
          for (int k = 0; k < 3; k++) {
            const Lanes<double> r = load(positions, j * 3 + k) - Lanes<double>(positions[3 * atom + k]);
            distance_sq += r * r;
          }
          // also true for NaN distances, so that a lost atom is detected
          const Lanes<bool> is_far = distance_sq >= grid.reach_sq() || j == atom;
          step(j, select(is_far, Lanes<bool>(false), is_entry));
        }
      }
  }
};

/* count[i]: number of candidates of centre i */
MLIP_DEVICE void count_candidates(Place at, const Cells &cells, int *count)
{
  const int i = at.warp;
  if (i >= cells.n_local) return;
  int total = 0;
  cells.search(i, [&](const Lanes<int> &, const Lanes<bool> &is_candidate) {
    int n;
    count_before(is_candidate, n);
    total += n;
  });
  store_if(lane() < 1, count, lane() + i, Lanes<int>(total));
}

/* candidate: atom of each slot; slot_node: node of this atom */
MLIP_DEVICE void fill_candidates(Place at, const Cells &cells, const int *list_first, const int *node_of, int *candidate,
                                 int *slot_node)
{
  const int i = at.warp;
  if (i >= cells.n_local) return;
  int next = list_first[i];
  cells.search(i, [&](const Lanes<int> &j, const Lanes<bool> &is_candidate) {
    int n;
    const Lanes<int> slot = count_before(is_candidate, n) + next;
    store_if(is_candidate, candidate, slot, j);
    store_if(is_candidate, slot_node, slot, load(node_of, j));
    next += n;
  });
}

struct Candidates {
  int n_local;
  const int *list_first, *candidate;    // candidate: index of the atom
  const int *atom_of, *node_of;         // atom of a node; node of an atom
  const double *positions;              // of atoms, angstrom
  double cutoff_sq;

  MLIP_DEVICE void vector_to(const Lanes<int> &j, int i, Lanes<double> *r) const
  {
    for (int k = 0; k < 3; k++) r[k] = load(positions, j * 3 + k) - Lanes<double>(positions[3 * i + k]);
  }
  /* Also true for NaN distances, so that a lost atom is detected. */
  MLIP_DEVICE Lanes<bool> is_near(const Lanes<double> *r, const Lanes<bool> &is_slot, Lanes<double> &distance_sq) const
  {
    distance_sq = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
    return select(distance_sq >= cutoff_sq, Lanes<bool>(false), is_slot);
  }
};

/* count[i]: number of edges of centre i */
MLIP_DEVICE void count_edges(Place at, const Candidates &c, int *count)
{
  const int i = at.warp;
  if (i >= c.n_local) return;
  const int end = c.list_first[i + 1], atom = c.atom_of[i];
  int total = 0;
  for (int base = c.list_first[i]; base < end; base += WARP) {
    const Lanes<bool> is_slot = lane() + base < end;
    Lanes<double> r[3], distance_sq;
    c.vector_to(load_if(is_slot, c.candidate, lane() + base, Lanes<int>(atom)), atom, r);
    int n;
    count_before(c.is_near(r, is_slot, distance_sq), n);
    total += n;
  }
  store_if(lane() < 1, count, lane() + i, Lanes<int>(total));
}

MLIP_DEVICE void forget_closest(Place at, uint64_t *closest)
{
  if (at.warp == 0) store_if(lane() < 1, closest, lane(), Lanes<uint64_t>(~uint64_t(0)));
}

/* source, vectors and place of the edges of each centre, in candidate order. closest: the pair with the smallest ratio of
   distance to the minimum distance of its elements. */
MLIP_DEVICE void fill_edges(Place at, const Candidates &c, const int *first, int capacity, int n_elements,
                            const double *smallest_sq, const int *species, int *source, double *vectors, int *place,
                            uint64_t *closest)
{
  const int i = at.warp;
  if (i >= c.n_local) return;
  const int end = c.list_first[i + 1], atom = c.atom_of[i], element = species[i] * n_elements;
  int next = first[i];
  for (int base = c.list_first[i]; base < end; base += WARP) {
    const Lanes<int> slot = lane() + base;
    const Lanes<bool> is_slot = slot < end;
    const Lanes<int> j = load_if(is_slot, c.candidate, slot, Lanes<int>(atom));
    Lanes<double> r[3], distance_sq;
    c.vector_to(j, atom, r);
    int n;
    const Lanes<bool> is_near = c.is_near(r, is_slot, distance_sq);
    const Lanes<int> edge = count_before(is_near, n) + next, node = load(c.node_of, j);
    const Lanes<bool> has_room = is_near && edge < capacity;
    store_if(has_room, source, edge, node);
    for (int k = 0; k < 3; k++) store_if(has_room, vectors, edge * 3 + k, r[k]);
    store_if(is_slot, place, slot, select(has_room, edge, Lanes<int>(-1)));
    next += n;

    const Lanes<double> limit_sq = load(smallest_sq, load(species, node) + element);
    const Lanes<bool> is_close = is_near && distance_sq < limit_sq;
    const Lanes<float> share = convert<float>(root(distance_sq / select(is_close, limit_sq, Lanes<double>(1.0))));
    min_atomic(closest, is_close, float_bits(share) * Lanes<uint64_t>(uint64_t(1) << 32) + convert<uint64_t>(slot));
  }
}

}    // namespace mlip_gpu

#endif
