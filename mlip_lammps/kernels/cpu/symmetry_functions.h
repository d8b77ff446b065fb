/* Symmetry functions of atoms and their gradient: sums over neighbours and over pairs of neighbours, see
   symmetry_functions.py. Vectors run over neighbours, and over the pairs of neighbours of two elements.

   Shape (generated): N (lanes), N_ELEMENTS, N_COLUMNS. Results: [atom][N_COLUMNS].

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

#ifndef MLIP_KERNELS_SYMMETRY_FUNCTIONS_H
#define MLIP_KERNELS_SYMMETRY_FUNCTIONS_H

#include "falling.h"

#include <algorithm>

namespace mlip_kernels {

template <typename Shape> struct SymmetrySums {
  static constexpr int N = Shape::N, E = Shape::N_ELEMENTS, N_PAIRS = E * (E + 1) / 2, W = Shape::N_COLUMNS;
  static constexpr int U = 8;    // vectors of angles together
  static constexpr double FAR = 1e6;
  enum Over { ENDS, ALL, MEAN };
  enum Exponent { ANY_POWER = -1, FALLING = -2 };

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

  static const V *vectors_of(const double *p) { return reinterpret_cast<const V *>(p); }
  static V *vectors_of(double *p) { return reinterpret_cast<V *>(p); }

  static double sum_of_lanes(const V &v)
  {
    double total = 0.0;
    for (int k = 0; k < N; k++) total += v[k];
    return total;
  }

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

  /* Up to U vectors of angles. */
  struct Block {
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
      const V *const dot = vectors_of(angles.dot.data() + start);
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
        const double *const values = all.values.data() + cutoff * all.n, *const slopes = all.slopes.data() + cutoff * all.n;
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

  struct Work {
    Neighbours all;
    Angles angles;
    Block block;
    Buffer<V> sums, radial_gradients, angular_gradients;
    Buffer<double> strengths, own_gradients;    // factors of the neighbours' own vectors
    Buffer<Row> gradients;
  };

  static void forward(int64_t n_local, int64_t n_edges, const double *vectors, const int64_t *centre,
                      const int64_t *element, const int64_t *integers, const double *numbers, const int64_t *species,
                      double *result)
  {
    const Plan plan{integers, numbers};
    std::vector<int64_t> first;
    edge_ranges(n_local, n_edges, centre, first);
#pragma omp parallel
    {
      Work work;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < n_local; i++) {
        double *const out = result + i * W;
        std::fill_n(out, W, 0.0);
        if (first[i] == first[i + 1]) continue;
        work.all.prepare(plan, first[i], first[i + 1], vectors, element);
        const int64_t own = E == 1 ? 0 : species[i];
        for (int z = 0; z < E; z++)
          if (work.all.count[z] > 0) add_neighbours_of(RadialGroup(plan, plan.group(own, z)), work.all, z, out);
        int pair = E;
        for (int a = 0; a < E; a++)
          for (int b = a; b < E; b++) {
            const AngularGroup group(plan, plan.group(own, pair++));
            if (group.n_terms > 0) add_pairs(plan, group, work, a, b, out);
          }
      }
    }
  }

  static void add_neighbours_of(const RadialGroup &group, const Neighbours &all, int z, double *out)
  {
    const int64_t n = (all.first[z + 1] - all.first[z]) / N;
    const V *const r = vectors_of(all.distance.data() + all.first[z]);
    for (int64_t t = 0; t < group.n; t++) {
      const double eta = group.numbers[3 * t], shift = group.numbers[3 * t + 1];
      const V *const cutoff = vectors_of(all.values.data() + group.terms[2 * t] * all.n + all.first[z]);
      V total = {};
      for (int64_t k = 0; k < n; k++)
        total += eta == 0.0 ? cutoff[k] : cutoff[k] * exponential<double, N>(-eta * (r[k] - shift) * (r[k] - shift));
      out[group.terms[2 * t + 1]] += group.numbers[3 * t + 2] * sum_of_lanes(total);
    }
  }

  static void add_pairs(const Plan &plan, const AngularGroup &group, Work &work, int a, int b, double *out)
  {
    Angles &angles = work.angles;
    angles.list(group, work.all, a, b);
    if (angles.n == 0) return;
    V *const sums = work.sums.resize(group.n_terms);
    std::fill_n(sums, group.n_terms, V{});
    for (int64_t start = 0; start < angles.n; start += U * N) {
      Block &block = work.block;
      block.prepare(group, work.all, angles, start);
      block.template radials<false>(plan, group, work.all, angles, start);
      block.template angulars<false>(plan, group);
      const V *const radial = block.radial.data(), *const angular = block.angular.data();
      for (int64_t t = 0; t < group.n_terms; t++) {
        const V *const f = radial + group.terms[3 * t] * U, *const g = angular + group.terms[3 * t + 1] * U;
        V total = sums[t];
        for (int u = 0; u < block.m; u++) total += f[u] * g[u];
        sums[t] = total;
      }
    }
    for (int64_t t = 0; t < group.n_terms; t++) out[group.terms[3 * t + 2]] += group.weights[t] * sum_of_lanes(sums[t]);
  }

  static void backward(int64_t n_local, int64_t n_edges, const double *vectors, const int64_t *centre,
                       const int64_t *element, const int64_t *integers, const double *numbers, const int64_t *species,
                       const double *upstream, double *edge_gradients)
  {
    const Plan plan{integers, numbers};
    std::vector<int64_t> first;
    edge_ranges(n_local, n_edges, centre, first);
#pragma omp parallel
    {
      Work work;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < n_local; i++) {
        if (first[i] == first[i + 1]) continue;
        const Neighbours &all = work.all;
        work.all.prepare(plan, first[i], first[i + 1], vectors, element);
        double *const own_factors = work.own_gradients.resize(all.n);
        Row *const gradients = work.gradients.resize(all.n);
        std::fill_n(own_factors, all.n, 0.0);
        std::fill_n(gradients, all.n, Row{});
        const int64_t own = E == 1 ? 0 : species[i];
        for (int z = 0; z < E; z++)
          if (all.count[z] > 0)
            neighbours_adjoint(RadialGroup(plan, plan.group(own, z)), all, z, upstream + i * W, own_factors);
        int pair = E;
        for (int a = 0; a < E; a++)
          for (int b = a; b < E; b++) {
            const AngularGroup group(plan, plan.group(own, pair++));
            if (group.n_terms > 0) pairs_adjoint(plan, group, work, a, b, upstream + i * W);
          }
        for (int z = 0; z < E; z++)
          for (int64_t k = all.first[z]; k < all.first[z] + all.count[z]; k++) {
            const Row g = gradients[k] + own_factors[k] * all.place.data()[k];
            for (int axis = 0; axis < 3; axis++) edge_gradients[3 * all.edge.data()[k] + axis] = g[axis];
          }
      }
    }
  }

  static void neighbours_adjoint(const RadialGroup &group, const Neighbours &all, int z, const double *upstream,
                                 double *own_factors)
  {
    const int64_t n = (all.first[z + 1] - all.first[z]) / N;
    const V *const r = vectors_of(all.distance.data() + all.first[z]);
    V *const gradient = vectors_of(own_factors + all.first[z]);
    for (int64_t t = 0; t < group.n; t++) {
      const double eta = group.numbers[3 * t], shift = group.numbers[3 * t + 1];
      const double strength = group.numbers[3 * t + 2] * upstream[group.terms[2 * t + 1]];
      const V *const cutoff = vectors_of(all.values.data() + group.terms[2 * t] * all.n + all.first[z]);
      const V *const slope = vectors_of(all.slopes.data() + group.terms[2 * t] * all.n + all.first[z]);
      for (int64_t k = 0; k < n; k++) {
        const V d = r[k] - shift;
        gradient[k] += eta == 0.0 ? strength * slope[k] : strength * exponential<double, N>(-eta * d * d) *
            (slope[k] - (2.0 * eta) * d * cutoff[k]);
      }
    }
    for (int64_t k = 0; k < n; k++) gradient[k] /= r[k];
  }

  static void pairs_adjoint(const Plan &plan, const AngularGroup &group, Work &work, int a, int b,
                            const double *upstream)
  {
    Angles &angles = work.angles;
    angles.list(group, work.all, a, b);
    if (angles.n == 0) return;
    double *const strengths = work.strengths.resize(group.n_terms);
    for (int64_t t = 0; t < group.n_terms; t++) strengths[t] = group.weights[t] * upstream[group.terms[3 * t + 2]];
    V *const by_radial = work.radial_gradients.resize(group.n_gaussians * U);
    V *const by_angular = work.angular_gradients.resize(group.n_angles * U);
    for (int64_t start = 0; start < angles.n; start += U * N) {
      Block &block = work.block;
      block.prepare(group, work.all, angles, start);
      block.template radials<true>(plan, group, work.all, angles, start);
      block.template angulars<true>(plan, group);
      std::fill_n(by_radial, group.n_gaussians * U, V{});
      std::fill_n(by_angular, group.n_angles * U, V{});
      for (int64_t t = 0; t < group.n_terms; t++) {
        const int64_t p = group.terms[3 * t] * U, q = group.terms[3 * t + 1] * U;
        const double strength = strengths[t];
        for (int u = 0; u < block.m; u++) {
          by_radial[p + u] += strength * block.angular.data()[q + u];
          by_angular[q + u] += strength * block.radial.data()[p + u];
        }
      }
      for (int u = 0; u < block.m; u++) angles_adjoint(group, block, u, by_radial, by_angular);
      add_gradients(block, start, work);
    }
  }

  /* From the radial and angular functions of a vector of angles to the vectors of their neighbours. */
  static void angles_adjoint(const AngularGroup &group, Block &block, int u, const V *by_radial, const V *by_angular)
  {
    V by_cosine = {}, by_one = {}, by_other = {}, by_between = {};
    for (int64_t a = 0; a < group.n_angles; a++)
      by_cosine += by_angular[a * U + u] * block.angular_slopes.data()[a * U + u];
    const V one = block.one[u], other = block.other[u], between = block.between[u];
    const V *f = block.factors.data() + u, *e = block.gaussian.data() + u;
    const double *numbers = group.gaussians;
    for (int64_t c = 0; c < group.n_classes; c++, f += 4 * U) {
      const int64_t over = group.classes[3 * c + 1];
      V total = {}, widths = {}, shifts = {};
      for (int64_t g = 0; g < group.classes[3 * c + 2]; g++, numbers += 2, e += U, by_radial += U) {
        const V strength = by_radial[u] * *e;
        total += strength;
        widths += numbers[0] * strength;
        shifts += (numbers[0] * numbers[1]) * strength;
      }
      by_one += total * f[U];
      by_other += total * f[2 * U];
      if (over == MEAN) {
        const V slope = f[0] * (0.5 * widths * (one + other) - shifts);
        by_one -= slope;
        by_other -= slope;
        continue;
      }
      by_one -= 2.0 * f[0] * (widths * one - shifts);
      by_other -= 2.0 * f[0] * (widths * other - shifts);
      if (over == ALL) by_between += total * f[3 * U] - 2.0 * f[0] * (widths * between - shifts);
    }
    const V inverse = 1.0 / (one * other), per_one = inverse * other, per_other = inverse * one;
    const V tension = group.has_between ? (between > 0.0 ? by_between / between : V{}) : V{};
    block.cross[u] = by_cosine * inverse - tension;
    block.of_one[u] = (by_one - by_cosine * block.cosine[u] * per_one) * per_one + tension;
    block.of_other[u] = (by_other - by_cosine * block.cosine[u] * per_other) * per_other + tension;
  }

  /* The first neighbour of successive angles is mostly the same: its sums stay in registers. */
  static void add_gradients(const Block &block, int64_t start, Work &work)
  {
    const int n = static_cast<int>(std::min<int64_t>(block.m * N, work.angles.n - start));
    const int32_t *const i = work.angles.one.data() + start, *const j = work.angles.other.data() + start;
    const double *const cross = reinterpret_cast<const double *>(block.cross);
    const double *const of_one = reinterpret_cast<const double *>(block.of_one);
    const double *const of_other = reinterpret_cast<const double *>(block.of_other);
    Row *const gradients = work.gradients.data();
    double *const own = work.own_gradients.data();
    const Row *const place = work.all.place.data();
    for (int k = 0; k < n;) {
      const int32_t first = i[k];
      const Row x = place[first];
      Row sum = {};
      double total = 0.0;
      for (; k < n && i[k] == first; k++) {
        sum += cross[k] * place[j[k]];
        total += of_one[k];
        gradients[j[k]] += cross[k] * x;
        own[j[k]] += of_other[k];
      }
      gradients[first] += sum;
      own[first] += total;
    }
  }
};

}    // namespace mlip_kernels

#endif
