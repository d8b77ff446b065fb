/* ----------------------------------------------------------------------
   Detects settings of LAMMPS that remove neighbours that the model needs.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "neighbour_rules.h"

#include "pair_arguments.h"

#include "atom.h"
#include "error.h"
#include "neigh_list.h"
#include "neighbor.h"

#include <algorithm>
#include <limits>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

void NeighbourRules::check_list(const NeighList *list, const std::vector<int> &kinds)
{
  if (is_exclusion_felt(kinds))
    error->all(FLERR, MLIP_STYLE + std::string("neigh_modify exclude removes neighbours that the model needs; "
                                               "use: neigh_modify exclude none, or exclude only groups and types "
                                               "without atoms of the model; to freeze atoms use fix setforce"));
  if (neighbor->includegroup)
    error->all(FLERR, MLIP_STYLE + std::string("neigh_modify include leaves atoms without neighbours; "
                                               "use: neigh_modify include all"));
  if (atom->firstgroup >= 0)
    error->all(FLERR, MLIP_STYLE + std::string("atom_modify first is only for comm_modify group, which leaves atoms "
                                               "without neighbours; use: atom_modify first all"));

  if (!list->iskip) return;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = 1; j <= atom->ntypes; j++)
      if (kinds[i] >= 0 && kinds[j] >= 0 && (list->iskip[i] || list->ijskip[i][j]))
        error->all(FLERR, MLIP_STYLE + ("the pair of atom types " + std::to_string(i)) + " and " + std::to_string(j) +
                       " is assigned to another style of the hybrid; use hybrid/overlay, or NULL for one of the types");
}

/* ----------------------------------------------------------------------
   Excluding two groups matters if both contain atoms of the model. Grand
   canonical fixes remove an atom on trial: they leave it only in their group
   of excluded atoms, outside group all. The model then ignores the atom
   (Edges), which is the intended effect.
------------------------------------------------------------------------- */

bool NeighbourRules::is_exclusion_felt(const std::vector<int> &kinds)
{
  if (is_molecule_exclusion_felt(kinds)) return true;
  for (int k = 0; k < neighbor->nex_type; k++)
    if (kinds[neighbor->ex1_type[k]] >= 0 && kinds[neighbor->ex2_type[k]] >= 0) return true;
  if (neighbor->nex_group == 0) return false;

  int mine = 0, groups = 0;    // bits of the groups that contain an atom of the model
  for (int i = 0; i < atom->nlocal; i++)
    if (kinds[atom->type[i]] >= 0 && (atom->mask[i] & 1)) mine |= atom->mask[i];
  MPI_Allreduce(&mine, &groups, 1, MPI_INT, MPI_BOR, world);
  for (int k = 0; k < neighbor->nex_group; k++)
    if ((groups & neighbor->ex1_bit[k]) && (groups & neighbor->ex2_bit[k])) return true;
  return false;
}

/* ----------------------------------------------------------------------
   intra: always matters, as even a one-atom molecule includes its periodic
   images; inter: matters if the group has model atoms of two molecules
------------------------------------------------------------------------- */

bool NeighbourRules::is_molecule_exclusion_felt(const std::vector<int> &kinds)
{
  const int n = neighbor->nex_mol;
  if (n == 0) return false;
  std::vector<tagint> mine(2 * n, std::numeric_limits<tagint>::lowest()), bounds(2 * n);    // largest, -smallest
  for (int i = 0; i < atom->nlocal; i++) {
    if (kinds[atom->type[i]] < 0 || !(atom->mask[i] & 1)) continue;
    for (int k = 0; k < n; k++) {
      if (!(atom->mask[i] & neighbor->ex_mol_bit[k])) continue;
      mine[2 * k] = std::max(mine[2 * k], atom->molecule[i]);
      mine[2 * k + 1] = std::max(mine[2 * k + 1], -atom->molecule[i]);
    }
  }
  MPI_Allreduce(mine.data(), bounds.data(), 2 * n, MPI_LMP_TAGINT, MPI_MAX, world);
  for (int k = 0; k < n; k++) {
    if (bounds[2 * k] == std::numeric_limits<tagint>::lowest()) continue;    // no atom of the model
    if (neighbor->ex_mol_intra[k] || bounds[2 * k] != -bounds[2 * k + 1]) return true;
  }
  return false;
}
