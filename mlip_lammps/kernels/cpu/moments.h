/* Sums over neighbours of radial functions times spherical harmonics, apart for each element of the neighbours.

   Shape (generated): that of Geometry, T, N (lanes), N_BLOCKS (vectors of radial functions), N_ELEMENTS, Radials
   (MomentsFromTable or MomentsFromNetwork, with its constants). Result: [centre][harmonic][element][function]. */

#ifndef MLIP_KERNELS_MOMENTS_H
#define MLIP_KERNELS_MOMENTS_H

#include "geometry.h"

namespace mlip_kernels {

/* Functions of the edges of a chunk from a table. Shape: DEGREE. Table: [interval][block][power][lane]. */
template <typename Shape> struct MomentsFromTable {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  using Source = Table<T>;
  static constexpr int D = Shape::DEGREE;

  int32_t interval[CHUNK];
  T t[CHUNK];

  static double slope_scale(const Source &table) { return table.slope_scale(); }

  template <typename Edges> void prepare(const Source &table, const Edges &edges, int64_t edge)
  {
    table.places(edges.r, edge, edges.n, interval, t);
  }

  const V *coefficients(const Source &table, int e, int b) const
  {
    return reinterpret_cast<const V *>(table.values) + (static_cast<int64_t>(interval[e]) * Shape::N_BLOCKS + b) * (D + 1);
  }

  V value(const Source &table, int e, int b) const
  {
    V sum;
    polynomials<D, 1>(coefficients(table, e, b), &t[e], &sum);
    return sum;
  }

  void value_and_slope(const Source &table, int e, int b, V &value, V &slope) const
  {
    polynomial_slopes<D, 1>(coefficients(table, e, b), &t[e], &value, &slope);
  }
};

template <typename Shape> struct Moments {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  using Sums = EdgeSums<Shape>;
  using Radials = typename Shape::template Radials<Shape>;
  using Source = typename Radials::Source;
  static constexpr int B = Shape::N_BLOCKS;
  static constexpr int E = Shape::N_ELEMENTS;
  static constexpr int Y = Shape::N_Y;
  // harmonics whose sums fit the registers together
  static constexpr int N_PASSES = (Y + VECTOR_REGISTERS - 7) / (VECTOR_REGISTERS - 6);
  static constexpr int M = (Y + N_PASSES - 1) / N_PASSES;

  /* Up to CHUNK edges of one centre, listed by element of the neighbour. */
  struct Chunk {
    Geometry<Shape> geometry;
    Radials radials;
    int32_t edge[CHUNK], first[E + 1];
    V f[CHUNK];    // one vector of radial functions for each edge, in the order of the list
    double gradients[CHUNK * Sums::WIDTH];

    /* n edges from ``start`` on */
    void prepare(const double *vectors, int64_t start, int n, const int64_t *element, const Source &radial)
    {
      geometry.prepare(vectors + 3 * start, n);
      radials.prepare(radial, geometry, start);
      element += start;
      int place = 0;
      for (int z = 0; z < E; z++) {
        first[z] = place;
        for (int e = 0; e < n; e++)
          if (E == 1 || element[e] == z) edge[place++] = e;
      }
      first[E] = place;
    }
  };

  /* species of neighbours -> moments (n_local, Y, E, B * N) */
  static void forward(int64_t n_local, int64_t n_edges, const double *vectors, const int64_t *centre,
                      const int64_t *element, const Source &radial, T *moments)
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
          chunk.prepare(vectors, start, n, element, radial);
          for (int z = 0; z < E; z++)
            for (int b = 0; b < B && chunk.first[z] < chunk.first[z + 1]; b++) {
              for (int k = chunk.first[z]; k < chunk.first[z + 1]; k++)
                chunk.f[k] = chunk.radials.value(radial, chunk.edge[k], b);
              add_sums<0>(chunk, z, out + z * B + b);
            }
        }
      }
    }
  }

  /* Sums over the edges to element z, for the harmonics from FROM on. */
  template <int FROM> static void add_sums(const Chunk &chunk, int z, V *out)
  {
    constexpr int COUNT = std::min(M, Y - FROM);
    V a[COUNT] = {};
    for (int k = chunk.first[z]; k < chunk.first[z + 1]; k++) {
      const int e = chunk.edge[k];
#pragma GCC unroll 25
      for (int m = 0; m < COUNT; m++) a[m] += chunk.geometry.y[FROM + m][e] * chunk.f[k];
    }
#pragma GCC unroll 25
    for (int m = 0; m < COUNT; m++) out[(FROM + m) * E * B] += a[m];
    if constexpr (FROM + COUNT < Y) add_sums<FROM + COUNT>(chunk, z, out);
  }

  static void backward(int64_t n_local, int64_t n_edges, const double *vectors, const int64_t *centre,
                       const int64_t *element, const Source &radial, const T *gradients, double *edge_gradients)
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
          chunk.prepare(vectors, start, n, element, radial);
          std::fill_n(chunk.gradients, n * Sums::WIDTH, 0.0);
          for (int e = 0; e < n; e++) edge_adjoint(chunk, e, above + (E == 1 ? 0 : element[start + e]) * B, radial);
          chunk.geometry.finish(chunk.gradients, Radials::slope_scale(radial), edge_gradients + 3 * start);
        }
      }
    }
  }

  static void edge_adjoint(Chunk &chunk, int e, const V *above, const Source &radial)
  {
    V gy[Y], gr = {}, f[B], slope[B];
    for (int b = 0; b < B; b++) chunk.radials.value_and_slope(radial, e, b, f[b], slope[b]);
    harmonics_adjoint<0>(chunk, e, above, f, slope, gy, gr);
    Sums::add(gy, gr, chunk.gradients + e * Sums::WIDTH);
  }

  /* The part of the harmonics from FROM on. */
  template <int FROM>
  static void harmonics_adjoint(const Chunk &chunk, int e, const V *above, const V *f, const V *slope, V *gy, V &gr)
  {
    constexpr int COUNT = std::min(M, Y - FROM);
    V part[COUNT] = {};
    for (int b = 0; b < B; b++) {
      V sum = {};
#pragma GCC unroll 25
      for (int m = 0; m < COUNT; m++) {
        const V g = above[(FROM + m) * E * B + b];
        sum += chunk.geometry.y[FROM + m][e] * g;
        part[m] += f[b] * g;
      }
      gr += slope[b] * sum;
    }
#pragma GCC unroll 25
    for (int m = 0; m < COUNT; m++) gy[FROM + m] = part[m];
    if constexpr (FROM + COUNT < Y) harmonics_adjoint<FROM + COUNT>(chunk, e, above, f, slope, gy, gr);
  }
};

}    // namespace mlip_kernels

#endif
