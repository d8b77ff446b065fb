/* Sum over neighbours of one function of the distance, from a table, in double.

   Shape (generated): DEGREE. Table: [interval][power]. */

#ifndef MLIP_KERNELS_DENSITY_H
#define MLIP_KERNELS_DENSITY_H

#include "geometry.h"

namespace mlip_kernels {

template <typename Shape> struct Density {
  using Source = Table<double>;
  static constexpr int D = Shape::DEGREE;

  struct Chunk {
    double r[CHUNK], t[CHUNK];
    int32_t interval[CHUNK];

    void prepare(const double *vectors, int64_t edge, int n, const Source &table)
    {
      for (int e = 0; e < n; e++) {
        const double *const v = vectors + 3 * (edge + e);
        r[e] = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
      }
      table.places(r, edge, n, interval, t);
    }

    const double *coefficients(const Source &table, int e) const
    {
      return table.values + static_cast<int64_t>(interval[e]) * (D + 1);
    }
  };

  /* -> density (n_local) */
  static void forward(int64_t n_local, int64_t n_edges, const double *vectors, const int64_t *centre,
                      const Source &table, double *density)
  {
    std::vector<int64_t> first;
    edge_ranges(n_local, n_edges, centre, first);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n_local; i++) {
      Chunk chunk;
      double total = 0.0;
      for (int64_t edge = first[i]; edge < first[i + 1]; edge += CHUNK) {
        const int n = static_cast<int>(std::min<int64_t>(CHUNK, first[i + 1] - edge));
        chunk.prepare(vectors, edge, n, table);
        for (int e = 0; e < n; e++) {
          double value;
          polynomials<D, 1>(chunk.coefficients(table, e), &chunk.t[e], &value);
          total += value;
        }
      }
      density[i] = total;
    }
  }

  /* Gradients of the densities -> of the edge vectors. */
  static void backward(int64_t n_edges, const double *vectors, const int64_t *centre, const Source &table,
                       const double *gradients, double *edge_gradients)
  {
    const double scale = table.slope_scale();
#pragma omp parallel for schedule(static)
    for (int64_t edge = 0; edge < n_edges; edge += CHUNK) {
      Chunk chunk;
      const int n = static_cast<int>(std::min<int64_t>(CHUNK, n_edges - edge));
      chunk.prepare(vectors, edge, n, table);
      for (int e = 0; e < n; e++) {
        double value, slope;
        polynomial_slopes<D, 1>(chunk.coefficients(table, e), &chunk.t[e], &value, &slope);
        const double factor = scale * slope * gradients[centre[edge + e]] / chunk.r[e];
        for (int k = 0; k < 3; k++) edge_gradients[3 * (edge + e) + k] = factor * vectors[3 * (edge + e) + k];
      }
    }
  }
};

}    // namespace mlip_kernels

#endif
