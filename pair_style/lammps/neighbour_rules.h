/* -*- c++ -*- ----------------------------------------------------------
   Settings of LAMMPS that take neighbours away from the model.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_NEIGHBOUR_RULES_H
#define LMP_NEIGHBOUR_RULES_H

#include "pointers.h"

#include <vector>

namespace LAMMPS_NS {

class NeighbourRules : protected Pointers {
 public:
  NeighbourRules(LAMMPS *lmp) : Pointers(lmp) {}

  /* After each build of the list: some commands and fixes change it after init(). Collective; stops every rank. */
  void check_list(const class NeighList *, const std::vector<int> &kind_of_type);

 private:
  bool is_exclusion_felt(const std::vector<int> &kind_of_type);
  bool is_molecule_exclusion_felt(const std::vector<int> &kind_of_type);
};

}    // namespace LAMMPS_NS

#endif
