/* What symmetry functions are sums of: the plan, the neighbours of a centre, and pairs of them.

   The plan, integers: number of falling functions, number of those of distances (the first ones), the functions; then
   for each element of the centre the places of its groups in plan and numbers, N_ELEMENTS radial ones and N_PAIRS of
   angles; then the groups:
     radial   number of terms, (cutoff function, column) of each
              numbers: (eta, shift, weight) of each
     angles   numbers of classes, Gaussians, angular functions and terms, has_between, has_sine; (cutoff function, over,
              number of Gaussians) of each class; (exponent, falling function) of each angular function; (Gaussian,
              angular function, column) of each term
              numbers: reach, reach between neighbours, shrink; (eta, shift) of each Gaussian; (constant, cosine, sine,
              zeta, scale) of each angular function; weights of the terms */

#ifndef MLIP_KERNELS_SYMMETRY_NEIGHBOURS_H
#define MLIP_KERNELS_SYMMETRY_NEIGHBOURS_H

#include "falling.h"

#include <algorithm>

namespace mlip_kernels {

/* Shape: that of SymmetrySums. */
template <typename Shape> struct SymmetryParts {
  static constexpr int N = Shape::N, E = Shape::N_ELEMENTS, N_PAIRS = E * (E + 1) / 2;
  static constexpr double FAR = 1e6;

  using V = typename VectorOf<double, N>::type;
  using Row = typename VectorOf<double, 4>::type;
  using F = Falling<N>;

  struct Plan {
    const int64_t *integers;
    const double *numbers;

    int64_t n_falling() const { return integers[0]; }
    int64_t n_of_distances() const { return integers[1]; }
    const int64_t *falling(int64_t k) const { return integers + 2 + k * F::PLAN; }
    const double *falling_numbers(int64_t k) const { return numbers + k * F::NUMBERS; }
    const int64_t *group(int64_t element, int g) const
    {
      return integers + 2 + n_falling() * F::PLAN + 2 * (element * (E + N_PAIRS) + g);
    }
  };

  struct RadialGroup {
    int64_t n;
    const int64_t *terms;
    const double *numbers;

    RadialGroup(const Plan &plan, const int64_t *at) :
        n(plan.integers[at[0]]), terms(plan.integers + at[0] + 1), numbers(plan.numbers + at[1])
    {
    }
  };

  struct AngularGroup {
    int64_t n_classes, n_gaussians, n_angles, n_terms;
    bool has_between, has_sine;
    const int64_t *classes, *angles, *terms;
    double reach, reach_between, shrink;
    const double *gaussians, *angle_numbers, *weights;

    AngularGroup(const Plan &plan, const int64_t *at)
    {
      const int64_t *const header = plan.integers + at[0];
      const double *const numbers = plan.numbers + at[1];
      n_classes = header[0];
      n_gaussians = header[1];
      n_angles = header[2];
      n_terms = header[3];
      has_between = header[4];
      has_sine = header[5];
      classes = header + 6;
      angles = classes + 3 * n_classes;
      terms = angles + 2 * n_angles;
      reach = numbers[0];
      reach_between = numbers[1];
      shrink = numbers[2];
      gaussians = numbers + 3;
      angle_numbers = gaussians + 2 * n_gaussians;
      weights = angle_numbers + 5 * n_angles;
    }
  };

  static const V *vectors_of(const double *p) { return reinterpret_cast<const V *>(p); }
  static V *vectors_of(double *p) { return reinterpret_cast<V *>(p); }

  /* The neighbours of a centre by element, each element in whole vectors: the rest is far away. */
  struct Neighbours {
    Buffer<double> distance, values, slopes;
    Buffer<Row> place;    // x, y, z, 0
    Buffer<int64_t> edge;
    int64_t first[E + 1], count[E], n;

    void prepare(const Plan &plan, int64_t begin, int64_t end, const double *vectors, const int64_t *element)
    {
      std::fill_n(count, E, 0);
      for (int64_t e = begin; e < end; e++) count[E == 1 ? 0 : element[e]]++;
      first[0] = 0;
      for (int z = 0; z < E; z++) first[z + 1] = first[z] + (count[z] + N - 1) / N * N;
      n = first[E];
      double *const r = distance.resize(n);
      Row *const x = place.resize(n);
      int64_t *const number = edge.resize(n);
      std::fill_n(r, n, FAR * FAR);
      std::fill_n(x, n, Row{FAR, 0.0, 0.0, 0.0});
      int64_t next[E];
      std::copy_n(first, E, next);
      for (int64_t e = begin; e < end; e++) {
        const double *const v = vectors + 3 * e;
        const int64_t k = next[E == 1 ? 0 : element[e]]++;
        number[k] = e;
        x[k] = Row{v[0], v[1], v[2], 0.0};
        r[k] = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      }
      for (int64_t k = 0; k < n; k++) r[k] = std::sqrt(r[k]);
      values.resize(plan.n_of_distances() * n);
      slopes.resize(plan.n_of_distances() * n);
      for (int64_t k = 0; k < plan.n_of_distances(); k++)
        F::evaluate(plan.falling(k), plan.falling_numbers(k), n / N, vectors_of(r), vectors_of(values.data() + k * n),
                    vectors_of(slopes.data() + k * n));
    }
  };

  /* Pairs of neighbours of two elements, with a whole vector of copies after the last. */
  struct Angles {
    Buffer<double> near;    // x, y, z of the neighbours within reach
    Buffer<int32_t> near_place, one, other;
    Buffer<double> dot, square;
    int64_t n;

    void list(const AngularGroup &group, const Neighbours &all, int a, int b)
    {
      n = 0;
      double *const x = near.resize(3 * all.n + N), *const y = x + all.n, *const z = y + all.n;
      int32_t *const place = near_place.resize(all.n + N);
      int64_t end[2] = {0, 0};
      for (int s = 0; s < (a == b ? 1 : 2); s++) {
        const int element = s == 0 ? a : b;
        int64_t k = s == 0 ? 0 : end[0];
        for (int64_t p = all.first[element]; p < all.first[element] + all.count[element]; p++) {
          if (all.distance.data()[p] >= group.reach) continue;
          place[k] = static_cast<int32_t>(p);
          x[k] = all.place.data()[p][0];
          y[k] = all.place.data()[p][1];
          z[k++] = all.place.data()[p][2];
        }
        end[s] = k;
      }
      const int64_t n_first = end[0], last = a == b ? n_first : end[1];
      const int64_t most = a == b ? n_first * n_first / 2 : n_first * (last - n_first);
      if (most == 0) return;
      int32_t *const i = one.resize(most + 2 * N), *const j = other.resize(most + 2 * N);
      double *const angle_dot = dot.resize(most + 2 * N), *const angle_square = square.resize(most + 2 * N);
      const double limit = group.reach_between * group.reach_between;
      V lanes;
      for (int k = 0; k < N; k++) lanes[k] = k;
      for (int64_t p = 0; p < n_first; p++) {
        const double px = x[p], py = y[p], pz = z[p];
        for (int64_t q = a == b ? p + 1 : n_first; q < last; q += N) {
          const V vx = *vectors_of(x + q), vy = *vectors_of(y + q), vz = *vectors_of(z + q);
          const V dx = vx - px, dy = vy - py, dz = vz - pz, between = dx * dx + dy * dy + dz * dz;
          const auto is_kept = !(between >= limit) & (lanes < static_cast<double>(last - q));
          for (int k = 0; k < N; k++) i[n + k] = place[p];
          n += store_some<N>(is_kept, px * vx + py * vy + pz * vz, between, place + q, angle_dot + n, angle_square + n,
                             j + n);
        }
      }
      for (int k = 0; k < N && n > 0; k++) {
        i[n + k] = i[n - 1];
        j[n + k] = j[n - 1];
        angle_dot[n + k] = angle_dot[n - 1];
        angle_square[n + k] = angle_square[n - 1];
      }
    }
  };
};

}    // namespace mlip_kernels

#endif
