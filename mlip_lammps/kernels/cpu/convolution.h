/* The edge convolution: gather, multiply and add in one pass over the edges of a centre; the adjoint the same way.

   Shape (generated): T, N (lanes), N_BLOCKS, N_IN, N_MID, N_PATHS, N_Y, N_G, DEGREE, and the unrolled steps
     harmonics(u, y, n)                 Y_lm of n unit vectors
     harmonics_adjoint(u, y, gy, gu, n) gradient of the unit vectors
     couplings(y, g, n)                 sums of Y_lm with constants: one for each pair of components that a path couples
     accumulate(h, r, g, a)          a += what one edge gives, for one vector of channels
     accumulate_adjoint(h, a, r, dr, g, gh, gy, gr)
   Radial table: polynomials on equal intervals, [interval][path][block][power][lane], one interval of zeros at the end. */

#ifndef MLIP_KERNELS_CONVOLUTION_H
#define MLIP_KERNELS_CONVOLUTION_H

#include "common.h"

#include <algorithm>

namespace mlip_kernels {

template <typename Shape> struct Convolution {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  static constexpr int B = Shape::N_BLOCKS;
  static constexpr int D = Shape::DEGREE;

  /* Geometry of up to CHUNK edges, by component. */
  struct Geometry {
    int n, n_rounded;    // whole vectors of edges
    double u[3][CHUNK], r[CHUNK], y[Shape::N_Y][CHUNK], gy[Shape::N_Y][CHUNK], gr[CHUNK];
    T t[CHUNK], g[Shape::N_G][CHUNK];
    int64_t interval[CHUNK];
  };

  struct Table {
    const T *values;
    double intervals_per_angstrom;
    int64_t n_intervals;
  };

  static void prepare(const double *vectors, int n, const Table &table, Geometry &geo)
  {
    geo.n = n;
    geo.n_rounded = (n + 7) / 8 * 8;
    for (int e = n; e < geo.n_rounded; e++) geo.u[0][e] = geo.u[1][e] = geo.u[2][e] = 0.0;
    for (int e = 0; e < n; e++) {
      const double x = vectors[3 * e], y = vectors[3 * e + 1], z = vectors[3 * e + 2];
      const double r = std::sqrt(x * x + y * y + z * z), inverse = 1.0 / r;
      geo.r[e] = r;
      geo.u[0][e] = x * inverse;
      geo.u[1][e] = y * inverse;
      geo.u[2][e] = z * inverse;
      const double place = r * table.intervals_per_angstrom;
      // a distance that is not a number goes to interval 0 and stays not a number
      const int64_t k = place < static_cast<double>(table.n_intervals) ? static_cast<int64_t>(place)
          : place != place                                             ? 0
                                                                       : table.n_intervals;
      geo.interval[e] = k;
      geo.t[e] = static_cast<T>(2.0 * (place - static_cast<double>(k)) - 1.0);
    }
    Shape::harmonics(geo.u, geo.y, geo.n_rounded);
    Shape::couplings(geo.y, geo.g, geo.n_rounded);
  }

  static const V *radial(const Table &table, int64_t interval, int path, int b)
  {
    return reinterpret_cast<const V *>(table.values) + ((interval * Shape::N_PATHS + path) * B + b) * (D + 1);
  }

  static V value(const V *c, T t)
  {
    V sum = c[D];
    for (int k = D - 1; k >= 0; k--) sum = sum * t + c[k];
    return sum;
  }

  static void value_and_slope(const V *c, T t, V &sum, V &slope)
  {
    sum = c[D];
    slope = V{};
    for (int k = D - 1; k >= 0; k--) {
      slope = slope * t + sum;
      sum = sum * t + c[k];
    }
  }

  /* features (n_sources, N_IN, channels), source[e] a row of it -> messages (n_local, N_MID, channels) */
  static void forward(int64_t n_local, int64_t n_edges, const T *features, const double *vectors,
                      const int64_t *centre, const int64_t *source, const Table &table, T *messages)
  {
    std::vector<int64_t> first;
    edge_ranges(n_local, n_edges, centre, first);
    const V *const h = reinterpret_cast<const V *>(features);
#pragma omp parallel
    {
      Geometry geo;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < n_local; i++) {
        V *const out = reinterpret_cast<V *>(messages) + i * Shape::N_MID * B;
        for (int k = 0; k < Shape::N_MID * B; k++) out[k] = V{};
        for (int64_t start = first[i]; start < first[i + 1]; start += CHUNK) {
          const int n = static_cast<int>(std::min<int64_t>(CHUNK, first[i + 1] - start));
          prepare(vectors + 3 * start, n, table, geo);
          for (int b = 0; b < B; b++) {
            V a[Shape::N_MID];
            for (int k = 0; k < Shape::N_MID; k++) a[k] = out[k * B + b];
            for (int e = 0; e < n; e++) {
              V r[Shape::N_PATHS];
              for (int p = 0; p < Shape::N_PATHS; p++) r[p] = value(radial(table, geo.interval[e], p, b), geo.t[e]);
              Shape::template accumulate<V>(h + source[start + e] * Shape::N_IN * B + b, r, geo.g, e, a);
            }
            for (int k = 0; k < Shape::N_MID; k++) out[k * B + b] = a[k];
          }
        }
      }
    }
  }

