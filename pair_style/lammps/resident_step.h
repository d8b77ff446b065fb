/* -*- c++ -*- ----------------------------------------------------------
   One step of a model that finds its own edges.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_RESIDENT_STEP_H
#define LMP_RESIDENT_STEP_H

#include "contract.h"
#include "resident_atoms.h"

#include "pointers.h"

#include <string>

namespace mlip {
class Model;
}

namespace LAMMPS_NS {

class CommExchange;
class StepFaults;
class StepProfile;

class ResidentStep : protected Pointers {
 public:
  ResidentStep(LAMMPS *lmp, StepFaults &faults, StepProfile &profile, CommExchange &exchange) :
      Pointers(lmp), faults(faults), profile(profile), exchange(exchange)
  {
  }

  mlip::ResidentAtoms atoms;

  /* Call after the model evaluated other atoms: the next step builds its lists again. */
  void forget() { is_known = false; }

  /* Collective. Returns this rank's fault, or an empty text. */
  std::string evaluate(mlip::Model &, const mlip::AtomArrays &);

  const mlip::StepResults &results() const { return found; }
  mlip::ClosePair closest() const { return atoms.pair(found.close_i, found.close_j); }

 private:
  bool has_new_list(const mlip::AtomArrays &) const;
  std::string build(const mlip::AtomArrays &, double reach);

  StepFaults &faults;
  StepProfile &profile;
  CommExchange &exchange;
  mlip::StepResults found;
  bool is_known = false;                  // whether the model has the atoms of the last build
  bigint n_builds = -1, last_build = -1;  // state of the list of LAMMPS at the last build
};

}    // namespace LAMMPS_NS

#endif
