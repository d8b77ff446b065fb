/* -*- c++ -*- ----------------------------------------------------------
   Parses the arguments of pair_style mlip/torch and pair_coeff.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_ARGUMENTS_H
#define LMP_PAIR_ARGUMENTS_H

#include <map>
#include <string>
#include <vector>

namespace LAMMPS_NS {

enum class CloseAtoms { WARN, ERROR, IGNORE };

/* Arguments of pair_style. */
struct PairSettings {
  int n_threads = 1;
  std::string device = "auto";       // auto, cpu or cuda: device that model files must be for
  std::string deviation_file;        // empty: no file
  int deviation_every = 0;           // steps
  CloseAtoms close = CloseAtoms::WARN;
  bool has_profile = false;
  std::map<std::string, double> global_inputs;    // charge and spin, as far as they are given
  bool takes_any_model = false;      // whether a restart accepts another model
  std::vector<std::string> kept;     // arguments that a restart file keeps
};

/* Invalid arguments stop every rank. */
PairSettings read_settings(class LAMMPS *, int, char **);

/* Arguments of pair_coeff after the two stars. */
struct PairCoefficients {
  std::vector<std::string> files;
  std::vector<std::string> symbols;  // by atom type, from type 1; NULL for types of another style
};

PairCoefficients read_coefficients(class LAMMPS *, int, char **);

static constexpr const char MLIP_STYLE[] = "pair_style mlip/torch: ";

std::string join(const std::vector<std::string> &, const std::string &between = ", ");

}    // namespace LAMMPS_NS

#endif
