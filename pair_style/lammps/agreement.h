/* -*- c++ -*- ----------------------------------------------------------
   Decisions that all ranks of pair_style mlip/torch take together: if one rank stops, all stop.
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

  /* Collective over world. If any rank has a fault, all ranks stop with the fault of the lowest such rank. Returns the
     notice of the lowest rank that has one; every rank gets the same text. */
  std::string settle(const std::string &fault, const std::string &notice = "");

  /* Collective over world: stops all ranks unless each has the same text. The name identifies the file in the error. */
  void require_same_on_ranks(const std::string &name, const std::string &text);

  /* Collective over all partitions: the same check for partitions that take part in one calculation. */
  void require_same_on_partitions(const std::string &name, const std::string &text);

 private:
  [[noreturn]] void stop(const std::string &fault);
  std::string text_of_rank(const std::string &mine, int rank, MPI_Comm);
};

}    // namespace LAMMPS_NS

#endif
