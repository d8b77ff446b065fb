/* Radial tables of pairs of elements: made by programs of the model file for the pairs that occur. */

#ifndef MLIP_PAIR_TABLES_H
#define MLIP_PAIR_TABLES_H

#include "torch_shim.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mlip {

/* One layer's tables as programs take them: (n_tables, n_values). */
struct PairTableShape {
  std::string name;
  int64_t n_values = 0;
  int value_bytes = 8;
};

/* What the metadata say of them; n_elements^2 pairs i * n_elements + j. */
struct PairTableRecord {
  std::vector<PairTableShape> tables;
  std::vector<int64_t> pairs;           // one pair of each kind
  std::vector<int64_t> kind_of_pair;    // (n_elements^2)

  /* Throws std::runtime_error if the numbers do not match. */
  void check(int64_t n_elements) const;
};

class PairTables {
 public:
  void open(const PairTableRecord &, const Torch &);

  /* Adds a program that makes the tables named in outputs, each (n_pairs, n_values), of two or more pairs. Throws
     std::runtime_error if there is no such table. */
  void add_maker(const Program *, const std::vector<std::string> &outputs);

  /* Makes the tables of all pairs of these elements (rows of the element table). */
  void require_elements(const std::vector<int64_t> &species);

  /* Makes the tables of the pairs of these edges. Costs little if there are all. */
  void require_edges(int64_t n_edges, const int64_t *species, const int64_t *centre, const int64_t *neighbour);

  bool has(const std::string &tensor) const;
  Tensor input(const std::string &tensor) const;

  int64_t n_tables() const { return static_cast<int64_t>(made.size()); }
  int64_t n_bytes() const { return n_tables() * bytes_of_kind(); }
  double seconds = 0.0;    // spent on making tables

 private:
  struct Free {
    void operator()(void *p) const;
  };
  struct Values {
    PairTableShape shape;
    std::unique_ptr<char, Free> data;    // aligned for the vectors of the kernels
    int64_t row_bytes() const { return shape.n_values * shape.value_bytes; }
  };

  struct Maker {
    const Program *program = nullptr;
    std::vector<Values *> outputs;
  };

  void require_kinds(const std::vector<int64_t> &kinds);
  int64_t bytes_of_kind() const;
  void reserve(int64_t n_tables);
  void make(int64_t first);
  static DType dtype_of(const Values &);

  const Torch *torch = nullptr;
  const PairTableRecord *record = nullptr;
  std::vector<Maker> makers;
  std::map<std::string, Values> tables;
  int64_t n_elements = 0, capacity = 0;
  std::vector<int64_t> made;             // kind of each table
  std::vector<int64_t> place;            // table of each kind, -1: not made
  std::vector<int64_t> table_of_pair;    // (n_elements^2)
};

}    // namespace mlip

#endif
