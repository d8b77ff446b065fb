/* -*- c++ -*- ----------------------------------------------------------
   Deviations between the models of a committee, for compute pair, fix pair
   and the deviation file.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_DEVIATIONS_H
#define LMP_DEVIATIONS_H

#include "committee.h"
#include "edges.h"

#include "pointers.h"

#include <cstdio>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/* Energy deviation in eV; largest and mean force deviation in eV/angstrom. */
struct DeviationTotals {
  double energy = 0.0, force_max = 0.0, force_mean = 0.0;
  tagint atom_of_max = 0;
};

/* Deviation file, written by one rank. A step can be evaluated more than once (trials, line searches): the file has
   the last evaluation. A run that continues an earlier one, so that its first step is not 0, replaces what the earlier
   run wrote from this step on. */
class DeviationFile {
 public:
  DeviationFile() = default;
  ~DeviationFile();
  DeviationFile(const DeviationFile &) = delete;
  DeviationFile &operator=(const DeviationFile &) = delete;

  /* Appends to an existing file. Returns false, with errno set, if the file cannot be opened. */
  bool open(const std::string &path);
  void note(bigint step, const DeviationTotals &);
  void flush();

 private:
  void close();
  void drop_rows_from(bigint step);

  FILE *file = nullptr;
  std::string path;
  bool has_rows = false;    // since the file was opened
  bigint last_step = 0;
  bool is_pending = false;
  bigint pending_step = 0;
  DeviationTotals pending;
};

class Deviations : protected Pointers {
 public:
  Deviations(LAMMPS *lmp) : Pointers(lmp) {}

  int is_wanted_by_atom = 0;    // set by fix pair for the steps on which it reads
  DeviationFile file;

  /* Call at the start of an evaluation. Returns whether measure() follows, the same on every rank. */
  bool begin(bool is_wanted, int n_models);

  /* Reserves memory for measure(). Throws std::bad_alloc. */
  void prepare(mlip::Committee &, const mlip::Edges &);

  /* Collective. */
  DeviationTotals measure(mlip::Committee &, const mlip::Edges &, mlip::Exchange &);

  /* Whether per-atom deviations were requested for the last evaluation. The same on every rank. */
  bool are_by_atom() const { return has_atoms; }
  /* Force deviations of owned atoms, eV/angstrom, if they were requested. */
  double *by_atom() { return values.data(); }

 private:
  bool has_atoms = false;
  std::vector<double> values;    // at least as many as LAMMPS has allocated atoms
};

}    // namespace LAMMPS_NS

#endif
