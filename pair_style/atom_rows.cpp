#include "atom_rows.h"

namespace mlip {

/* ---------------------------------------------------------------------- */

void AtomRows::number(const AtomArrays &atoms)
{
  const int n_atoms = atoms.n_local + atoms.n_ghost;
  n_own = n_rows = 0;
  int *rows = row_of.resize(n_atoms + 1);
  int *back = atom_of.resize(n_atoms + 1);
  int64_t *kinds = kind_of_row.resize(n_atoms + 1);
  int row = 0;
  for (int i = 0; i < n_atoms; i++) {
    if (i == atoms.n_local) n_own = row;
    const bool is_there = atoms.groups == nullptr || (atoms.groups[i] & 1);
    const int kind = is_there ? atoms.kind_of_type[atoms.types[i]] : -1;
    rows[i] = kind < 0 ? -1 : row;
    if (kind < 0) continue;
    back[row] = i;
    kinds[row] = kind;
    row++;
  }
  if (atoms.n_ghost == 0) n_own = row;
  n_rows = row;
  is_same = row == n_atoms;
}

}    // namespace mlip
