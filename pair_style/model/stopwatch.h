/* ----------------------------------------------------------------------
   Wall time.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef MLIP_STOPWATCH_H
#define MLIP_STOPWATCH_H

#include <chrono>

namespace mlip {

inline double seconds_since(std::chrono::steady_clock::time_point start)
{
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}    // namespace mlip

#endif
