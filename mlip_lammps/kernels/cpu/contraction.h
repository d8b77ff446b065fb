/* The symmetric contraction as a sparse polynomial with weights by element.

   Shape (generated): T, N (lanes), N_BLOCKS (vectors a component), N_IN, N_OUT, N_TERMS, N_ELEMENTS (1: the same weights for
   all), and the unrolled steps for one vector of channels
     values(in, w, sum)              sum[m] += polynomial of output m
     gradients(in, w, up, down)      down[c] = sum over m of up[m * N_BLOCKS] times its derivative
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

  template <typename Fetch, typename Step>
  static void for_each_block(int64_t n, const int64_t *species, const T *weights, Fetch &&fetch, Step &&step)
  {
    const int64_t n_tiles = (n + TILE - 1) / TILE;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++)
      for (int b = 0; b < B; b++) {
        const int64_t end = std::min(n, (tile + 1) * TILE);
        for (int64_t i = tile * TILE; i < end; i++) {
          fetch(std::min(i + 1, end - 1), b);
          const int64_t z = Shape::N_ELEMENTS == 1 ? 0 : species[i];
          step(i, b, reinterpret_cast<const V *>(weights) + (z * B + b) * Shape::N_TERMS);
        }
      }
  }

  /* Blocks of one atom stand far apart, often too many to a set of the first cache level: into the second one. */
  template <int COMPONENTS> static void fetch_blocks(const V *first)
  {
    for (int c = 0; c < COMPONENTS; c++) __builtin_prefetch(first + c * B, 0, 2);
  }

  /* messages (n, N_IN, channels) -> result (n, N_OUT, channels) */
  static void forward(int64_t n, const T *messages, const int64_t *species, const T *weights, T *result)
  {
    const V *const in = reinterpret_cast<const V *>(messages);
    V *const out = reinterpret_cast<V *>(result);
    for_each_block(
        n, species, weights, [=](int64_t i, int b) { fetch_blocks<Shape::N_IN>(in + i * Shape::N_IN * B + b); },
        [=](int64_t i, int b, const V *w) {
          V sum[Shape::N_OUT] = {};
          Shape::template values<V>(in + i * Shape::N_IN * B + b, w, sum);
          for (int m = 0; m < Shape::N_OUT; m++) out[(i * Shape::N_OUT + m) * B + b] = sum[m];
        });
  }

  /* gradients of the result -> gradients of the messages */
  static void backward(int64_t n, const T *messages, const int64_t *species, const T *weights, const T *gradients,
                       T *result)
  {
    const V *const in = reinterpret_cast<const V *>(messages), *const up = reinterpret_cast<const V *>(gradients);
    V *const down = reinterpret_cast<V *>(result);
    for_each_block(
        n, species, weights,
        [=](int64_t i, int b) {
          fetch_blocks<Shape::N_IN>(in + i * Shape::N_IN * B + b);
          fetch_blocks<Shape::N_OUT>(up + i * Shape::N_OUT * B + b);
        },
        [=](int64_t i, int b, const V *w) {
          V sums[Shape::N_IN];
          Shape::template gradients<V>(in + i * Shape::N_IN * B + b, w, up + i * Shape::N_OUT * B + b, sums);
          for (int c = 0; c < Shape::N_IN; c++) down[(i * Shape::N_IN + c) * B + b] = sums[c];
        });
  }
};

}    // namespace mlip_kernels

#endif
