/* ----------------------------------------------------------------------
   Ghosts whose features a step of pair_style mlip/torch needs.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "needed_ghosts.h"

#include "edges.h"

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

void NeededGhosts::mark(const mlip::Edges &edges, int n_atoms)
{
  forget();
  needed.assign(n_atoms, 0);
  is_known = true;
  const mlip::Graph graph = edges.graph();
  for (int64_t edge = 0; edge < graph.n_edges; edge++) needed[edges.atom_of_row(graph.edge_neighbour[edge])] = 1;
}

/* ---------------------------------------------------------------------- */

void NeededGhosts::forget()
{
  is_known = false;
  n_messages = 0;
}

/* ---------------------------------------------------------------------- */

int NeededGhosts::tell(int n, int first, double *buf) const
{
  for (int k = 0; k < n; k++) buf[k] = is_known ? needed[first + k] : 0.0;
  return n;
}

/* ---------------------------------------------------------------------- */

void NeededGhosts::hear(int n, const int *list, const double *buf)
{
  if (n_messages == messages.size()) messages.emplace_back();
  Message &message = messages[n_messages++];
  message.list = list;
  message.is_needed.resize(n);
  for (int k = 0; k < n; k++) {
    message.is_needed[k] = buf[k] != 0.0;
    if (is_known) needed[list[k]] |= message.is_needed[k];
  }
}

/* ---------------------------------------------------------------------- */

const char *NeededGhosts::of_list(const int *list) const
{
  for (std::size_t k = 0; k < n_messages; k++)
    if (messages[k].list == list) return messages[k].is_needed.data();
  return nullptr;
}