  /* Gradients of the messages -> of the edge vectors and, unless null, of the features (which start from zero). */
  static void backward(int64_t n_local, int64_t n_edges, int64_t n_sources, const T *features, const double *vectors,
                       const int64_t *centre, const int64_t *source, const Table &table, const T *gradients,
                       T *feature_gradients, double *edge_gradients)
  {
    std::vector<int64_t> first;
    edge_ranges(n_local, n_edges, centre, first);
    const V *const h = reinterpret_cast<const V *>(features);
    const size_t n_values = feature_gradients ? static_cast<size_t>(n_sources) * Shape::N_IN * B * Shape::N : 0;
    if (n_values) std::memset(feature_gradients, 0, n_values * sizeof(T));
#pragma omp parallel
    {
      // each further thread adds into memory of its own
      std::vector<T> own;
      T *target = feature_gradients;
      if (n_values && omp_get_thread_num() > 0) {
        own.assign(n_values, T(0));
        target = own.data();
      }
      Geometry geo;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < n_local; i++) {
        const V *const a = reinterpret_cast<const V *>(gradients) + i * Shape::N_MID * B;
        for (int64_t start = first[i]; start < first[i + 1]; start += CHUNK) {
          const int n = static_cast<int>(std::min<int64_t>(CHUNK, first[i + 1] - start));
          prepare(vectors + 3 * start, n, table, geo);
          for (int e = 0; e < n; e++) edge_adjoint(h, a, source[start + e], table, geo, e, target);
          finish(table, geo, edge_gradients + 3 * start);
        }
      }
      if (!own.empty()) {
#pragma omp critical
        for (size_t k = 0; k < n_values; k++) feature_gradients[k] += own[k];
      }
    }
  }

  static void edge_adjoint(const V *h, const V *a, int64_t source, const Table &table, Geometry &geo, int e, T *target)
  {
    V gy[Shape::N_Y] = {}, gr = {};
    for (int b = 0; b < B; b++) {
      V r[Shape::N_PATHS], dr[Shape::N_PATHS], gh[Shape::N_IN] = {};
      for (int p = 0; p < Shape::N_PATHS; p++)
        value_and_slope(radial(table, geo.interval[e], p, b), geo.t[e], r[p], dr[p]);
      Shape::template accumulate_adjoint<V>(h + source * Shape::N_IN * B + b, a + b, r, dr, geo.g, e, gh, gy, gr);
      if (target) {
        V *const out = reinterpret_cast<V *>(target) + source * Shape::N_IN * B + b;
        for (int k = 0; k < Shape::N_IN; k++) out[k * B] += gh[k];
      }
    }
    for (int k = 0; k < Shape::N_Y; k++) geo.gy[k][e] = horizontal_sum<T, Shape::N>(gy[k]);
    geo.gr[e] = horizontal_sum<T, Shape::N>(gr);
  }

  /* Chain rule from distance and direction to the edge vector. */
  static void finish(const Table &table, Geometry &geo, double *edge_gradients)
  {
    double gu[3][CHUNK];
    for (int k = 0; k < Shape::N_Y; k++)
      for (int e = geo.n; e < geo.n_rounded; e++) geo.gy[k][e] = 0.0;
    Shape::harmonics_adjoint(geo.u, geo.y, geo.gy, gu, geo.n_rounded);
    for (int e = 0; e < geo.n; e++) {
      const double along = gu[0][e] * geo.u[0][e] + gu[1][e] * geo.u[1][e] + gu[2][e] * geo.u[2][e];
      const double radial = 2.0 * table.intervals_per_angstrom * geo.gr[e];
      for (int k = 0; k < 3; k++)
        edge_gradients[3 * e + k] = (gu[k][e] - along * geo.u[k][e]) / geo.r[e] + radial * geo.u[k][e];
    }
  }
};

}    // namespace mlip_kernels

#endif
