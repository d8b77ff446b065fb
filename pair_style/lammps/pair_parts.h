/* ----------------------------------------------------------------------
   Members of the pair style; internal to its own files.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef MLIP_PAIR_PARTS_H
#define MLIP_PAIR_PARTS_H

#include "pair_mlip_torch.h"

#include "agreement.h"
#include "comm_exchange.h"
#include "deviations.h"
#include "edges.h"
#include "loaded_models.h"
#include "neighbour_rules.h"
#include "pair_arguments.h"
#include "resident_step.h"
#include "step_faults.h"
#include "step_profile.h"

#include <vector>

namespace LAMMPS_NS {

constexpr int N_EXTRA = 3;    // values shown by compute pair

struct PairMlipTorch::Parts {
  Parts(LAMMPS *lmp, PairMlipTorch *pair, Comm *&comm, Error *&error, MPI_Comm &world) :
      agreement(lmp), rules(lmp), faults(lmp), profile(lmp), deviations(lmp), loaded(lmp, agreement),
      exchange(pair, comm, error, world, profile.communication), resident(lmp, faults, profile, exchange)
  {
  }

  PairSettings settings;
  Agreement agreement;
  NeighbourRules rules;
  StepFaults faults;
  StepProfile profile;
  Deviations deviations;
  LoadedModels loaded;

  mlip::Committee &models = loaded.committee;
  mlip::AtomArrays atoms;       // the atoms of LAMMPS in this step
  mlip::NeighbourRows rows;
  mlip::Edges edges;
  mlip::Graph graph;
  mlip::Results results;
  std::vector<std::vector<double>> properties;    // further results for the atoms of LAMMPS, as the metadata list them
  double cell[9] = {};          // cell vectors in rows
  CommExchange exchange;
  ResidentStep resident;
  bool is_resident = false;     // whether the model finds the edges of this step
  bool has_warned_of_close_atoms = false;
  bool is_ready = false;    // whether LAMMPS is set up for these models
};

}    // namespace LAMMPS_NS

#endif
