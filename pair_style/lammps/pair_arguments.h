/* -*- c++ -*- ----------------------------------------------------------
   Words of the commands pair_style mlip/torch and pair_coeff.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_ARGUMENTS_H
#define LMP_PAIR_ARGUMENTS_H

#include <string>
#include <vector>

namespace LAMMPS_NS {

enum class CloseAtoms { WARN, ERROR, IGNORE };

/* What pair_style was given. */
struct PairSettings {
  int n_threads = 1;
  std::string device = "auto";       // cpu or cuda: what model files must be for
  std::string deviation_file;        // empty: none
  int deviation_every = 0;           // steps
  CloseAtoms close = CloseAtoms::WARN;
  bool has_profile = false;
  bool takes_any_model = false;      // after a restart
  std::vector<std::string> kept;     // words that a restart file keeps
};

/* Raises, on every rank, for words that do not fit. */
PairSettings read_settings(class LAMMPS *, int, char **);

/* What pair_coeff was given after its two stars. */
struct PairCoefficients {
  std::vector<std::string> files;
  std::vector<std::string> symbols;  // by atom type, from type 1; NULL for types of another style
};

PairCoefficients read_coefficients(class LAMMPS *, int, char **);

static constexpr const char MLIP_STYLE[] = "pair_style mlip/torch: ";

std::string join(const std::vector<std::string> &, const std::string &between = ", ");

}    // namespace LAMMPS_NS

#endif
