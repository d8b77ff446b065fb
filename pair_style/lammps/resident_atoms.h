/* Atoms as they are kept from one neighbour list to the next, for a model that finds its own edges. Knows neither LAMMPS nor torch. */

#ifndef MLIP_RESIDENT_ATOMS_H
#define MLIP_RESIDENT_ATOMS_H

#include "atom_rows.h"
#include "contract.h"

#include <cstdint>
#include <vector>

namespace mlip {

class ResidentAtoms {
 public:
  /* species_of_kind (n_kinds): rows in the model's element table. smallest (n_kinds, n_kinds): the distances in
     angstrom of close pairs; empty if the model states none. */
  void name_kinds(const std::vector<int64_t> &species_of_kind, const std::vector<double> &smallest);

  /* reach: of neighbours until the next list, angstrom. Owners are unknown then. Throws std::bad_alloc. */
  void build(const AtomArrays &, double reach);

  /* Whether the atoms are those of the last build: as many, of the same types, present or not as they were. */
  bool is_same(const AtomArrays &) const;

  /* Where all ghosts are images of owned atoms: a number of each row, for an exchange that brings those of owned
     rows to ghosts, and what the ghosts have then. Owners stay unknown if a ghost's atom is not the model's. */
  Features owner_numbers();
  void take_owners();

  /* The rows of the last build with the positions of this step; refers to the arrays of the caller. Cannot fail, as
     the other ranks wait in an exchange. */
  Atoms at(const AtomArrays &, bool is_new);

  /* No atoms: what a rank hands to the model after a fault of its own. */
  static Atoms nothing();

  /* Two rows of the last at() in the caller's numbering; none if i is negative. */
  ClosePair pair(int64_t i, int64_t j) const;

  const AtomRows &rows() const { return numbering; }
  double bytes() const;

 private:
  std::vector<int64_t> species_of_kind;
  std::vector<double> smallest;

  AtomRows numbering;
  int n_local = 0, n_ghost = 0;       // of the caller's atoms
  Buffer<int> types, groups;          // of the caller's atoms; groups only where they matter
  bool has_groups = false, has_owners = false;
  Buffer<int64_t> species;
  Buffer<int32_t> owner;
  double reach = 0.0;
  Buffer<double> positions, numbers;
  const double *x = nullptr;          // of all rows in this step
};

}    // namespace mlip

#endif
