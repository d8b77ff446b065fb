/* -*- c++ -*- ----------------------------------------------------------
   What pair_style mlip/torch leaves in a restart file: which models drove.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_RESTART_RECORD_H
#define LMP_RESTART_RECORD_H

#include <cstdio>
#include <string>
#include <vector>

#include <mpi.h>

namespace LAMMPS_NS {

/* The trained model, not its compiled file: machine and dtype may change. */
struct ModelSource {
  std::string file, name;       // of the compiled file and of what it was made from
  std::string sha256, head;     // of what it was made from
};

struct RestartRecord {
  std::vector<std::string> settings;    // words of pair_style
  std::vector<ModelSource> models;      // none before pair_coeff
  std::vector<std::string> symbols;     // by atom type, from type 1

  /* The same models in any order, and the same elements. */
  bool is_like(const RestartRecord &) const;

  /* For a message: files, sources and elements. */
  std::string describe() const;

  /* On the rank that writes the restart file. */
  void write(FILE *) const;

  /* Rank 0 reads. Collective; throws std::runtime_error on every rank. */
  static RestartRecord read(FILE *, MPI_Comm world);
};

/* Records that restart files brought, one list for each LAMMPS: a hybrid makes its styles anew when pair_style is given
   again, so that a style cannot keep its own. */
void keep_record(const class LAMMPS *, const RestartRecord &);
void forget_records(const class LAMMPS *);

/* Empty if there is no record, or one like the given; else what is wrong. */
std::string find_other_model(const class LAMMPS *, const RestartRecord &);

}    // namespace LAMMPS_NS

#endif
