/* -*- c++ -*- ----------------------------------------------------------
   Whether masses belong to other elements than pair_coeff names: swapped
   elements run, and give wrong energies and dynamics.
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

  /* A text that names the atom types whose mass is that of another element of known, or an empty one. Collective; the
     same on every rank. symbols: by atom type, from type 1; kinds: of each type from 1, -1 where it is not a model's. */
  std::string find_swapped(const std::vector<std::string> &symbols, const std::vector<int> &kinds,
                           const std::vector<std::string> &known) const;

 private:
  std::vector<double> masses_of_types() const;
};

}    // namespace LAMMPS_NS

#endif
