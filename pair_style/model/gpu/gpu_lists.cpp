#include "gpu_lists.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

using namespace mlip;

namespace {

void require_int32(int64_t n, const char *what)
{
  if (n > INT_MAX / 3)
    throw std::runtime_error("too many " + std::string(what) + " for one GPU (" + std::to_string(n) + " of " +
                             std::to_string(INT_MAX / 3) + "); use more GPUs or ranks");
}

}    // namespace

void NodeOrder::set(const int64_t *caller_species, int64_t local, int64_t nodes, int64_t n_elements)
{
  require_int32(nodes, "atoms");
  n_local = local;
  n_nodes = nodes;
  for (int64_t row = 0; row < n_nodes; row++)
    if (caller_species[row] < 0 || caller_species[row] >= n_elements)
      throw std::runtime_error("an atom has species " + std::to_string(caller_species[row]) + ", but the model knows " +
                               std::to_string(n_elements));
  element_begin.assign(n_elements + 1, 0);
  for (int64_t row = 0; row < n_local; row++) element_begin[caller_species[row] + 1]++;
  std::partial_sum(element_begin.begin(), element_begin.end(), element_begin.begin());

  atom_of.resize(n_nodes);
  row_of.resize(n_nodes);
  species.resize(n_nodes);
  std::vector<int32_t> next(element_begin.begin(), element_begin.end() - 1);
  is_identity = true;
  for (int64_t atom = 0; atom < n_nodes; atom++) {
    const int32_t row = atom < n_local ? next[caller_species[atom]]++ : static_cast<int32_t>(atom);
    row_of[atom] = row;
    atom_of[row] = static_cast<int32_t>(atom);
    species[row] = static_cast<int32_t>(caller_species[atom]);
    is_identity = is_identity && row == atom;
  }
}

void NodeOrder::place_ghosts(const Atoms &atoms)
{
  const int64_t n_atoms = atoms.n_local + atoms.n_ghost;
  require_int32(n_atoms, "atoms");
  node_of.assign(row_of.begin(), row_of.end());
  node_of.resize(n_atoms);
  for (int64_t ghost = n_nodes; ghost < n_atoms; ghost++) {
    const int32_t owner = atoms.owner[ghost - n_local];
    if (owner < 0 || owner >= n_local)
      throw std::runtime_error("a ghost atom has owner " + std::to_string(owner) + ", expected 0 to " +
                               std::to_string(n_local - 1) + "; report a bug with this input");
    node_of[ghost] = row_of[owner];
  }
}

void NodeOrder::to_caller(const char *device_rows, char *caller_rows, size_t row_bytes) const
{
  for (int64_t row = 0; row < n_local; row++)
    std::memcpy(caller_rows + atom_of[row] * row_bytes, device_rows + row * row_bytes, row_bytes);
}

void NodeOrder::to_device(const char *caller_rows, char *device_rows, size_t row_bytes) const
{
  for (int64_t row = 0; row < n_local; row++)
    std::memcpy(device_rows + row * row_bytes, caller_rows + atom_of[row] * row_bytes, row_bytes);
}

/* ---------------------------------------------------------------------- */

void EdgeLists::set(const Graph &graph, const NodeOrder &order)
{
  caller_first.assign(graph.n_local + 1, 0);
  for (int64_t e = 0; e < graph.n_edges; e++) caller_first[graph.edge_centre[e] + 1]++;
  std::partial_sum(caller_first.begin(), caller_first.end(), caller_first.begin());
  require_int32(caller_first.back(), "pairs of atoms");
  first.assign(order.n_local + 1, 0);
  for (int64_t row = 0; row < order.n_local; row++) {
    const int64_t atom = order.atom_of[row];
    first[row + 1] = first[row] + static_cast<int32_t>(caller_first[atom + 1] - caller_first[atom]);
  }
  node.resize(n_edges());
  vectors.resize(3 * n_edges());
  place.resize(n_edges());
  std::iota(place.begin(), place.end(), 0);
  for (int64_t row = 0; row < order.n_local; row++) {
    const int32_t n = first[row + 1] - first[row];
    const int64_t edge = edge_of_row(row, order);
    std::copy_n(graph.edge_vectors + 3 * edge, 3 * n, vectors.begin() + 3 * int64_t(first[row]));
    for (int32_t k = 0; k < n; k++) node[first[row] + k] = order.row_of[graph.edge_neighbour[edge + k]];
  }
}

/* ---------------------------------------------------------------------- */

void CellGrid::set(const double *positions, int64_t n_atoms, double reach)
{
  double least[3] = {}, most[3] = {};
  for (int64_t k = 0; k < 3 * n_atoms; k++) {
    const double x = positions[k];
    if (k < 3) least[k] = most[k] = std::isfinite(x) ? x : 0.0;
    if (!std::isfinite(x)) continue;
    least[k % 3] = std::min(least[k % 3], x);
    most[k % 3] = std::max(most[k % 3], x);
  }
  // use wider cells in a box that is mostly empty
  const double most_cells = 8.0 * static_cast<double>(n_atoms) + 64.0;
  double width = reach, cells[3];
  const auto count = [&] {
    for (int k = 0; k < 3; k++) cells[k] = std::max(1.0, std::floor((most[k] - least[k]) / width));
    return cells[0] * cells[1] * cells[2];
  };
  while (count() > most_cells) width *= 1.5;
  n_cells = static_cast<int64_t>(cells[0] * cells[1] * cells[2]);
  numbers.assign(10, 0.0);
  for (int k = 0; k < 3; k++) {
    numbers[k] = least[k];
    // the last cells must not be narrower than the reach
    numbers[3 + k] = cells[k] / std::max(most[k] - least[k], width * cells[k]);
    numbers[6 + k] = cells[k];
  }
  numbers[9] = reach * reach;
}
