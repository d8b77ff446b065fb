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

namespace mlip {
struct ClosePair;
}

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
  void finish() override;

  void write_restart(FILE *) override;
  void read_restart(FILE *) override;
  void write_restart_settings(FILE *) override;
  void read_restart_settings(FILE *) override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;
  double memory_usage() override;

 protected:
  void allocate();
  void size_communication();

  // one step: each returns this rank's fault, or an empty string; notice reports close atoms
  void view_atoms();
  void view_neighbours();
  void view_cell();
  std::string compute_on_edges(bool has_deviations, std::string &notice);
  std::string compute_resident(std::string &notice);
  std::string build_edges();
  std::string evaluate_models(bool has_deviations);
  void add_results();
  void keep_properties();
  double *find_property(const std::string &name);

  bool is_resident_step(bool has_deviations);
  std::string find_close_atoms(const mlip::ClosePair &);
  void settle(std::string fault, std::string notice);

  // committee
  bool is_deviation_noted();
  void measure_deviations(bool is_noted);

  // models, edges, exchange and settings; defined in the .cpp so that no other file sees them
  struct Parts;
  Parts *parts;
};

}    // namespace LAMMPS_NS

#endif
