/* ----------------------------------------------------------------------
   Settings of LAMMPS that take neighbours away from the model.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "neighbour_rules.h"

#include "pair_arguments.h"

#include "atom.h"
#include "error.h"
#include "neigh_list.h"
#include "neighbor.h"

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

void NeighbourRules::check_list(const NeighList *list, const std::vector<int> &kinds)
{
  if (is_exclusion_felt(kinds))
    error->all(FLERR, MLIP_STYLE + std::string("neigh_modify exclude takes neighbours away that the model needs; "
                                               "use: neigh_modify exclude none, and hold atoms still with fix setforce"));
  if (neighbor->includegroup)
    error->all(FLERR, MLIP_STYLE + std::string("neigh_modify include leaves atoms without neighbours; "
                                               "use: neigh_modify include all"));
  if (atom->firstgroup >= 0)
    error->all(FLERR, MLIP_STYLE + std::string("atom_modify first serves comm_modify group alone, which leaves atoms "
                                               "without neighbours; use: atom_modify first all"));

  if (!list->iskip) return;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = 1; j <= atom->ntypes; j++)
      if (kinds[i] >= 0 && kinds[j] >= 0 && (list->iskip[i] || list->ijskip[i][j]))
        error->all(FLERR, MLIP_STYLE + ("the pair of atom types " + std::to_string(i)) + " and " + std::to_string(j) +
                       " was given to another style of the hybrid; use hybrid/overlay, or NULL for one of them");
}

/* ----------------------------------------------------------------------
   Excluded groups are felt where both hold atoms of the model. Grand
   canonical fixes take an atom away on trial: they leave it in their group
   of excluded atoms alone, outside group all, and the model does not see it
   at all then (Edges), which is what taking it away means.
------------------------------------------------------------------------- */

bool NeighbourRules::is_exclusion_felt(const std::vector<int> &kinds)
{
  if (neighbor->nex_mol > 0) return true;
  for (int k = 0; k < neighbor->nex_type; k++)
    if (kinds[neighbor->ex1_type[k]] >= 0 && kinds[neighbor->ex2_type[k]] >= 0) return true;
  if (neighbor->nex_group == 0) return false;

  int mine = 0, groups = 0;    // groups that hold an atom of the model, as bits
  for (int i = 0; i < atom->nlocal; i++)
    if (kinds[atom->type[i]] >= 0 && (atom->mask[i] & 1)) mine |= atom->mask[i];
  MPI_Allreduce(&mine, &groups, 1, MPI_INT, MPI_BOR, world);
  for (int k = 0; k < neighbor->nex_group; k++)
    if ((groups & neighbor->ex1_bit[k]) && (groups & neighbor->ex2_bit[k])) return true;
  return false;
}
