/* Turns atomic energies and edge gradients into forces and virials. Depends on neither LAMMPS nor torch. */

#ifndef MLIP_ATOM_SUMS_H
#define MLIP_ATOM_SUMS_H

#include "atom_rows.h"
#include "contract.h"
#include "edges.h"

namespace mlip {

/* The caller's arrays, in its own numbering of atoms. Results are added to them; null means not requested. */
struct AtomSums {
  double **forces = nullptr;             // (n_atoms, 3)  eV/angstrom
  double *energies = nullptr;            // (n_atoms)     eV
  double **virials = nullptr;            // (n_atoms, 6)  xx yy zz xy xz yz, eV: half per edge end
  double **centroid_virials = nullptr;   // (n_atoms, 9)  xx yy zz xy xz yz yx zx zy, eV: see add_results
  double *energy = nullptr;              // sum over this rank's atoms, eV
  double *virial = nullptr;              // (6) sum over this rank's edges, eV
};

/* With r_ij = x_j - x_i and g = dE/dr_ij: F_i += g, F_j -= g, virial -= r_ij (x) g.

   The centroid virial of atom n is sum_i (x_i - x_n) (x) dU_i/dx_n. Multiplied by the velocity of n and summed over
   atoms, it gives the potential part of the heat flux (Fan et al., Phys. Rev. B 92, 094301 (2015), eq. 21). An edge
   with the moments M = sum_k (x_k - x_i) (x) dU_k/dr_ij contributes W_j += M - r_ij (x) g and W_i -= M. */
void add_results(const Edges &, const Results &, const AtomSums &);

/* Forces, energies and the virial, already summed by the model; per-atom virials are not available. */
void add_results(const AtomRows &, const StepResults &, const AtomSums &);

}    // namespace mlip

#endif
