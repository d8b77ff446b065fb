/* Order of rows and slots on a GPU: owned atoms sorted by element, each with its slots, then ghosts that are nodes. */

#ifndef MLIP_GPU_LISTS_H
#define MLIP_GPU_LISTS_H

#include "contract.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mlip {

class NodeOrder {
 public:
  /* The first n_nodes of the caller's rows are nodes. Throws std::runtime_error for an unknown species. */
  void set(const int64_t *species, int64_t n_local, int64_t n_nodes, int64_t n_elements);

  int64_t n_local = 0, n_nodes = 0;
  std::vector<int32_t> atom_of;          // (n_nodes)  caller's row of each device row
  std::vector<int32_t> row_of;           // (n_nodes)  device row of each of the caller's rows
  std::vector<int32_t> species;          // (n_nodes)  species of device rows
  std::vector<int32_t> element_begin;    // (n_elements + 1)  local device rows of each element
  std::vector<int32_t> node_of;          // (n_local + n_ghost)  node of each of the caller's rows
  bool is_identity = true;               // the orders of the caller and the device are equal

  /* Maps ghosts that are not nodes to the nodes of their owners. Throws std::runtime_error for an invalid owner. */
  void place_ghosts(const Atoms &);

  /* Copies owned rows from one order to the other. */
  void to_caller(const char *device_rows, char *caller_rows, size_t row_bytes) const;
  void to_device(const char *caller_rows, char *device_rows, size_t row_bytes) const;
};

/* Edges of a graph in device order. */
class EdgeLists {
 public:
  void set(const Graph &, const NodeOrder &);

  int64_t n_edges() const { return first.back(); }
  int64_t edge_of_row(int64_t row, const NodeOrder &order) const { return caller_first[order.atom_of[row]]; }

  std::vector<int32_t> first{0};    // (n_local + 1)  first edge of each local device row
  std::vector<int32_t> node;        // (n_edges)  device row of the neighbour
  std::vector<int32_t> place;       // (n_edges)  the index of the edge
  std::vector<double> vectors;      // (n_edges, 3)

 private:
  std::vector<int64_t> caller_first;    // (n_local + 1)
};

/* A grid of cells around the atoms, as wide as the reach of neighbours; wider if atoms are far apart. */
class CellGrid {
 public:
  void set(const double *positions, int64_t n_atoms, double reach);

  int64_t n_cells = 1;
  std::vector<double> numbers;    // input of the kernels: origin, cells per angstrom, cells, square of the reach
};

}    // namespace mlip

#endif
