/* ----------------------------------------------------------------------
   Detects faults in the atoms of a rank in one step.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "step_faults.h"

#include "atom.h"
#include "force.h"
#include "neighbor.h"
#include "utils.h"

#include "fmt/format.h"

#include <cmath>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

std::string StepFaults::name_of_atom(int i) const
{
  if (atom->tag_enable) return "atom " + std::to_string(atom->tag[i]);
  return "an atom of type " + std::to_string(atom->type[i]);
}

/* ----------------------------------------------------------------------
   special bonds: a weight of 0 removes pairs from the neighbour list; other
   weights than 1 request a scaling that a many-body model does not support
------------------------------------------------------------------------- */

std::string StepFaults::find_lost_neighbours(const mlip::AtomRows &rows)
{
  bool is_whole[4];
  for (int k = 1; k <= 3; k++) is_whole[k] = neighbor->special_flag[k] != 0 && force->special_lj[k] == 1.0;
  if (atom->molecular == Atom::ATOMIC || (is_whole[1] && is_whole[2] && is_whole[3])) return "";

  for (int i = 0; i < atom->nlocal; i++) {
    if (rows.row_of_atom(i) < 0) continue;
    bool is_lost = false;
    if (atom->molecular == Atom::TEMPLATE) {
      is_lost = atom->molindex[i] >= 0;
    } else {
      const int *n = atom->nspecial[i];
      is_lost = (!is_whole[1] && n[0] > 0) || (!is_whole[2] && n[1] > n[0]) || (!is_whole[3] && n[2] > n[1]);
    }
    if (is_lost)
      return "special_bonds removes or scales bonded neighbours of " + name_of_atom(i) +
          ", but the model needs all of them with weight 1; " +
          whole_special_bonds();
  }
  return "";
}

/* ----------------------------------------------------------------------
   in a hybrid the other styles keep their weights; a pair that special_bonds
   removes from the list is missing for all styles, while a pair with a weight
   close to zero stays in the list
------------------------------------------------------------------------- */

std::string StepFaults::whole_special_bonds() const
{
  if (!force->pair_style || !utils::strmatch(force->pair_style, "^hybrid")) return "use: special_bonds lj/coul 1 1 1";
  const bool has_several = force->pair_match("mlip/torch", 1, 1) != force->pair_match("mlip/torch", 1, 2);
  return std::string("in special_bonds write 1e-100 for each weight of 0, and use: pair_modify pair mlip/torch ") +
      (has_several ? "N special lj/coul 1 1 1, for each number N" : "special lj/coul 1 1 1");
}

/* ---------------------------------------------------------------------- */

std::string StepFaults::find_not_finite(const mlip::Edges &edges, const mlip::Results &results)
{
  const mlip::Graph graph = edges.graph();
  int64_t row = -1;
  const char *what = "energy";
  for (int64_t k = 0; k < graph.n_local && row < 0; k++)
    if (!std::isfinite(results.node_energies[k])) row = k;
  for (int64_t edge = 0; edge < graph.n_edges && row < 0; edge++) {
    const double *g = results.edge_gradients + 3 * edge;
    if (std::isfinite(g[0] + g[1] + g[2])) continue;
    row = graph.edge_centre[edge];
    what = "force";
  }
  return row < 0 ? "" : not_finite(what, edges.atom_of_row(row));
}

/* ----------------------------------------------------------------------
   a value that is not finite, times zero, is not zero: the sums are a cheap
   test, since most steps have no such value
------------------------------------------------------------------------- */

std::string StepFaults::find_not_finite(const mlip::AtomRows &rows, const mlip::StepResults &results)
{
  const double *energy = results.node_energies, *f = results.forces;
  double sums[4] = {};
  for (int64_t row = 0; row < rows.n_local(); row++) sums[0] += 0.0 * energy[row];
  for (int64_t row = 0; row < results.n_force_rows; row++)
    for (int k = 0; k < 3; k++) sums[1 + k] += 0.0 * f[3 * row + k];
  if (sums[0] + sums[1] + sums[2] + sums[3] == 0.0) return "";

  for (int64_t row = 0; row < rows.n_local(); row++)
    if (!std::isfinite(energy[row])) return not_finite("energy", rows.atom_of_row(row));
  for (int64_t row = 0; row < results.n_force_rows; row++)
    for (int k = 0; k < 3; k++)
      if (!std::isfinite(f[3 * row + k])) return not_finite("force", rows.atom_of_row(row));
  return "";
}

/* ---------------------------------------------------------------------- */

std::string StepFaults::not_finite(const char *what, int i) const
{
  const double *x = atom->x[i];
  return fmt::format("the {} of {} at {:.4f} {:.4f} {:.4f} is not finite; check for overlapping atoms or too large a "
                     "timestep", what, name_of_atom(i), x[0], x[1], x[2]);
}

/* ---------------------------------------------------------------------- */

std::string StepFaults::find_close_atoms(const mlip::ClosePair &pair)
{
  if (pair.i < 0) return "";
  return fmt::format("{} and {} are {:.4g} A apart, but the model's smallest distance for their elements is {:.4g} A; "
                     "check the initial structure, the timestep and the temperature", name_of_atom(pair.i),
                     name_of_atom(pair.j), pair.distance, pair.smallest);
}
