/* -*- c++ -*- ----------------------------------------------------------
   Time profile of the steps of pair_style mlip/torch.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_STEP_PROFILE_H
#define LMP_STEP_PROFILE_H

#include "pointers.h"

#include <chrono>

namespace mlip {
class Committee;
}

namespace LAMMPS_NS {

/* Adds the time from its construction to its destruction to a sum, in seconds. */
class Stopwatch {
 public:
  explicit Stopwatch(double &sum) : sum(sum), start(std::chrono::steady_clock::now()) {}
  ~Stopwatch() { sum += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

 private:
  double &sum;
  std::chrono::steady_clock::time_point start;
};

class StepProfile : protected Pointers {
 public:
  StepProfile(LAMMPS *lmp) : Pointers(lmp) {}

  // seconds of this rank since the last reset
  double total = 0.0, edges = 0.0, communication = 0.0;
  bigint n_evaluations = 0;

  /* Counts numbers that this rank sends, also to its own periodic images, and returns how many. */
  int sent(int n_doubles)
  {
    n_sent += n_doubles;
    return n_doubles;
  }

  void reset(mlip::Committee &);

  /* Starts an evaluation. The slow first evaluation of the set-up counts only if no step follows. */
  void begin(mlip::Committee &);

  /* Prints a table over all ranks to the screen and the log. Collective. */
  void print(mlip::Committee &);

 private:
  bool is_of_setup = false;
  bigint n_sent = 0;
};

}    // namespace LAMMPS_NS

#endif
