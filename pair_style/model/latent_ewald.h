/* Electrostatic energy of the latent charges of all ranks and its derivatives. Depends on neither LAMMPS nor torch. */

#ifndef MLIP_LATENT_EWALD_H
#define MLIP_LATENT_EWALD_H

#include "contract.h"
#include "first_fault.h"

#include <array>
#include <cstdint>
#include <vector>

namespace mlip {

/* The atoms of one rank. */
struct ChargedAtoms {
  int64_t n = 0;
  const double *charges = nullptr;      // (n)
  const double *positions = nullptr;    // (n, 3)  angstrom, in any image
  const double *cell = nullptr;         // (3, 3)  cell vectors in rows, angstrom, the same on all ranks; null: no periods
};

/* Periodic: a sum over reciprocal vectors k = n1 b1 + n2 b2 + n3 b3 of one half space. Vectors with the same (n1, n2)
   are a row, and vectors with n3 and -n3 a pair of it. With the phases p_j = exp(i n_j b_j x) of an atom, the four real
   sums over atoms of Re and Im of (q p_1 p_2) times Re and Im of p_3 give the structure factors of both vectors of a
   pair; ranks add these sums. Potentials and forces follow from the same phases. Not periodic: a sum over all pairs of
   atoms, whose charges and positions every rank gets. */
class LatentEwald {
 public:
  /* Collective: every rank calls it, also after a fault, which it keeps. */
  void evaluate(const LatentEwaldSettings &, const ChargedAtoms &, bool has_node_virials, Exchange &, FirstFault &);

  std::vector<double> potentials;      // (n)     dE/dq, eV
  std::vector<double> forces;          // (n, 3)  at fixed charges, eV/angstrom
  std::vector<double> node_virials;    // (n, 6)  xx yy zz xy xz yz, eV; empty unless requested
  std::array<double, 6> virial{};      // this rank's share, xx yy zz xy xz yz, eV

 private:
  struct Row {
    int64_t n1, n2;
    int64_t n_pairs;    // n3 = 0 .. n_pairs-1
    int64_t first;      // pair
  };
  struct Phases;

  void sum_reciprocal(const ChargedAtoms &, bool has_node_virials, Exchange &, FirstFault &);
  void set_cell(const double *cell);
  template <class Take> void for_each_row(const Take &) const;
  void list_rows();
  void set_phases(const ChargedAtoms &, int64_t begin, int64_t end, Phases &) const;
  void add_structure(Phases &);
  void turn_into_coefficients(int n_ranks);
  void take_block(const ChargedAtoms &, int64_t begin, int64_t end, Phases &);
  void take_node_virials(const ChargedAtoms &, int64_t begin, int64_t end, Phases &);
  void sum_directly(const ChargedAtoms &, Exchange &, FirstFault &);

  LatentEwaldSettings settings;
  double reciprocal[9] = {};            // b_j in rows, 1/angstrom
  double volume = 0.0, bound_sq = 0.0;
  int64_t most[3] = {};
  std::vector<Row> rows;
  std::vector<double> pairs;            // (n_pairs, 4)  sums over atoms, then coefficients of potentials
  std::vector<double> virial_pairs;     // (n_pairs, 4)  coefficients of virials of atoms
  std::vector<double> all;              // (n_all, 4)  charges and positions of all ranks
};

}    // namespace mlip

#endif
