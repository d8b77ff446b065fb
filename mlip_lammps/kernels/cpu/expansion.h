/* Densities of an atomic cluster expansion and their gradient: products of sums over neighbours. Vectors run over atoms
   of one element.

   Shape (generated): T, N (lanes), L_MAX, N_ELEMENTS, N_FUNCTIONS (of moments), N_BASE (of them in the expansion),
   N_OUT (densities). Moments: [atom][harmonic][element][function], real harmonics. Results: [atom][N_OUT].

   The plan of an element, integers: a header of HEADER numbers, then
     sums      (element, order, first node): A_m = sum_k w_k moment_k,m as complex numbers for m = -l ... l, each a node
     products  (node, node): further nodes
     groups    (node, number of terms)
     terms     node: Re(node of the group * node) times a weight for each density is added to the densities
   and weights: N_BASE for each sum, N_OUT for each term, then N_OUT * N_ELEMENTS * N_FUNCTIONS for the moments of
   l = 0, which enter linearly. */

#ifndef MLIP_KERNELS_EXPANSION_H
#define MLIP_KERNELS_EXPANSION_H

#include "common.h"

#include <algorithm>

namespace mlip_kernels {

template <typename Shape> struct Expansion {
  using T = typename Shape::T;
  static constexpr int N = Shape::N;
  using V = typename VectorOf<T, N>::type;
  static constexpr int L = Shape::L_MAX, Y = (L + 1) * (L + 1), E = Shape::N_ELEMENTS, F = Shape::N_FUNCTIONS;
  static constexpr int K = Shape::N_BASE, P = Shape::N_OUT, WIDTH = Y * E * F, HEADER = 6;
  static_assert(F % N == 0, "moments are whole vectors");

  struct Plan {
    int64_t n_sums, n_products, n_groups, n_nodes;
    const int64_t *sums, *products, *groups, *terms;
    const T *sum_weights, *term_weights, *linear_weights;

    Plan(const int64_t *plans, const T *weights, int64_t element)
    {
      const int64_t *const header = plans + element * HEADER;
      n_sums = header[0];
      n_products = header[1];
      n_groups = header[2];
      n_nodes = header[3];
      sums = plans + header[4];
      products = sums + 3 * n_sums;
      groups = products + 2 * n_products;
      terms = groups + 2 * n_groups;
      int64_t n_terms = 0;
      for (int64_t g = 0; g < n_groups; g++) n_terms += groups[2 * g + 1];
      sum_weights = weights + header[5];
      term_weights = sum_weights + n_sums * K;
      linear_weights = term_weights + n_terms * P;
    }
    int64_t n_inputs() const { return n_nodes - n_products; }
  };

  /* Up to N atoms of one element. */
  struct Block {
    int64_t element;
    int n;
    int64_t atom[N];
  };

  static std::vector<Block> blocks(int64_t n_local, const int64_t *species)
  {
    std::vector<Block> found;
    int64_t open[E];
    std::fill_n(open, E, -1);
    for (int64_t i = 0; i < n_local; i++) {
      const int64_t z = E == 1 ? 0 : species[i];
      if (open[z] < 0 || found[open[z]].n == N) {
        open[z] = static_cast<int64_t>(found.size());
        found.push_back({z, 0, {}});
      }
      Block &block = found[open[z]];
      block.atom[block.n++] = i;
    }
    return found;
  }

  struct Work {
    Buffer<V> moments, gradients, nodes, adjoints;

    /* moments of the atoms of a block, transposed; zeros where the block has no atom */
    const V *load(const Block &block, const T *rows)
    {
      V *const all = moments.resize(WIDTH);
      for (int k = 0; k < WIDTH; k += N) {
        V *const v = all + k;
        for (int a = 0; a < N; a++)
          v[a] = a < block.n ? *reinterpret_cast<const V *>(rows + block.atom[a] * WIDTH + k) : V{};
        transpose<T, N>(v);
      }
      return all;
    }

    /* real parts first, then imaginary parts */
    V *evaluate(const Plan &plan, const V *m)
    {
      V *const re = nodes.resize(2 * plan.n_nodes), *const im = re + plan.n_nodes;
      for (int64_t s = 0; s < plan.n_sums; s++) sum(plan, s, m, re, im);
      const int64_t first = plan.n_inputs();
      for (int64_t q = 0; q < plan.n_products; q++) {
        const int64_t a = plan.products[2 * q], b = plan.products[2 * q + 1];
        re[first + q] = re[a] * re[b] - im[a] * im[b];
        im[first + q] = re[a] * im[b] + im[a] * re[b];
      }
      return re;
    }
  };

  static V dot(const V *m, const T *w)
  {
    V total = {};
    for (int k = 0; k < K; k++) total += w[k] * m[k];
    return total;
  }

  static constexpr T HALF_ROOT = static_cast<T>(0.70710678118654752440);

  /* complex sums with Y_l,-m = (-1)^m conj(Y_lm) from real ones */
  static void sum(const Plan &plan, int64_t s, const V *m, V *re, V *im)
  {
    const int64_t e = plan.sums[3 * s], l = plan.sums[3 * s + 1], zero = plan.sums[3 * s + 2] + l;
    const V *const centre = m + ((l * l + l) * E + e) * F;
    const T *const w = plan.sum_weights + s * K;
    re[zero] = dot(centre, w);
    im[zero] = V{};
    for (int64_t k = 1; k <= l; k++) {
      const V c = HALF_ROOT * dot(centre + k * E * F, w), d = HALF_ROOT * dot(centre - k * E * F, w);
      re[zero - k] = c;
      im[zero - k] = -d;
      re[zero + k] = k % 2 ? -c : c;
      im[zero + k] = k % 2 ? -d : d;
    }
  }

  static void sum_adjoint(const Plan &plan, int64_t s, const V *re, const V *im, V *gradients)
  {
    const int64_t e = plan.sums[3 * s], l = plan.sums[3 * s + 1], zero = plan.sums[3 * s + 2] + l;
    V *const centre = gradients + ((l * l + l) * E + e) * F;
    const T *const w = plan.sum_weights + s * K;
    for (int k = 0; k < K; k++) centre[k] += w[k] * re[zero];
    for (int64_t k = 1; k <= l; k++) {
      const V c = HALF_ROOT * (k % 2 ? re[zero - k] - re[zero + k] : re[zero - k] + re[zero + k]);
      const V d = HALF_ROOT * (k % 2 ? -im[zero - k] - im[zero + k] : im[zero + k] - im[zero - k]);
      V *const plus = centre + k * E * F, *const minus = centre - k * E * F;
      for (int j = 0; j < K; j++) {
        plus[j] += w[j] * c;
        minus[j] += w[j] * d;
      }
    }
  }

  static void forward(int64_t n_local, const T *moments, const int64_t *species, const int64_t *plans,
                      const T *weights, T *densities)
  {
    const std::vector<Block> all = blocks(n_local, species);
    const int64_t n_blocks = static_cast<int64_t>(all.size());
#pragma omp parallel
    {
      Work work;
#pragma omp for schedule(static)
      for (int64_t b = 0; b < n_blocks; b++) {
        const Plan plan(plans, weights, all[b].element);
        const V *const m = work.load(all[b], moments), *const re = work.evaluate(plan, m);
        V rho[P];
        for (int p = 0; p < P; p++) {
          const T *const w = plan.linear_weights + p * E * F;
          V total = {};
          for (int k = 0; k < E * F; k++) total += w[k] * m[k];
          rho[p] = total;
        }
        add_groups(plan, re, re + plan.n_nodes, rho);
        for (int a = 0; a < all[b].n; a++)
          for (int p = 0; p < P; p++) densities[all[b].atom[a] * P + p] = rho[p][a];
      }
    }
  }

  /* Within a group, the terms of each density are summed before the product with the group's node. */
  static void add_groups(const Plan &plan, const V *re, const V *im, V *rho)
  {
    const int64_t *term = plan.terms;
    const T *w = plan.term_weights;
    for (int64_t g = 0; g < plan.n_groups; g++) {
      const int64_t left = plan.groups[2 * g], *const end = term + plan.groups[2 * g + 1];
      V sum_re[P] = {}, sum_im[P] = {};
      for (; term < end; term++, w += P) {
        const V x = re[*term], y = im[*term];
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) {
          sum_re[p] += w[p] * x;
          sum_im[p] += w[p] * y;
        }
      }
      const V x = re[left], y = im[left];
#pragma GCC unroll 8
      for (int p = 0; p < P; p++) rho[p] += x * sum_re[p] - y * sum_im[p];
    }
  }

