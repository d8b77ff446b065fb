#include "resident_atoms.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mlip {

/* ---------------------------------------------------------------------- */

void ResidentAtoms::name_kinds(const std::vector<int64_t> &rows_of_kinds, const std::vector<double> &distances)
{
  species_of_kind = rows_of_kinds;
  smallest = distances;
}

/* ---------------------------------------------------------------------- */

void ResidentAtoms::build(const AtomArrays &atoms, double of_neighbours)
{
  reach = of_neighbours;
  numbering.number(atoms);
  n_local = atoms.n_local;
  n_ghost = atoms.n_ghost;
  has_groups = atoms.groups != nullptr;
  has_owners = false;
  const int n_atoms = n_local + n_ghost;
  std::copy_n(atoms.types, n_atoms, types.resize(n_atoms + 1));
  if (has_groups) std::copy_n(atoms.groups, n_atoms, groups.resize(n_atoms + 1));

  if (!numbering.is_identity()) positions.resize(3 * numbering.n_all() + 1);
  int64_t *species_of_row = species.resize(numbering.n_all() + 1);
  for (int64_t row = 0; row < numbering.n_all(); row++) species_of_row[row] = species_of_kind[numbering.kinds()[row]];
}

/* ---------------------------------------------------------------------- */

bool ResidentAtoms::is_same(const AtomArrays &atoms) const
{
  const int n_atoms = n_local + n_ghost;
  if (atoms.n_local != n_local || atoms.n_ghost != n_ghost || (atoms.groups != nullptr) != has_groups) return false;
  if (n_atoms > 0 && memcmp(atoms.types, types.data(), n_atoms * sizeof(int)) != 0) return false;
  int changed = 0;
  if (has_groups)
    for (int i = 0; i < n_atoms; i++) changed |= atoms.groups[i] ^ groups.data()[i];
  return (changed & 1) == 0;
}

/* ----------------------------------------------------------------------
   numbers start at 1: an exchange sends 0 if the sender has no row
------------------------------------------------------------------------- */

Features ResidentAtoms::owner_numbers()
{
  double *number = numbers.resize(numbering.n_all() + 1);
  for (int64_t row = 0; row < numbering.n_all(); row++) number[row] = row < numbering.n_local() ? row + 1.0 : 0.0;
  return {number, numbering.n_all(), 1, 8};
}

/* ---------------------------------------------------------------------- */

void ResidentAtoms::take_owners()
{
  const int64_t n_own = numbering.n_local(), n_others = numbering.n_all() - n_own;
  const double *number = numbers.data() + n_own;
  int32_t *row = owner.resize(n_others + 1);
  has_owners = true;
  for (int64_t k = 0; k < n_others; k++) {
    row[k] = static_cast<int32_t>(number[k]) - 1;
    if (row[k] < 0) has_owners = false;
  }
}

/* ---------------------------------------------------------------------- */

Atoms ResidentAtoms::at(const AtomArrays &atoms, bool is_new)
{
  x = atoms.positions;
  if (!numbering.is_identity()) {
    double *gathered = positions.data();
    for (int64_t row = 0; row < numbering.n_all(); row++)
      std::copy_n(atoms.positions + 3 * static_cast<int64_t>(numbering.atom_of_row(row)), 3, gathered + 3 * row);
    x = gathered;
  }
  Atoms result;
  result.n_local = numbering.n_local();
  result.n_ghost = numbering.n_all() - numbering.n_local();
  result.species = species.data();
  result.positions = x;
  result.owner = has_owners ? owner.data() : nullptr;
  result.is_new = is_new;
  result.reach = reach;
  return result;
}

/* ---------------------------------------------------------------------- */

Atoms ResidentAtoms::nothing()
{
  return Atoms();
}

/* ---------------------------------------------------------------------- */

ClosePair ResidentAtoms::pair(int64_t i, int64_t j) const
{
  if (i < 0 || j < 0 || smallest.empty()) return {};
  const int64_t *kind = numbering.kinds();
  double distance_sq = 0.0;
  for (int k = 0; k < 3; k++) distance_sq += (x[3 * j + k] - x[3 * i + k]) * (x[3 * j + k] - x[3 * i + k]);
  return {numbering.atom_of_row(i), numbering.atom_of_row(j), std::sqrt(distance_sq),
          smallest[kind[i] * species_of_kind.size() + kind[j]]};
}

/* ---------------------------------------------------------------------- */

double ResidentAtoms::bytes() const
{
  return numbering.bytes() + types.bytes() + groups.bytes() + species.bytes() + owner.bytes() + positions.bytes() +
      numbers.bytes();
}

}    // namespace mlip
