/* Symmetry functions of atoms and their gradient: sums over neighbours and over pairs of neighbours, see
   symmetry_functions.py. Vectors run over neighbours, and over the pairs of neighbours of two elements.

   Shape (generated): N (lanes), N_ELEMENTS, N_COLUMNS. Results: [atom][N_COLUMNS]. Plan: see symmetry_neighbours.h. */

#ifndef MLIP_KERNELS_SYMMETRY_FUNCTIONS_H
#define MLIP_KERNELS_SYMMETRY_FUNCTIONS_H

#include "symmetry_block.h"

namespace mlip_kernels {

template <typename Shape> struct SymmetrySums {
  using Parts = SymmetryParts<Shape>;
  using Plan = typename Parts::Plan;
  using RadialGroup = typename Parts::RadialGroup;
  using AngularGroup = typename Parts::AngularGroup;
  using Neighbours = typename Parts::Neighbours;
  using Angles = typename Parts::Angles;
  using Block = SymmetryBlock<Shape>;
  using V = typename Parts::V;
  using Row = typename Parts::Row;
  static constexpr int N = Parts::N, E = Parts::E, U = Block::U, W = Shape::N_COLUMNS;

  static double sum_of_lanes(const V &v)
  {
    double total = 0.0;
    for (int k = 0; k < N; k++) total += v[k];
    return total;
  }

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
    const V *const r = Parts::vectors_of(all.distance.data() + all.first[z]);
    for (int64_t t = 0; t < group.n; t++) {
      const double eta = group.numbers[3 * t], shift = group.numbers[3 * t + 1];
      const V *const cutoff = Parts::vectors_of(all.values.data() + group.terms[2 * t] * all.n + all.first[z]);
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
    const V *const r = Parts::vectors_of(all.distance.data() + all.first[z]);
    V *const gradient = Parts::vectors_of(own_factors + all.first[z]);
    for (int64_t t = 0; t < group.n; t++) {
      const double eta = group.numbers[3 * t], shift = group.numbers[3 * t + 1];
      const double strength = group.numbers[3 * t + 2] * upstream[group.terms[2 * t + 1]];
      const V *const cutoff = Parts::vectors_of(all.values.data() + group.terms[2 * t] * all.n + all.first[z]);
      const V *const slope = Parts::vectors_of(all.slopes.data() + group.terms[2 * t] * all.n + all.first[z]);
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
      if (over == Block::MEAN) {
        const V slope = f[0] * (0.5 * widths * (one + other) - shifts);
        by_one -= slope;
        by_other -= slope;
        continue;
      }
      by_one -= 2.0 * f[0] * (widths * one - shifts);
      by_other -= 2.0 * f[0] * (widths * other - shifts);
      if (over == Block::ALL) by_between += total * f[3 * U] - 2.0 * f[0] * (widths * between - shifts);
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