  static void backward(int64_t n_local, const T *moments, const int64_t *species, const int64_t *plans,
                       const T *weights, const T *upstream, T *result)
  {
    const std::vector<Block> all = blocks(n_local, species);
    const int64_t n_blocks = static_cast<int64_t>(all.size());
#pragma omp parallel
    {
      Work work;
#pragma omp for schedule(static)
      for (int64_t b = 0; b < n_blocks; b++) {
        const Block &block = all[b];
        const Plan plan(plans, weights, block.element);
        const V *const re = work.evaluate(plan, work.load(block, moments)), *const im = re + plan.n_nodes;
        V *const dre = work.adjoints.resize(2 * plan.n_nodes), *const dim = dre + plan.n_nodes;
        std::fill_n(dre, 2 * plan.n_nodes, V{});
        V up[P] = {};
        for (int a = 0; a < block.n; a++)
          for (int p = 0; p < P; p++) up[p][a] = upstream[block.atom[a] * P + p];
        groups_adjoint(plan, re, im, up, dre, dim);
        const int64_t first = plan.n_inputs();
        for (int64_t q = plan.n_products - 1; q >= 0; q--) {
          const int64_t i = plan.products[2 * q], j = plan.products[2 * q + 1];
          const V gx = dre[first + q], gy = dim[first + q], ax = re[i], ay = im[i], bx = re[j], by = im[j];
          dre[i] += gx * bx + gy * by;
          dim[i] += gy * bx - gx * by;
          dre[j] += gx * ax + gy * ay;
          dim[j] += gy * ax - gx * ay;
        }
        V *const gradients = work.gradients.resize(WIDTH);
        std::fill_n(gradients, WIDTH, V{});
        for (int64_t s = 0; s < plan.n_sums; s++) sum_adjoint(plan, s, dre, dim, gradients);
        for (int p = 0; p < P; p++) {
          const T *const w = plan.linear_weights + p * E * F;
          for (int k = 0; k < E * F; k++) gradients[k] += w[k] * up[p];
        }
        for (int k = 0; k < WIDTH; k += N) {
          transpose<T, N>(gradients + k);
          for (int a = 0; a < block.n; a++)
            *reinterpret_cast<V *>(result + block.atom[a] * WIDTH + k) = gradients[k + a];
        }
      }
    }
  }

  static void groups_adjoint(const Plan &plan, const V *re, const V *im, const V *up, V *dre, V *dim)
  {
    const int64_t *term = plan.terms;
    const T *w = plan.term_weights;
    for (int64_t g = 0; g < plan.n_groups; g++) {
      const int64_t left = plan.groups[2 * g], *const end = term + plan.groups[2 * g + 1];
      const V x = re[left], y = im[left];
      V sum_re = {}, sum_im = {};
      for (; term < end; term++, w += P) {
        V strength = w[0] * up[0];
#pragma GCC unroll 8
        for (int p = 1; p < P; p++) strength += w[p] * up[p];
        sum_re += strength * re[*term];
        sum_im += strength * im[*term];
        dre[*term] += strength * x;
        dim[*term] -= strength * y;
      }
      dre[left] += sum_re;
      dim[left] -= sum_im;
    }
  }
};

}    // namespace mlip_kernels

#endif
