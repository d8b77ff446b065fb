/* The density of a centre, which divides its message: offset + factor sum_j f(r_ij), with f from a table.

   A warp processes a centre. Edges are its lanes in the sum, and components of the message in the division. */

#ifndef MLIP_GPU_DENSITY_H
#define MLIP_GPU_DENSITY_H

#include "geometry.h"

namespace mlip_gpu {

template <int DEGREE, bool HAS_PAIRS> struct Density {
  using V = Lanes<double>;

  /* What the neighbour of an edge of centre i adds, and its derivative; zero where is_edge is false. unit: direction of
     the edge. */
  MLIP_DEVICE static V of(const Edges &edges, int i, const Lanes<int> &edge, const Lanes<bool> &is_edge,
                          const Table<double> &table, V *unit, V &slope)
  {
    MLIP_UNROLL
    for (int k = 0; k < 3; k++) unit[k] = load(edges.vectors, edge * 3 + k);
    const V distance = root(unit[0] * unit[0] + unit[1] * unit[1] + unit[2] * unit[2]);
    MLIP_UNROLL
    for (int k = 0; k < 3; k++) unit[k] = unit[k] / distance;
    V t, c[DEGREE + 1];
    Lanes<int> interval = table.interval_of(distance, is_edge, t);
    if constexpr (HAS_PAIRS) interval = interval + table.start(i, load(edges.source, edge));
    load_row<DEGREE + 1>(table.values, interval * (DEGREE + 1), c);
    const V value = polynomial_slope<DEGREE>(c, t, slope);
    slope = slope * V(2.0 * table.intervals_per_angstrom);
    return value;
  }

  /* densities (local) */
  MLIP_DEVICE static void forward(Place at, const Edges &edges, const Table<double> &table, double offset,
                                  double factor, double *densities)
  {
    const int i = at.warp;
    if (i >= edges.n_local) return;
    const int end = edges.first[i + 1];
    V sum = 0.0, unit[3], slope;
    for (int base = edges.first[i]; base < end; base += WARP) {
      const Lanes<bool> is_edge = lane() + base < end;
      sum += of(edges, i, select(is_edge, lane() + base, Lanes<int>(end - 1)), is_edge, table, unit, slope);
    }
    store_if(lane() < 1, densities, lane() + i, V(offset) + V(factor) * sum_lanes<WARP>(sum));
  }

  /* edge_gradients (edges, 3) += gradients (local) of the densities times their derivatives */
  MLIP_DEVICE static void adjoint(Place at, const Edges &edges, const Table<double> &table, double factor,
                                  const double *gradients, double *edge_gradients)
  {
    const int i = at.warp;
    if (i >= edges.n_local) return;
    const int end = edges.first[i + 1];
    const V upstream = factor * gradients[i];
    V unit[3], slope;
    for (int base = edges.first[i]; base < end; base += WARP) {
      const Lanes<bool> is_edge = lane() + base < end;
      const Lanes<int> edge = select(is_edge, lane() + base, Lanes<int>(end - 1));
      of(edges, i, edge, is_edge, table, unit, slope);
      for (int k = 0; k < 3; k++)
        store_if(is_edge, edge_gradients, edge * 3 + k,
                 load_changing(edge_gradients, edge * 3 + k) + upstream * slope * unit[k]);
    }
  }
};

/* rows (n, width) /= densities (n) */
template <typename T> MLIP_DEVICE void divide_rows(Place at, int n, const double *densities, int width, T *rows)
{
  const int i = at.warp;
  if (i >= n) return;
  T *const row = rows + static_cast<uint64_t>(i) * width;
  const Lanes<T> inverse = static_cast<T>(1.0 / densities[i]);
  for (int base = 0; base < width; base += WARP) {
    const Lanes<int> k = lane() + base;
    store_if(k < width, row, k, load_if(k < width, row, k, Lanes<T>(T(0))) * inverse);
  }
}

/* gradients (n, width) of the divided rows -> those of the rows before the division, and of the densities (n) */
template <typename T>
MLIP_DEVICE void divide_rows_adjoint(Place at, int n, const T *rows, const double *densities, int width, T *gradients,
                                     double *density_gradients)
{
  const int i = at.warp;
  if (i >= n) return;
  const T *const row = rows + static_cast<uint64_t>(i) * width;
  T *const gradient = gradients + static_cast<uint64_t>(i) * width;
  const Lanes<T> inverse = static_cast<T>(1.0 / densities[i]);
  Lanes<double> sum = 0.0;
  for (int base = 0; base < width; base += WARP) {
    const Lanes<int> k = lane() + base;
    const Lanes<T> g = load_if(k < width, gradient, k, Lanes<T>(T(0)));
    sum += convert<double>(g) * convert<double>(load_if(k < width, row, k, Lanes<T>(T(0))));
    store_if(k < width, gradient, k, g * inverse);
  }
  const Lanes<double> total = sum_lanes<WARP>(sum);
  store_if(lane() < 1, density_gradients, lane() + i, total * Lanes<double>(-1.0 / densities[i]));
}

}    // namespace mlip_gpu

#endif
