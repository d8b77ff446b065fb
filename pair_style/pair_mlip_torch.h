/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS side of pair_style mlip/torch: arguments, neighbour list,
   communication, adding results. No torch header.

   This file is derived from the interfaces of LAMMPS and is distributed
   under the GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_MLIP_TORCH_H
#define LMP_PAIR_MLIP_TORCH_H

#include "pair.h"

#include <string>

namespace LAMMPS_NS {

class PairMlipTorch : public Pair {
 public:
  PairMlipTorch(class LAMMPS *);
  ~PairMlipTorch() override;

  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  void *extract(const char *, int &) override;
  double memory_usage() override;

 protected:
  void allocate();
  void open_model(const std::string &);
  void map_types(int, char **);
  void raise_together(const std::string &);
  void check_same_model();
  void check_neighbour_list();

  // one step: each returns this rank's fault, or an empty string
  std::string build_edges();
  std::string find_lost_neighbours();
  std::string evaluate_model();
  std::string find_not_finite();
  void add_results();

  int n_threads;

  // the model, its edges and the exchange; defined in the .cpp so that no other file sees them
  struct Parts;
  Parts *parts;
};

}    // namespace LAMMPS_NS

#endif
