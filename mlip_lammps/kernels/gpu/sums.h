/* Steps before and after the layers: atomic energies, forces and totals. */

#ifndef MLIP_GPU_SUMS_H
#define MLIP_GPU_SUMS_H

#include "geometry.h"

namespace mlip_gpu {

/* result (rows, width): row of table (elements, width) for each row's element */
template <typename T>
MLIP_DEVICE void rows_by_element(Place at, int n, const int *species, const T *table, int width, T *result)
{
  const int i = at.warp;
  if (i >= n) return;
  const T *const from = table + static_cast<uint64_t>(species[i]) * width;
  T *const to = result + static_cast<uint64_t>(i) * width;
  for (int base = 0; base < width; base += WARP) {
    const Lanes<int> k = lane() + base;
    store_if(k < width, to, k, load_if(k < width, from, k, Lanes<T>(T(0))));
  }
}

/* energies = before + scale * result . vector, for each row of result (n, width) */
template <typename T>
MLIP_DEVICE void linear_readout(Place at, int n, const T *result, int width, const T *vector, double scale,
                                const double *before, double *energies)
{
  const int i = at.warp;
  if (i >= n) return;
  const T *const row = result + static_cast<uint64_t>(i) * width;
  Lanes<T> sum = T(0);
  for (int base = 0; base < width; base += WARP) {
    const Lanes<int> k = lane() + base;
    sum += load_if(k < width, row, k, Lanes<T>(T(0))) * load_if(k < width, vector, k, Lanes<T>(T(0)));
  }
  const T total = first_lane(sum_lanes<WARP>(sum));
  store_if(lane() < 1, energies, lane() + i, Lanes<double>(before[i] + scale * static_cast<double>(total)));
}

/* gradients (n, width) = energy weight of each row * scale * vector */
template <typename T>
MLIP_DEVICE void linear_readout_adjoint(Place at, int n, const double *energy_weights, int width, const T *vector,
                                        double scale, T *gradients)
{
  const int i = at.warp;
  if (i >= n) return;
  const T factor = static_cast<T>(energy_weights[i] * scale);
  T *const row = gradients + static_cast<uint64_t>(i) * width;
  for (int base = 0; base < width; base += WARP) {
    const Lanes<int> k = lane() + base;
    store_if(k < width, row, k, Lanes<T>(factor) * load_if(k < width, vector, k, Lanes<T>(T(0))));
  }
}

/* Energy and gradient of a readout with a hidden layer: first (width, HIDDEN), second (HIDDEN), silu between them. */
template <typename T, int HIDDEN>
MLIP_DEVICE void nonlinear_readout(Place at, int n, const T *result, int width, const T *first, const T *second,
                                   double activation_scale, double scale, const double *before,
                                   const double *energy_weights, double *energies, T *gradients)
{
  const int i = at.warp;
  if (i >= n) return;
  const T *const row = result + static_cast<uint64_t>(i) * width;
  Lanes<T> hidden[HIDDEN];
  MLIP_UNROLL
  for (int h = 0; h < HIDDEN; h++) hidden[h] = T(0);
  for (int base = 0; base < width; base += WARP) {
    const Lanes<int> k = lane() + base;
    const Lanes<T> x = load_if(k < width, row, k, Lanes<T>(T(0)));
    MLIP_UNROLL
    for (int h = 0; h < HIDDEN; h++) hidden[h] += x * load_if(k < width, first, k * HIDDEN + h, Lanes<T>(T(0)));
  }
  Lanes<T> energy = T(0), slope[HIDDEN];
  MLIP_UNROLL
  for (int h = 0; h < HIDDEN; h++) {
    const Lanes<T> x = sum_lanes<WARP>(hidden[h]), one = T(1);
    const Lanes<T> logistic = one / (one + exponential(-x)), factor = static_cast<T>(activation_scale) * second[h];
    energy += factor * x * logistic;
    slope[h] = factor * logistic * (one + x * (one - logistic));
  }
  const double total = static_cast<double>(first_lane(energy));
  store_if(lane() < 1, energies, lane() + i, Lanes<double>(before[i] + scale * total));
  const Lanes<T> weight = static_cast<T>(energy_weights[i] * scale);
  T *const to = gradients + static_cast<uint64_t>(i) * width;
  for (int base = 0; base < width; base += WARP) {
    const Lanes<int> k = lane() + base;
    Lanes<T> sum = T(0);
    MLIP_UNROLL
    for (int h = 0; h < HIDDEN; h++) sum += slope[h] * load_if(k < width, first, k * HIDDEN + h, Lanes<T>(T(0)));
    store_if(k < width, to, k, weight * sum);
  }
}

/* F_i = sum over edges from i of dE/dr - sum over edges to i */
MLIP_DEVICE void gather_forces(Place at, int n_nodes, const Edges &edges, const int *in_first, const int *in_slot,
                               const int *place, const double *edge_gradients, double *forces)
{
  const int node = at.warp;
  if (node >= n_nodes) return;
  Lanes<double> sum[3] = {0.0, 0.0, 0.0};
  if (node < edges.n_local) {
    const int end = edges.first[node + 1];
    for (int base = edges.first[node]; base < end; base += WARP) {
      const Lanes<bool> is_edge = lane() + base < end;
      for (int k = 0; k < 3; k++)
        sum[k] += load_if(is_edge, edge_gradients, (lane() + base) * 3 + k, Lanes<double>(0.0));
    }
  }
  const int end = in_first[node + 1];
  for (int base = in_first[node]; base < end; base += WARP) {
    const Lanes<bool> is_entry = lane() + base < end;
    const Lanes<int> slot = load_if(is_entry, in_slot, lane() + base, Lanes<int>(0));
    const Lanes<int> edge = load_if(is_entry, place, slot, Lanes<int>(-1));
    for (int k = 0; k < 3; k++) sum[k] -= load_if(edge >= 0, edge_gradients, edge * 3 + k, Lanes<double>(0.0));
  }
  for (int k = 0; k < 3; k++)
    store_if(lane() < 1, forces, lane() + (node * 3 + k), sum_lanes<WARP>(sum[k]));
}

/* partial (warps, 8): sum of energy and virial -r_ij (x) dE/dr_ij (xx yy zz xy xz yz) over every n_warps-th centre */
MLIP_DEVICE void partial_totals(Place at, int n_warps, const Edges &edges, const double *energies,
                                const double *edge_gradients, double *partial)
{
  if (at.warp >= n_warps) return;
  Lanes<double> sum[7] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
  for (int i = at.warp; i < edges.n_local; i += n_warps) {
    sum[0] += load_if(lane() < 1, energies, lane() + i, Lanes<double>(0.0));
    const int end = edges.first[i + 1];
    for (int base = edges.first[i]; base < end; base += WARP) {
      const Lanes<int> at_edge = (lane() + base) * 3;
      const Lanes<bool> is_edge = lane() + base < end;
      Lanes<double> r[3], g[3];
      for (int k = 0; k < 3; k++) {
        r[k] = load_if(is_edge, edges.vectors, at_edge + k, Lanes<double>(0.0));
        g[k] = load_if(is_edge, edge_gradients, at_edge + k, Lanes<double>(0.0));
      }
      const Lanes<double> half = 0.5;
      for (int k = 0; k < 3; k++) sum[1 + k] -= r[k] * g[k];
      sum[4] -= half * (r[0] * g[1] + r[1] * g[0]);
      sum[5] -= half * (r[0] * g[2] + r[2] * g[0]);
      sum[6] -= half * (r[1] * g[2] + r[2] * g[1]);
    }
  }
  for (int k = 0; k < 7; k++)
    store_if(lane() < 1, partial, lane() + (at.warp * 8 + k), sum_lanes<WARP>(sum[k]));
}

/* Runs on one warp. */
MLIP_DEVICE void totals(Place at, int n_warps, const double *partial, double *result)
{
  if (at.warp > 0) return;
  for (int k = 0; k < 7; k++) {
    Lanes<double> sum = 0.0;
    for (int base = 0; base < n_warps; base += WARP)
      sum += load_if(lane() + base < n_warps, partial, (lane() + base) * 8 + k, Lanes<double>(0.0));
    store_if(lane() < 1, result, lane() + k, sum_lanes<WARP>(sum));
  }
}

}    // namespace mlip_gpu

#endif
