/* -*- c++ -*- ----------------------------------------------------------
   Ghosts whose features a step of pair_style mlip/torch needs.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef MLIP_NEEDED_GHOSTS_H
#define MLIP_NEEDED_GHOSTS_H

#include <vector>

namespace mlip {
class Edges;
}

namespace LAMMPS_NS {

/* ----------------------------------------------------------------------
   LAMMPS has ghosts up to the cutoff and the skin. Those without an edge in
   this step, about a third, need no features. A message has rows of the others
   only, so both of its ends keep the same list of them. A ghost is also needed
   if this rank passes it on to another one.
------------------------------------------------------------------------- */

class NeededGhosts {
 public:
  /* Starts a step with the ghosts that have edges on this rank. Throws std::bad_alloc. */
  void mark(const mlip::Edges &edges, int n_atoms);

  /* All ghosts are needed, on this rank; a rank that has no edges because of a fault still hears the others. */
  void forget();

  /* The two ends of a message from ghosts first, first + 1, ... to their owners, before all others of the step. */
  int tell(int n, int first, double *buf) const;
  void hear(int n, const int *list, const double *buf);

  /* Which of the ghosts first, first + 1, ... are needed, and which atoms of a list of LAMMPS. Null: all. */
  const char *of_ghosts(int first) const { return is_known ? needed.data() + first : nullptr; }
  const char *of_list(const int *list) const;

 private:
  struct Message {
    const int *list = nullptr;    // LAMMPS has one for each message
    std::vector<char> is_needed;
  };

  bool is_known = false;
  std::vector<char> needed;    // by atom
  std::vector<Message> messages;
  std::size_t n_messages = 0;
};

}    // namespace LAMMPS_NS

#endif
