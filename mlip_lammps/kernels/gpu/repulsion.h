/* Screened (ZBL) repulsion of nuclei, see kernels/torch/pair_repulsion.py. A warp processes a centre, one edge a lane. */

#ifndef MLIP_GPU_REPULSION_H
#define MLIP_GPU_REPULSION_H

#include "geometry.h"

namespace mlip_gpu {

/* Constants by pair of elements: strength, decay and reach. */
struct Repulsion {
  int n_elements;
  const double *pairs;                        // (n_elements^2, 3)
  const double *coefficients, *exponents;     // (4)
  int cutoff_power;
  double cutoff;

  /* Contribution of an edge to the energy of the centre, and its derivative divided by the distance. */
  MLIP_DEVICE void of(const Lanes<double> &r, const Lanes<int> &pair, Lanes<double> &energy, Lanes<double> &slope) const
  {
    const Lanes<double> strength = load(pairs, pair * 3), decay = load(pairs, pair * 3 + 1),
                        reach = load(pairs, pair * 3 + 2), one = 1.0, zero = 0.0;
    Lanes<double> screening = 0.0, screening_slope = 0.0;
    for (int k = 0; k < 4; k++) {
      const Lanes<double> term =
          Lanes<double>(coefficients[k]) * exponential(Lanes<double>(-exponents[k]) * r * decay);
      screening += term;
      screening_slope -= Lanes<double>(exponents[k]) * decay * term;
    }
    const double p = cutoff_power;
    const Lanes<double> x = r * reach, below = power(x, cutoff_power - 1), x_p = below * x;
    const Lanes<double> a = 0.5 * (p + 1.0) * (p + 2.0), b = p * (p + 2.0), c = 0.5 * p * (p + 1.0);
    const Lanes<double> envelope = one - a * x_p + b * x_p * x - c * x_p * x * x;
    const Lanes<double> envelope_slope =
        reach * below * (Lanes<double>(-p) * a + Lanes<double>(p + 1.0) * b * x - Lanes<double>(p + 2.0) * c * x * x);
    const Lanes<bool> is_near = x < one && r < cutoff;
    const Lanes<double> base = strength / r;
    energy = select(is_near, base * screening * envelope, zero);
    slope = select(is_near,
                   base * (screening_slope * envelope + screening * envelope_slope - screening * envelope / r), zero);
  }
};

/* energies[i] += repulsion energy of centre i; edge_gradients (edges, 3) += energy weight of i times the gradient. Either
   may be null. */
MLIP_DEVICE void repel(Place at, const Edges &edges, const int *species, const Repulsion &repulsion,
                       const double *energy_weights, double *energies, double *edge_gradients)
{
  const int i = at.warp;
  if (i >= edges.n_local) return;
  const int end = edges.first[i + 1], row = species[i] * repulsion.n_elements;
  Lanes<double> sum = 0.0;
  for (int base = edges.first[i]; base < end; base += WARP) {
    const Lanes<bool> is_edge = lane() + base < end;
    const Lanes<int> edge = select(is_edge, lane() + base, Lanes<int>(end - 1));
    Lanes<double> r[3], energy, slope;
    for (int k = 0; k < 3; k++) r[k] = load(edges.vectors, edge * 3 + k);
    const Lanes<double> distance = root(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
    repulsion.of(distance, load(species, load(edges.source, edge)) + row, energy, slope);
    sum += select(is_edge, energy, Lanes<double>(0.0));
    if (edge_gradients != nullptr) {
      const Lanes<double> factor = Lanes<double>(energy_weights[i]) * slope / distance;
      for (int k = 0; k < 3; k++)
        store_if(is_edge, edge_gradients, edge * 3 + k, load_changing(edge_gradients, edge * 3 + k) + factor * r[k]);
    }
  }
  if (energies != nullptr)
    store_if(lane() < 1, energies, lane() + i, load_changing(energies, lane() + i) + sum_lanes<WARP>(sum));
}

}    // namespace mlip_gpu

#endif
