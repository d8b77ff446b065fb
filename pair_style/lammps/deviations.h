/* -*- c++ -*- ----------------------------------------------------------
   How far the models of a committee are apart: for compute pair, fix pair
   and a file of its own.
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

/* Energy deviation in eV, largest and mean force deviation in eV/angstrom. */
struct DeviationTotals {
  double energy = 0.0, force_max = 0.0, force_mean = 0.0;
  tagint atom_of_max = 0;
};

/* Lines of a file, on one rank. A step may be evaluated more than once (trials, line searches): the last one counts. */
class DeviationFile {
 public:
  DeviationFile() = default;
  ~DeviationFile();
  DeviationFile(const DeviationFile &) = delete;
  DeviationFile &operator=(const DeviationFile &) = delete;

  /* Adds to a file that is there. False, with errno set, if it cannot be opened. */
  bool open(const std::string &path);
  void note(bigint step, const DeviationTotals &);
  void flush();

 private:
  void close();

  FILE *file = nullptr;
  std::string path;
  bool is_pending = false;
  bigint pending_step = 0;
  DeviationTotals pending;
};

class Deviations : protected Pointers {
 public:
  Deviations(LAMMPS *lmp) : Pointers(lmp) {}

  int is_wanted_by_atom = 0;    // fix pair sets it for the steps on which it reads
  DeviationFile file;

  /* At the start of an evaluation: whether measure() follows. The same on every rank. */
  bool begin(bool is_wanted, int n_models);

  /* Room for measure(). Throws std::bad_alloc. */
  void prepare(mlip::Committee &, const mlip::Edges &);

  /* Collective. */
  DeviationTotals measure(mlip::Committee &, const mlip::Edges &, mlip::Exchange &);

  /* Whether those of atoms were wanted for the last evaluation. The same on every rank. */
  bool are_by_atom() const { return has_atoms; }
  /* Those of the forces on owned atoms, eV/angstrom, if they were. */
  double *by_atom() { return values.data(); }

 private:
  bool has_atoms = false;
  std::vector<double> values;    // at least as many as LAMMPS has room for atoms
};

}    // namespace LAMMPS_NS

#endif
