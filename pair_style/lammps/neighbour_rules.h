/* -*- c++ -*- ----------------------------------------------------------
   Detects settings of LAMMPS that remove neighbours that the model needs.
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

  /* Called after each build of the list, since commands and fixes can change it after init(). Collective; an error
     stops all ranks. */
  void check_list(const class NeighList *, const std::vector<int> &kind_of_type);

 private:
  bool is_exclusion_felt(const std::vector<int> &kind_of_type);
  bool is_molecule_exclusion_felt(const std::vector<int> &kind_of_type);
};

}    // namespace LAMMPS_NS

#endif
