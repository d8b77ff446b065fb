/* Sums over neighbours of radial functions times spherical harmonics, apart for each element of the neighbours.

   Shape (generated): that of Geometry, T, N (lanes), N_BLOCKS (vectors of radial functions), N_ELEMENTS, DEGREE.
   Result: [centre][harmonic][element][function]. Radial table: [interval][block][power][lane]. */

#ifndef MLIP_KERNELS_MOMENTS_H
#define MLIP_KERNELS_MOMENTS_H

#include "geometry.h"

namespace mlip_kernels {

template <typename Shape> struct Moments {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  using Sums = EdgeSums<Shape>;
  static constexpr int B = Shape::N_BLOCKS;
  static constexpr int E = Shape::N_ELEMENTS;
  static constexpr int Y = Shape::N_Y;
  static constexpr int D = Shape::DEGREE;

  /* Up to CHUNK edges of one centre, listed by element of the neighbour. */
  struct Chunk {
    Geometry<Shape> geometry;
    T y[Y][CHUNK];
    int32_t edge[CHUNK], first[E + 1];
    double gradients[CHUNK * Sums::WIDTH];

    void prepare(const double *vectors, int n, const int64_t *element, const Table<T> &table)
    {
      geometry.prepare(vectors, n, table);
      for (int k = 0; k < Y; k++)
        for (int e = 0; e < geometry.n_rounded; e++) y[k][e] = static_cast<T>(geometry.y[k][e]);
      int place = 0;
      for (int z = 0; z < E; z++) {
        first[z] = place;
        for (int e = 0; e < n; e++)
          if (E == 1 || element[e] == z) edge[place++] = e;
      }
      first[E] = place;
    }

    const V *coefficients(const Table<T> &table, int e, int b) const
    {
      return reinterpret_cast<const V *>(table.values) +
          (static_cast<int64_t>(geometry.interval[e]) * B + b) * (D + 1);
    }
  };

  /* species of neighbours -> moments (n_local, Y, E, B * N) */
  static void forward(int64_t n_local, int64_t n_edges, const double *vectors, const int64_t *centre,
                      const int64_t *element, const Table<T> &table, T *moments)
  {
    std::vector<int64_t> first;
    edge_ranges(n_local, n_edges, centre, first);
#pragma omp parallel
    {
      Chunk chunk;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < n_local; i++) {
        V *const out = reinterpret_cast<V *>(moments) + i * Y * E * B;
        std::fill_n(out, Y * E * B, V{});
        for (int64_t start = first[i]; start < first[i + 1]; start += CHUNK) {
          const int n = static_cast<int>(std::min<int64_t>(CHUNK, first[i + 1] - start));
          chunk.prepare(vectors + 3 * start, n, element + start, table);
          for (int z = 0; z < E; z++)
            for (int b = 0; b < B && chunk.first[z] < chunk.first[z + 1]; b++) {
              V a[Y] = {};
              for (int k = chunk.first[z]; k < chunk.first[z + 1]; k++) {
                const int e = chunk.edge[k];
                const V f = polynomial<D>(chunk.coefficients(table, e, b), chunk.geometry.t[e]);
#pragma GCC unroll 25
                for (int m = 0; m < Y; m++) a[m] += chunk.y[m][e] * f;
              }
              for (int m = 0; m < Y; m++) out[(m * E + z) * B + b] += a[m];
            }
        }
      }
    }
  }

  static void backward(int64_t n_local, int64_t n_edges, const double *vectors, const int64_t *centre,
                       const int64_t *element, const Table<T> &table, const T *gradients, double *edge_gradients)
  {
    std::vector<int64_t> first;
    edge_ranges(n_local, n_edges, centre, first);
#pragma omp parallel
    {
      Chunk chunk;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < n_local; i++) {
        const V *const above = reinterpret_cast<const V *>(gradients) + i * Y * E * B;
        for (int64_t start = first[i]; start < first[i + 1]; start += CHUNK) {
          const int n = static_cast<int>(std::min<int64_t>(CHUNK, first[i + 1] - start));
          chunk.prepare(vectors + 3 * start, n, element + start, table);
          std::fill_n(chunk.gradients, n * Sums::WIDTH, 0.0);
          for (int e = 0; e < n; e++) edge_adjoint(chunk, e, above + (E == 1 ? 0 : element[start + e]) * B, table);
          chunk.geometry.finish(chunk.gradients, Sums::WIDTH, table, edge_gradients + 3 * start);
        }
      }
    }
  }

  static void edge_adjoint(Chunk &chunk, int e, const V *above, const Table<T> &table)
  {
    V gy[Y] = {}, gt = {};
    for (int b = 0; b < B; b++) {
      V f;
      const V slope = polynomial_slope<D>(chunk.coefficients(table, e, b), chunk.geometry.t[e], f);
      V sum = {};
#pragma GCC unroll 25
      for (int m = 0; m < Y; m++) {
        const V g = above[m * E * B + b];
        sum += chunk.y[m][e] * g;
        gy[m] += f * g;
      }
      gt += slope * sum;
    }
    Sums::add(gy, gt, chunk.gradients + e * Sums::WIDTH);
  }
};

}    // namespace mlip_kernels

#endif
