/* -*- c++ -*- ----------------------------------------------------------
   Detects faults in the atoms of a rank in one step.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_STEP_FAULTS_H
#define LMP_STEP_FAULTS_H

#include "atom_rows.h"
#include "contract.h"
#include "edges.h"

#include "pointers.h"

#include <string>

namespace LAMMPS_NS {

/* Each function returns an error message that names the atoms, or an empty text. */
class StepFaults : protected Pointers {
 public:
  StepFaults(LAMMPS *lmp) : Pointers(lmp) {}

  std::string find_lost_neighbours(const mlip::AtomRows &);
  std::string find_close_atoms(const mlip::ClosePair &);
  std::string find_not_finite(const mlip::Edges &, const mlip::Results &);
  std::string find_not_finite(const mlip::AtomRows &, const mlip::StepResults &);

 private:
  std::string not_finite(const char *what, int i) const;
  std::string name_of_atom(int i) const;
  std::string whole_special_bonds() const;    // commands that give the model all neighbours
};

}    // namespace LAMMPS_NS

#endif
