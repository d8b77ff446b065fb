/* Energies of atoms and gradients of edges -> forces and virials of atoms. Knows neither LAMMPS nor torch. */

#ifndef MLIP_ATOM_SUMS_H
#define MLIP_ATOM_SUMS_H

#include "atom_rows.h"
#include "contract.h"
#include "edges.h"

namespace mlip {

/* Arrays of the caller, by its own numbering of atoms, that are added to; null where nothing is asked for. */
struct AtomSums {
  double **forces = nullptr;             // (n_atoms, 3)  eV/angstrom
  double *energies = nullptr;            // (n_atoms)     eV
  double **virials = nullptr;            // (n_atoms, 6)  xx yy zz xy xz yz, eV: half of an edge's to either atom
  double **centroid_virials = nullptr;   // (n_atoms, 9)  xx yy zz xy xz yz yx zx zy, eV: see add_results
  double *energy = nullptr;              // of this rank's atoms, eV
  double *virial = nullptr;              // (6) of this rank's edges, eV
};

/* With r_ij = x_j - x_i and g = dE/dr_ij: F_i += g, F_j -= g, virial -= r_ij (x) g.

   The centroid virial of atom n is sum_i (x_i - x_n) (x) dU_i/dx_n: times the velocity of n, summed over atoms, it is
   what the potential adds to the heat flux (Fan et al., Phys. Rev. B 92, 094301 (2015), eq. 21). With the moments
   M = sum_k (x_k - x_i) (x) dU_k/dr_ij of an edge: W_j += M - r_ij (x) g, W_i -= M. */
void add_results(const Edges &, const Results &, const AtomSums &);

/* Forces, energies and the virial that the model has summed itself; there are no virials of atoms. */
void add_results(const AtomRows &, const StepResults &, const AtomSums &);

}    // namespace mlip

#endif
