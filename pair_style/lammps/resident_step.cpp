/* ----------------------------------------------------------------------
   One step of a model that finds its own edges.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "resident_step.h"

#include "comm_exchange.h"
#include "model/model.h"
#include "step_faults.h"
#include "step_profile.h"

#include "comm.h"
#include "exceptions.h"
#include "neighbor.h"

#include <new>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

std::string ResidentStep::evaluate(mlip::Model &model, const mlip::AtomArrays &arrays)
{
  const bool is_new = has_new_list(arrays);
  std::string fault;
  // each atom moves at most half the skin before LAMMPS builds new lists
  if (is_new) fault = build(arrays, model.metadata().cutoff + neighbor->skin);
  is_known = false;    // until this step succeeds
  found = mlip::StepResults();
  exchange.numbering = &atoms.rows();
  exchange.ghosts.forget();
  exchange.is_mute = !fault.empty();
  try {
    // on a single rank all ghosts are images of its own atoms
    if (is_new && comm->nprocs == 1 && fault.empty()) {
      mlip::Features numbers = atoms.owner_numbers();
      exchange.forward(numbers);
      atoms.take_owners();
    }
    found = model.step(fault.empty() ? atoms.at(arrays, is_new) : mlip::ResidentAtoms::nothing(), exchange);
    is_known = fault.empty();
  } catch (LAMMPSException &) {
    throw;    // raised by LAMMPS inside a communication: it handles the other ranks
  } catch (std::exception &e) {
    if (fault.empty()) fault = e.what();
  } catch (...) {
    if (fault.empty()) fault = "unknown exception in the model; report a bug with this input";
  }
  return fault;
}

/* ----------------------------------------------------------------------
   a list can also be built between two steps (grand canonical fixes), and
   types and groups of atoms can change without a new list (set, run pre no)
------------------------------------------------------------------------- */

bool ResidentStep::has_new_list(const mlip::AtomArrays &arrays) const
{
  return !is_known || neighbor->ago == 0 || neighbor->ncalls != n_builds || neighbor->lastcall != last_build ||
      !atoms.is_same(arrays);
}

/* ---------------------------------------------------------------------- */

std::string ResidentStep::build(const mlip::AtomArrays &arrays, double reach)
{
  const Stopwatch watch(profile.edges);
  try {
    atoms.build(arrays, reach);
  } catch (std::bad_alloc &) {
    return "not enough memory for the rows of " + std::to_string(arrays.n_local) + " atoms; use more ranks";
  } catch (std::exception &e) {
    return e.what();
  }
  n_builds = neighbor->ncalls;
  last_build = neighbor->lastcall;
  return faults.find_lost_neighbours(atoms.rows());
}
