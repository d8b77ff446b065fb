/* Geometry of the edges of a centre, 32 at a time: first one edge per lane, then one edge after another in all lanes.

   Shape (generated): T, N_Y, DEGREE, HAS_PAIRS (whether each pair of elements has a table of its own) and
     harmonics(u, y)                 Y_lm of a unit vector
     harmonics_adjoint(y, gy, gu)    gradient of the unit vector; overwrites gy */

#ifndef MLIP_GPU_GEOMETRY_H
#define MLIP_GPU_GEOMETRY_H

#include "lanes.h"

namespace mlip_gpu {

/* Edges sorted by centre: centre i has the edges first[i] .. first[i + 1] - 1. */
struct Edges {
  int n_local;
  const int *first;
  const int *source;        // node of the neighbour
  const double *vectors;    // r_ij, angstrom
};

/* Polynomials on equal intervals, followed by one interval of zeros: [interval][function][power]. With pairs, one such
   table after another. */
template <typename T> struct Table {
  const T *values;
  double intervals_per_angstrom;
  int n_intervals;
  const int *kind_of_pair, *species;    // table of each pair of elements, and element of each node
  int n_elements;

  /* First interval of the table of atom i and a neighbour. */
  MLIP_DEVICE Lanes<int> start(int i, const Lanes<int> &neighbour) const
  {
    const Lanes<int> pair = load(species, neighbour) + species[i] * n_elements;
    return load(kind_of_pair, pair) * (n_intervals + 1);
  }

  /* Interval of a distance, and the position t in it. Distances beyond the table, and NaN, have the interval of zeros,
     as all have where is_edge is false; a NaN distance still gives NaN. */
  MLIP_DEVICE Lanes<int> interval_of(const Lanes<double> &distance, const Lanes<bool> &is_edge, Lanes<T> &t) const
  {
    const Lanes<double> position = distance * Lanes<double>(intervals_per_angstrom);
    const Lanes<double> end = static_cast<double>(n_intervals), one = 1.0;
    const Lanes<bool> is_inside = position < end && is_edge;
    const Lanes<int> k = convert<int>(select(is_inside, position, end));
    t = convert<T>(Lanes<double>(2.0) * (position - convert<double>(k)) - one);
    return k;
  }
};

/* Buffer of 32 edges, one row each: Y_lm and the position t in the interval, from -1 to 1. */
template <typename Shape> struct Stage {
  using T = typename Shape::T;
  static constexpr int ALIGNED = 16 / sizeof(T);
  static constexpr int STRIDE = (Shape::N_Y + 1 + ALIGNED - 1) / ALIGNED * ALIGNED;
  alignas(16) T values[WARP * STRIDE];
  int interval[WARP], source[WARP];

  /* Edges begin .. begin + n - 1 of a centre; the remaining lanes have an edge of weight zero. */
  MLIP_DEVICE void fill(const Edges &edges, int centre, int begin, int n, const Table<T> &table)
  {
    const Lanes<int> own = lane();
    const Lanes<bool> is_edge = own < n;
    const Lanes<int> at = (select(is_edge, own, Lanes<int>(0)) + begin) * 3;
    const Lanes<double> one = 1.0, zero = 0.0;
    const Lanes<double> x = load_if(is_edge, edges.vectors, at, one);
    const Lanes<double> y = load_if(is_edge, edges.vectors, at + 1, zero);
    const Lanes<double> z = load_if(is_edge, edges.vectors, at + 2, zero);
    const Lanes<double> distance = root(x * x + y * y + z * z), inverse = one / distance;
    const Lanes<T> u[3] = {convert<T>(x * inverse), convert<T>(y * inverse), convert<T>(z * inverse)};
    Lanes<T> t;
    Lanes<int> k = table.interval_of(distance, is_edge, t);
    const Lanes<int> node =
        load_if(is_edge, edges.source, select(is_edge, own, Lanes<int>(0)) + begin, Lanes<int>(0));
    if constexpr (Shape::HAS_PAIRS) k = k + table.start(centre, node);
    Lanes<T> harmonics[Shape::N_Y];
    Shape::harmonics(u, harmonics);
    MLIP_UNROLL
    for (int m = 0; m < Shape::N_Y; m++) store(values, own * STRIDE + m, harmonics[m]);
    store(values, own * STRIDE + Shape::N_Y, select(is_edge, t, Lanes<T>(T(0))));
    store(interval, own, k);
    store(source, own, node);
  }
};

/* Values, or values and slopes, at t of the polynomial with coefficients c[0] .. c[D]. */
template <int D, typename V> MLIP_DEVICE V polynomial(const V *c, const V &t)
{
  V sum = c[D];
  MLIP_UNROLL
  for (int k = D - 1; k >= 0; k--) sum = sum * t + c[k];
  return sum;
}

template <int D, typename V> MLIP_DEVICE V polynomial_slope(const V *c, const V &t, V &slope)
{
  slope = c[D];
  V sum = c[D] * t + c[D - 1];
  MLIP_UNROLL
  for (int k = D - 2; k >= 0; k--) {
    slope = slope * t + sum;
    sum = sum * t + c[k];
  }
  return sum;
}

/* Sums over the slices of channels, and chain rule from the unit vector and the table position to the edge vector.
   partial (edges, slices, 4): gradients of the unit vector and of t. is_first: set the edge gradients instead of adding
   to them. */
template <typename T>
MLIP_DEVICE void finish_edges(Place at, const Edges &edges, int n_slices, const T *partial, double per_angstrom,
                              int is_first, double *edge_gradients)
{
  const int i = at.warp;
  if (i >= edges.n_local) return;
  const int begin = edges.first[i], n = edges.first[i + 1] - begin;
  for (int done = 0; done < n; done += WARP) {
    const Lanes<bool> is_edge = lane() + done < n;
    const Lanes<int> edge = select(is_edge, lane() + done, Lanes<int>(0)) + begin;
    Lanes<double> g[4] = {0.0, 0.0, 0.0, 0.0};
    for (int s = 0; s < n_slices; s++)
      for (int k = 0; k < 4; k++)
        g[k] += convert<double>(load(partial, (edge * n_slices + s) * 4 + k));
    const Lanes<double> x = load(edges.vectors, edge * 3), y = load(edges.vectors, edge * 3 + 1),
                        z = load(edges.vectors, edge * 3 + 2);
    const Lanes<double> inverse = Lanes<double>(1.0) / root(x * x + y * y + z * z);
    const Lanes<double> u[3] = {x * inverse, y * inverse, z * inverse};
    const Lanes<double> along = g[0] * u[0] + g[1] * u[1] + g[2] * u[2];
    const Lanes<double> radial = Lanes<double>(2.0 * per_angstrom) * g[3];
    for (int k = 0; k < 3; k++) {
      Lanes<double> total = (g[k] - along * u[k]) * inverse + radial * u[k];
      if (!is_first) total += load_changing(edge_gradients, edge * 3 + k);
      store_if(is_edge, edge_gradients, edge * 3 + k, total);
    }
  }
}

}    // namespace mlip_gpu

#endif
