/* The symmetric contraction as a sparse polynomial: monomials built factor by factor, weights by element.

   Shape (a struct of constants): T, N (lanes), N_BLOCKS (vectors a component), N_IN, N_OUT, N_MONOMIALS, N_TERMS;
   PARENT[q] (monomial without the last factor, -1 for none), FACTOR[q], FIRST_TERM[q] .. FIRST_TERM[q + 1], OUTPUT[k]. */

#ifndef MLIP_KERNELS_CONTRACTION_H
#define MLIP_KERNELS_CONTRACTION_H

#include "common.h"

namespace mlip_kernels {

template <typename Shape> struct Contraction {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  static constexpr int B = Shape::N_BLOCKS;

  static void monomials(const V *in, int b, V *p)
  {
    for (int q = 0; q < Shape::N_MONOMIALS; q++) {
      const V factor = in[Shape::FACTOR[q] * B + b];
      p[q] = Shape::PARENT[q] < 0 ? factor : p[Shape::PARENT[q]] * factor;
    }
  }

  /* messages (n, N_IN, channels), weights (n_elements, N_TERMS, channels) -> result (n, N_OUT, channels) */
  static void forward(int64_t n, const T *messages, const int64_t *species, const T *weights, T *result)
  {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
      const V *in = reinterpret_cast<const V *>(messages) + i * Shape::N_IN * B;
      const V *w = reinterpret_cast<const V *>(weights) + species[i] * Shape::N_TERMS * B;
      V *out = reinterpret_cast<V *>(result) + i * Shape::N_OUT * B;
      for (int b = 0; b < B; b++) {
        V p[Shape::N_MONOMIALS], sum[Shape::N_OUT] = {};
        monomials(in, b, p);
        for (int q = 0; q < Shape::N_MONOMIALS; q++)
          for (int k = Shape::FIRST_TERM[q]; k < Shape::FIRST_TERM[q + 1]; k++)
            sum[Shape::OUTPUT[k]] += w[k * B + b] * p[q];
        for (int m = 0; m < Shape::N_OUT; m++) out[m * B + b] = sum[m];
      }
    }
  }

  /* gradients of the result -> gradients of the messages, by going through the monomials backwards */
  static void backward(int64_t n, const T *messages, const int64_t *species, const T *weights, const T *gradients,
                       T *result)
  {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
      const V *in = reinterpret_cast<const V *>(messages) + i * Shape::N_IN * B;
      const V *w = reinterpret_cast<const V *>(weights) + species[i] * Shape::N_TERMS * B;
      const V *g = reinterpret_cast<const V *>(gradients) + i * Shape::N_OUT * B;
      V *out = reinterpret_cast<V *>(result) + i * Shape::N_IN * B;
      for (int b = 0; b < B; b++) {
        V p[Shape::N_MONOMIALS], slope[Shape::N_MONOMIALS], sum[Shape::N_IN] = {};
        monomials(in, b, p);
        for (int q = 0; q < Shape::N_MONOMIALS; q++) {
          V s = {};
          for (int k = Shape::FIRST_TERM[q]; k < Shape::FIRST_TERM[q + 1]; k++)
            s += w[k * B + b] * g[Shape::OUTPUT[k] * B + b];
          slope[q] = s;
        }
        for (int q = Shape::N_MONOMIALS - 1; q >= 0; q--) {
          const int f = Shape::FACTOR[q], parent = Shape::PARENT[q];
          if (parent < 0) {
            sum[f] += slope[q];
          } else {
            sum[f] += slope[q] * p[parent];
            slope[parent] += slope[q] * in[f * B + b];
          }
        }
        for (int m = 0; m < Shape::N_IN; m++) out[m * B + b] = sum[m];
      }
    }
  }
};

}    // namespace mlip_kernels

#endif
