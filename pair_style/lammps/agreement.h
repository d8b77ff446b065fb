/* -*- c++ -*- ----------------------------------------------------------
   What ranks decide together in pair_style mlip/torch: one stops, all stop.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_AGREEMENT_H
#define LMP_AGREEMENT_H

#include "pointers.h"

#include <string>

namespace LAMMPS_NS {

class Agreement : protected Pointers {
 public:
  Agreement(LAMMPS *lmp) : Pointers(lmp) {}

  /* Collective over world. If a rank has a fault, all stop with that of the first such rank. Returns the notice of the
     first rank that has one, the same text on every rank. */
  std::string settle(const std::string &fault, const std::string &notice = "");

  /* Collective over world: stops all unless every rank read the same from what is called name. */
  void require_same_on_ranks(const std::string &name, const std::string &text);

  /* Collective over all partitions: the same for partitions that run one calculation together. */
  void require_same_on_partitions(const std::string &name, const std::string &text);

 private:
  [[noreturn]] void stop(const std::string &fault);
  std::string text_of_rank(const std::string &mine, int rank, MPI_Comm);
};

}    // namespace LAMMPS_NS

#endif
