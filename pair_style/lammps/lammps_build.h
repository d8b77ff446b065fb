/* -*- c++ -*- ----------------------------------------------------------
   Checks that the running LAMMPS is the one that this plugin was built for.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_LAMMPS_BUILD_H
#define LMP_LAMMPS_BUILD_H

#include <string>

namespace LAMMPS_NS {

/* Returns an empty text if the classes of the running LAMMPS have the layout of the headers of this build, else the
   message for the user. Uses the C library interface and a static function, and does not access any class.

   The version and the size of atom IDs must be equal, and the update number (22 Jul 2025 update 2 and update 4 differ
   in pair.h). A LAMMPS built outside a git checkout does not report its update; its headers are compared instead. */
std::string find_other_lammps(void *handle);

}    // namespace LAMMPS_NS

#endif
