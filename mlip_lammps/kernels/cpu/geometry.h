/* Geometry of edges: distances, directions, spherical harmonics; places in a radial table.

   Shape (generated): T, N_Y and
     harmonics(u, y, n)              Y_lm of n unit vectors
     harmonics_adjoint(y, gy, gu, n) gradient of the unit vectors; gy is used up */

#ifndef MLIP_KERNELS_GEOMETRY_H
#define MLIP_KERNELS_GEOMETRY_H

#include "common.h"

#include <algorithm>

namespace mlip_kernels {

constexpr int CHUNK = 64;    // edges whose geometry is worked out together

/* Polynomials on equal intervals, one interval of zeros at the end; or several such tables, one after the other. */
template <typename T> struct Table {
  const T *values;
  double intervals_per_angstrom;
  int64_t n_intervals;
  const int64_t *tables = nullptr;    // (n_edges) table of each edge; null: there is one

  double slope_scale() const { return 2.0 * intervals_per_angstrom; }    // from d/dt to d/dr

  /* Interval of each distance of the edges from ``edge`` on, and the place within it, from -1 to 1. */
  void places(const double *r, int64_t edge, int n, int32_t *interval, T *t) const
  {
    for (int e = 0; e < n; e++) {
      // beyond the table, and where the distance is not a number: the interval of zeros, which leaves a NaN one
      const double place = r[e] * intervals_per_angstrom, end = static_cast<double>(n_intervals);
      const int32_t k = static_cast<int32_t>(place < end ? place : end);
      interval[e] = k;
      t[e] = static_cast<T>(2.0 * (place - k) - 1.0);
    }
    if (!tables) return;
    for (int e = 0; e < n; e++) interval[e] += static_cast<int32_t>(tables[edge + e] * (n_intervals + 1));
  }
};

/* Sums over the lanes of the gradients of Y_lm and, after them, of the distance, added to a row of WIDTH doubles. */
template <typename Shape> struct EdgeSums {
  using T = typename Shape::T;
  static constexpr int N = Shape::N;
  static constexpr int WIDTH = (Shape::N_Y + 1 + N - 1) / N * N;
  using V = typename VectorOf<T, N>::type;

  static void add(const V *gy, const V &gr, double *row)
  {
#pragma GCC unroll 32
    for (int k = 0; k < WIDTH; k += N) {
      V v[N];
#pragma GCC unroll 16
      for (int m = 0; m < N; m++) v[m] = k + m < Shape::N_Y ? gy[k + m] : k + m == Shape::N_Y ? gr : V{};
      const V sums = sums_of_lanes<T, N>(v);
      for (int m = 0; m < N; m++) row[k + m] += static_cast<double>(sums[m]);
    }
  }
};

/* Geometry of up to CHUNK edges, by component. */
template <typename Shape> struct Geometry {
  using T = typename Shape::T;
  int n, n_rounded;    // whole vectors of edges
  double u[3][CHUNK], r[CHUNK];
  T y[Shape::N_Y][CHUNK];

  void prepare(const double *vectors, int n_edges)
  {
    n = n_edges;
    n_rounded = (n + 15) / 16 * 16;
    for (int e = n; e < n_rounded; e++) u[0][e] = u[1][e] = u[2][e] = 0.0;
    for (int e = 0; e < n; e++) {
      const double x = vectors[3 * e], y = vectors[3 * e + 1], z = vectors[3 * e + 2];
      const double distance = std::sqrt(x * x + y * y + z * z), inverse = 1.0 / distance;
      r[e] = distance;
      u[0][e] = x * inverse;
      u[1][e] = y * inverse;
      u[2][e] = z * inverse;
    }
    Shape::harmonics(u, y, n_rounded);
  }

  /* Chain rule from distance (d/dr = ``slope_scale`` times what was summed) and direction to the edge vector. Row e of
     ``gradients`` is that of EdgeSums. */
  void finish(const double *gradients, double slope_scale, double *edge_gradients) const
  {
    constexpr int N = Shape::N, WIDTH = EdgeSums<Shape>::WIDTH;
    using V = typename VectorOf<T, N>::type;
    using Doubles = typename VectorOf<double, N>::type;
    T gy[WIDTH][CHUNK], gu[3][CHUNK];
    for (int start = 0; start < n_rounded; start += N)
      for (int k = 0; k < WIDTH; k += N) {
        V v[N];
        for (int m = 0; m < N; m++) {
          const int e = start + m;
          v[m] = e < n ? __builtin_convertvector(*reinterpret_cast<const Doubles *>(gradients + e * WIDTH + k), V) : V{};
        }
        transpose<T, N>(v);
        for (int m = 0; m < N; m++) *reinterpret_cast<V *>(gy[k + m] + start) = v[m];
      }
    Shape::harmonics_adjoint(y, gy, gu, n_rounded);
    for (int e = 0; e < n; e++) {
      const double along = gu[0][e] * u[0][e] + gu[1][e] * u[1][e] + gu[2][e] * u[2][e];
      const double radial = slope_scale * gradients[e * WIDTH + Shape::N_Y];
      for (int k = 0; k < 3; k++)
        edge_gradients[3 * e + k] = (gu[k][e] - along * u[k][e]) / r[e] + radial * u[k][e];
    }
  }
};

/* Values at t[0] .. t[R-1] of the polynomial with coefficients c[0] .. c[D]. */
template <int D, int R, typename V, typename T> inline void polynomials(const V *c, const T *t, V *sum)
{
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) sum[r] = c[D];
#pragma GCC unroll 16
  for (int k = D - 1; k >= 0; k--)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) sum[r] = sum[r] * t[r] + c[k];
}

/* Values and slopes. */
template <int D, int R, typename V, typename T> inline void polynomial_slopes(const V *c, const T *t, V *sum, V *slope)
{
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
    slope[r] = c[D];
    sum[r] = c[D] * t[r] + c[D - 1];
  }
#pragma GCC unroll 16
  for (int k = D - 2; k >= 0; k--)
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      slope[r] = slope[r] * t[r] + sum[r];
      sum[r] = sum[r] * t[r] + c[k];
    }
}

}    // namespace mlip_kernels

#endif
