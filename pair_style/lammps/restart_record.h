/* -*- c++ -*- ----------------------------------------------------------
   Record of pair_style mlip/torch in a restart file: the models of the run.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_RESTART_RECORD_H
#define LMP_RESTART_RECORD_H

#include <cstdio>
#include <string>
#include <vector>

#include <mpi.h>

namespace LAMMPS_NS {

/* Identifies the trained model, not its compiled file: machine and dtype may change. */
struct ModelSource {
  std::string file, name;       // of the compiled file and of its source
  std::string sha256, head;     // of the source
};

struct RestartRecord {
  std::vector<std::string> settings;    // arguments of pair_style
  std::vector<ModelSource> models;      // empty before pair_coeff
  std::vector<std::string> symbols;     // by atom type, from type 1

  /* Whether both have the same models, in any order, and the same elements. */
  bool is_like(const RestartRecord &) const;

  /* Text for messages: files, sources and elements. */
  std::string describe() const;

  /* Called on the rank that writes the restart file. */
  void write(FILE *) const;

  /* Rank 0 reads. Collective; throws std::runtime_error on every rank. */
  static RestartRecord read(FILE *, MPI_Comm world);
};

/* Records read from restart files, one list for each LAMMPS instance. A style cannot keep its own record, because a
   hybrid creates its styles again when pair_style is repeated. */
void keep_record(const class LAMMPS *, const RestartRecord &);
void forget_records(const class LAMMPS *);

/* Returns an empty text if there is no record or if one matches the given record, else an error message. */
std::string find_other_model(const class LAMMPS *, const RestartRecord &);

}    // namespace LAMMPS_NS

#endif
