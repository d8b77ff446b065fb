/* Numbering of the model's atoms. Depends on neither LAMMPS nor torch.
   A kind is the caller's number of an element; each model maps kinds to its own species rows. */

#ifndef MLIP_ATOM_ROWS_H
#define MLIP_ATOM_ROWS_H

#include "buffer.h"

#include <cstdint>

namespace mlip {

/* The caller's atoms: owned ones first, then ghosts. */
struct AtomArrays {
  int n_local = 0;
  int n_ghost = 0;
  const double *positions = nullptr;      // (n_local + n_ghost, 3)  angstrom, ghosts unwrapped
  const int *types = nullptr;             // (n_local + n_ghost)
  const int *kind_of_type = nullptr;      // by type; -1: not a type of the model
  const int *groups = nullptr;            // (n_local + n_ghost) bits; atoms without bit 1 are absent. null: all present
};

/* A full neighbour list in the caller's numbering: the j of atom i are rows[i][0 .. counts[i]-1] & mask. */
struct NeighbourRows {
  int n_centres = 0;
  const int *centres = nullptr;           // (n_centres)  atoms with a row, each at most once
  const int *counts = nullptr;            // by atom
  const int *const *rows = nullptr;       // by atom
  int mask = ~0;                          // bits of j that contain the index
};

/* Two atoms closer than the smallest distance of their kinds; i is -1 if there are none. */
struct ClosePair {
  int i = -1, j = -1;                     // in the caller's numbering
  double distance = 0.0, smallest = 0.0;  // angstrom
};

/* Rows 0 .. n_local-1 are the owned atoms of the model's types, the following rows the ghosts, both in the caller's
   order. */
class AtomRows {
 public:
  void number(const AtomArrays &);

  int64_t n_local() const { return n_own; }
  int64_t n_all() const { return n_rows; }
  bool is_identity() const { return is_same; }                      // row k is the caller's atom k, for all atoms
  const int64_t *kinds() const { return kind_of_row.data(); }       // (n_all)
  int atom_of_row(int64_t row) const { return atom_of.data()[row]; }
  int row_of_atom(int atom) const { return row_of.data()[atom]; }   // -1: not an atom of the model
  const int *row_of_atoms() const { return row_of.data(); }
  double bytes() const { return row_of.bytes() + atom_of.bytes() + kind_of_row.bytes(); }

 private:
  int64_t n_own = 0, n_rows = 0;
  bool is_same = true;
  Buffer<int> row_of, atom_of;
  Buffer<int64_t> kind_of_row;
};

}    // namespace mlip

#endif
