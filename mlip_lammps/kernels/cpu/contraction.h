/* The symmetric contraction as a sparse polynomial with weights by element.

   Shape (generated): T, N (lanes), N_BLOCKS (vectors a component), N_IN, N_OUT, N_TERMS, and the unrolled steps for one vector
   of channels
     values(in, w, sum)              sum[m] += polynomial of output m
     gradients(in, w, up, down)      down[c * N_BLOCKS] += sum over m of up[m * N_BLOCKS] times its derivative
   Weights: [element][block][term][lane]. */

#ifndef MLIP_KERNELS_CONTRACTION_H
#define MLIP_KERNELS_CONTRACTION_H

#include "common.h"

#include <algorithm>

namespace mlip_kernels {

template <typename Shape> struct Contraction {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  static constexpr int B = Shape::N_BLOCKS;
  static constexpr int64_t TILE = 32;    // atoms whose channels of one block are done in turn: the weights stay near

  template <typename Step> static void for_each_block(int64_t n, const int64_t *species, const T *weights, Step &&step)
  {
    const int64_t n_tiles = (n + TILE - 1) / TILE;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++)
      for (int b = 0; b < B; b++)
        for (int64_t i = tile * TILE; i < std::min(n, (tile + 1) * TILE); i++)
          step(i, b, reinterpret_cast<const V *>(weights) + (species[i] * B + b) * Shape::N_TERMS);
  }

  /* messages (n, N_IN, channels) -> result (n, N_OUT, channels) */
  static void forward(int64_t n, const T *messages, const int64_t *species, const T *weights, T *result)
  {
    for_each_block(n, species, weights, [=](int64_t i, int b, const V *w) {
      V sum[Shape::N_OUT] = {};
      Shape::template values<V>(reinterpret_cast<const V *>(messages) + i * Shape::N_IN * B + b, w, sum);
      V *out = reinterpret_cast<V *>(result) + i * Shape::N_OUT * B + b;
      for (int m = 0; m < Shape::N_OUT; m++) out[m * B] = sum[m];
    });
  }

  /* gradients of the result -> gradients of the messages */
  static void backward(int64_t n, const T *messages, const int64_t *species, const T *weights, const T *gradients,
                       T *result)
  {
    for_each_block(n, species, weights, [=](int64_t i, int b, const V *w) {
      V *down = reinterpret_cast<V *>(result) + i * Shape::N_IN * B + b;
      for (int c = 0; c < Shape::N_IN; c++) down[c * B] = V{};
      Shape::template gradients<V>(reinterpret_cast<const V *>(messages) + i * Shape::N_IN * B + b, w,
                                   reinterpret_cast<const V *>(gradients) + i * Shape::N_OUT * B + b, down);
    });
  }
};

}    // namespace mlip_kernels

#endif
