/* Radial and angular functions of the angles of a block, and their slopes; see symmetry_neighbours.h. */

#ifndef MLIP_KERNELS_SYMMETRY_BLOCK_H
#define MLIP_KERNELS_SYMMETRY_BLOCK_H

#include "symmetry_neighbours.h"

namespace mlip_kernels {

/* Up to U vectors of angles. Shape: that of SymmetrySums. */
template <typename Shape> struct SymmetryBlock {
  using Parts = SymmetryParts<Shape>;
  using Plan = typename Parts::Plan;
  using AngularGroup = typename Parts::AngularGroup;
  using Neighbours = typename Parts::Neighbours;
  using Angles = typename Parts::Angles;
  using V = typename Parts::V;
  using F = typename Parts::F;
  static constexpr int N = Parts::N, U = 8;
  enum Over { ENDS, ALL, MEAN };
  enum Exponent { ANY_POWER = -1, FALLING = -2 };

  int m;    // vectors
  V cosine[U], one[U], other[U], between[U];    // distances
  V sine[U], angle[U];
  V cross[U], of_one[U], of_other[U];    // gradients are cross * the other vector + of_... * the own vector
  Buffer<V> radial, angular, angular_slopes, gaussian, factors;    // [function][U]

  void prepare(const AngularGroup &group, const Neighbours &all, const Angles &angles, int64_t start)
  {
    m = static_cast<int>(std::min<int64_t>(U, (angles.n - start + N - 1) / N));
    gather(all.distance.data(), angles.one.data() + start, one);
    gather(all.distance.data(), angles.other.data() + start, other);
    const V *const dot = Parts::vectors_of(angles.dot.data() + start);
    for (int u = 0; u < m; u++) cosine[u] = dot[u] / (one[u] * other[u]);
    if (group.has_between) {
      const double *const square = angles.square.data() + start;
      double *const distance = reinterpret_cast<double *>(between);
      for (int k = 0; k < m * N; k++) distance[k] = std::sqrt(square[k]);
    }
  }

  void gather(const double *values, const int32_t *place, V *result) const
  {
    double *const all = reinterpret_cast<double *>(result);
    for (int k = 0; k < m * N; k++) all[k] = values[place[k]];
  }

  /* Products of cutoff functions times Gaussians. factors: product and its derivatives by the distances */
  template <bool HAS_SLOPES>
  void radials(const Plan &plan, const AngularGroup &group, const Neighbours &all, const Angles &angles, int64_t start)
  {
    V *next = radial.resize(group.n_gaussians * U);
    V *e = HAS_SLOPES ? gaussian.resize(group.n_gaussians * U) : nullptr;
    V *f = factors.resize((HAS_SLOPES ? 4 : 1) * group.n_classes * U);
    const double *numbers = group.gaussians;
    const int n_valid = static_cast<int>(std::min<int64_t>(U * N, angles.n - start));
    for (int64_t c = 0; c < group.n_classes; c++) {
      const int64_t cutoff = group.classes[3 * c], over = group.classes[3 * c + 1];
      const int32_t *const i = angles.one.data() + start, *const j = angles.other.data() + start;
      const double *const values = all.values.data() + cutoff * all.n;
      const double *const slopes = all.slopes.data() + cutoff * all.n;
      V x[U], y[U], dx[U], dy[U], third[U], third_slope[U];
      gather(values, i, x);
      gather(values, j, y);
      for (int k = n_valid; k < m * N; k++) x[k / N][k % N] = 0.0;
      if constexpr (HAS_SLOPES) {
        gather(slopes, i, dx);
        gather(slopes, j, dy);
        for (int k = n_valid; k < m * N; k++) dx[k / N][k % N] = 0.0;
      }
      if (over == ALL)
        F::evaluate(plan.falling(cutoff), plan.falling_numbers(cutoff), m, between, third, third_slope);
      for (int u = 0; u < m; u++) {
        const V product = x[u] * y[u], rest = over == ALL ? third[u] : 1.0 - V{};
        f[u] = product * rest;
        if constexpr (HAS_SLOPES) {
          f[U + u] = dx[u] * y[u] * rest;
          f[2 * U + u] = x[u] * dy[u] * rest;
          f[3 * U + u] = over == ALL ? product * third_slope[u] : V{};
        }
      }
      for (int64_t g = 0; g < group.classes[3 * c + 2]; g++, numbers += 2, next += U) {
        const double eta = numbers[0], shift = numbers[1];
        for (int u = 0; u < m; u++) {
          V value = 1.0 - V{};
          if (eta != 0.0) {
            const V p = one[u] - shift, q = other[u] - shift, mean = 0.5 * (one[u] + other[u]) - shift;
            V squares = over == MEAN ? mean * mean : p * p + q * q;
            if (over == ALL) squares += (between[u] - shift) * (between[u] - shift);
            value = exponential<double, N>(-eta * squares);
          }
          next[u] = f[u] * value;
          if constexpr (HAS_SLOPES) e[u] = value;
        }
        if constexpr (HAS_SLOPES) e += U;
      }
      f += HAS_SLOPES ? 4 * U : U;
    }
  }

  template <bool HAS_SLOPES> void angulars(const Plan &plan, const AngularGroup &group)
  {
    V *value = angular.resize(group.n_angles * U);
    V *slope = HAS_SLOPES ? angular_slopes.resize(group.n_angles * U) : nullptr;
    if (group.has_sine)
      for (int k = 0; k < m * N; k++) {
        const double c = group.shrink * reinterpret_cast<const double *>(cosine)[k];
        reinterpret_cast<double *>(sine)[k] = std::sqrt(1.0 - c * c);
      }
    const double *p = group.angle_numbers;
    for (int64_t a = 0; a < group.n_angles; a++, value += U, p += 5) {
      const int64_t exponent = group.angles[2 * a], falling = group.angles[2 * a + 1];
      if (exponent == FALLING)
        of_angle(plan, falling, value, slope);
      else
        for (int u = 0; u < m; u++) {
          V base = p[0] + p[1] * cosine[u], d = p[1] - V{};
          if (p[2] != 0.0) {
            base += p[2] * sine[u];
            d -= (p[2] * group.shrink * group.shrink) * cosine[u] / sine[u];
          }
          const auto is_zero = base < 0.0;
          base = is_zero ? V{} : base;
          const V before = exponent == ANY_POWER ? any_power(base, p[3] - 1.0) : F::power(base, exponent - 1);
          value[u] = p[4] * before * base;
          if constexpr (HAS_SLOPES) slope[u] = is_zero ? V{} : (p[3] * p[4]) * before * d;
        }
      if constexpr (HAS_SLOPES) slope += U;
    }
  }

  static V any_power(const V &base, double exponent)
  {
    const auto is_zero = base <= 0.0;
    const V power = exponential<double, N>(exponent * logarithm<N>(is_zero ? 1.0 - V{} : base));
    return is_zero ? V{} : power;
  }

  /* The angle has no derivative at 0 and 180 degrees. */
  void of_angle(const Plan &plan, int64_t falling, V *value, V *slope)
  {
    constexpr double MOST = 1.0 - 1e-15;
    V by_angle[U];
    for (int u = 0; u < m; u++)
      for (int k = 0; k < N; k++) angle[u][k] = std::acos(std::clamp(cosine[u][k], -MOST, MOST));
    F::evaluate(plan.falling(falling), plan.falling_numbers(falling), m, angle, value, by_angle);
    if (!slope) return;
    for (int u = 0; u < m; u++)
      for (int k = 0; k < N; k++) {
        const double c = cosine[u][k];
        slope[u][k] = std::abs(c) > MOST ? 0.0 : -by_angle[u][k] / std::sqrt(1.0 - c * c);
      }
  }
};

}    // namespace mlip_kernels

#endif
