/* Atoms of a model that finds its own edges, kept from one neighbour list to the next. Depends on neither LAMMPS nor
   torch. */

#ifndef MLIP_RESIDENT_ATOMS_H
#define MLIP_RESIDENT_ATOMS_H

#include "atom_rows.h"
#include "contract.h"

#include <cstdint>
#include <vector>

namespace mlip {

class ResidentAtoms {
 public:
  /* species_of_kind (n_kinds): rows in the model's element table. smallest (n_kinds, n_kinds): smallest allowed
     distances in angstrom; empty if the model states none. */
  void name_kinds(const std::vector<int64_t> &species_of_kind, const std::vector<double> &smallest);

  /* reach: largest distance of neighbours until the next list, angstrom. Resets owners. Throws std::bad_alloc. */
  void build(const AtomArrays &, double reach);

  /* Whether the atoms match the last build: the same number, types and presence. */
  bool is_same(const AtomArrays &) const;

  /* For ghosts that are all images of owned atoms: numbers the rows, for an exchange from owned rows to ghosts, and
     reads the owners from it. Owners stay unknown if the model lacks the atom of a ghost. */
  Features owner_numbers();
  void take_owners();

  /* The rows of the last build with the positions of this step; refers to the caller's arrays. Must not fail, because
     the other ranks wait in an exchange. */
  Atoms at(const AtomArrays &, bool is_new);

  /* No atoms: the input of the model on a rank with a fault. */
  static Atoms nothing();

  /* Converts two rows of the last at() to the caller's numbering; no pair if i is negative. */
  ClosePair pair(int64_t i, int64_t j) const;

  const AtomRows &rows() const { return numbering; }
  double bytes() const;

 private:
  std::vector<int64_t> species_of_kind;
  std::vector<double> smallest;

  AtomRows numbering;
  int n_local = 0, n_ghost = 0;       // counts of the caller's atoms
  Buffer<int> types, groups;          // copies from the caller's atoms; groups only if they matter
  bool has_groups = false, has_owners = false;
  Buffer<int64_t> species;
  Buffer<int32_t> owner;
  double reach = 0.0;
  Buffer<double> positions, numbers;
  const double *x = nullptr;          // positions of all rows in this step
};

}    // namespace mlip

#endif
