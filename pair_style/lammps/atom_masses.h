/* -*- c++ -*- ----------------------------------------------------------
   Detects masses that do not match the elements named in pair_coeff: a run
   with swapped elements gives wrong energies and wrong dynamics.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_ATOM_MASSES_H
#define LMP_ATOM_MASSES_H

#include "pointers.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

class AtomMasses : protected Pointers {
 public:
  AtomMasses(LAMMPS *lmp) : Pointers(lmp) {}

  /* Names the atom types whose mass matches another known element; empty if there are none. Collective; every rank gets
     the same text. symbols: element of each atom type; index 0 is type 1. kinds: kind of each type; index 1 is type 1,
     -1 for a type without a model. */
  std::string find_swapped(const std::vector<std::string> &symbols, const std::vector<int> &kinds,
                           const std::vector<std::string> &known) const;

 private:
  std::vector<double> masses_of_types() const;
};

}    // namespace LAMMPS_NS

#endif
