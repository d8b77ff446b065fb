/* The symmetric contraction as a sparse polynomial. A warp processes a tile of atoms of one element and a slice of
   channels, one channel per lane, so that each weight is read once per tile.

   Shape (generated): T, N_CHANNELS, N_IN, N_OUT, N_TERMS, N_ELEMENTS, ATOMS and ADJOINT_ATOMS (per lane), and the
   unrolled steps
     values(in, weights, channel, sum)              sum[m] = polynomial of output m
     gradients(in, weights, channel, up, down)      down[c] = sum over m of up[m] times its derivative
   Weights: [element][term][channel]. */

#ifndef MLIP_GPU_CONTRACTION_H
#define MLIP_GPU_CONTRACTION_H

#include "lanes.h"

namespace mlip_gpu {

template <typename Shape> struct Contraction {
  using T = typename Shape::T;
  using V = Lanes<T>;
  static constexpr int C = Shape::N_CHANNELS;
  static constexpr int SIZE = C < WARP ? C : WARP;
  static constexpr int TOGETHER = WARP / SIZE;

  /* The rows of a warp's tile, ATOMS per lane. */
  template <int ATOMS> struct Rows {
    static constexpr int PER_TILE = ATOMS * TOGETHER;
    int element = -1, first = 0, end = 0;
    Lanes<int> channel;

    /* element_begin: first row of each element; rows are sorted by element. */
    MLIP_DEVICE Rows(Place at, const int *element_begin)
    {
      int tile = at.warp;
      for (int z = 0; z < Shape::N_ELEMENTS; z++) {
        const int begin = element_begin[z], n = (element_begin[z + 1] - begin + PER_TILE - 1) / PER_TILE;
        if (tile < n) {
          element = z, first = begin + tile * PER_TILE, end = element_begin[z + 1];
          break;
        }
        tile -= n;
      }
      channel = lane() % SIZE + at.y * SIZE;
    }
    MLIP_DEVICE Lanes<int> row(int k) const { return lane() / SIZE + (first + k * TOGETHER); }

    template <int N> MLIP_DEVICE void read(const T *values, V (*in)[ATOMS]) const
    {
      MLIP_UNROLL
      for (int k = 0; k < ATOMS; k++) {
        const Lanes<bool> is_row = row(k) < end;
        const Lanes<int> at = select(is_row, row(k), Lanes<int>(end - 1)) * (N * C) + channel;
        MLIP_UNROLL
        for (int c = 0; c < N; c++) in[c][k] = load(values, at + c * C);
      }
    }
    template <int N> MLIP_DEVICE void write(T *values, const V (*out)[ATOMS]) const
    {
      MLIP_UNROLL
      for (int k = 0; k < ATOMS; k++) {
        MLIP_UNROLL
        for (int c = 0; c < N; c++) store_if(row(k) < end, values, row(k) * (N * C) + (channel + c * C), out[c][k]);
      }
    }
    MLIP_DEVICE const T *weights(const T *all) const
    {
      return all + static_cast<uint64_t>(element) * Shape::N_TERMS * C;
    }
  };

  /* messages (local, N_IN, channels) -> result (local, N_OUT, channels) */
  MLIP_DEVICE static void forward(Place at, const int *element_begin, const T *messages, const T *weights, T *result)
  {
    const Rows<Shape::ATOMS> rows(at, element_begin);
    if (rows.element < 0) return;
    V in[Shape::N_IN][Shape::ATOMS], sum[Shape::N_OUT][Shape::ATOMS];
    rows.template read<Shape::N_IN>(messages, in);
    Shape::values(in, rows.weights(weights), rows.channel, sum);
    rows.template write<Shape::N_OUT>(result, sum);
  }

  /* gradients of the result -> gradients of the messages */
  MLIP_DEVICE static void adjoint(Place at, const int *element_begin, const T *messages, const T *weights,
                                  const T *gradients, T *result)
  {
    constexpr int ATOMS = Shape::ADJOINT_ATOMS;
    const Rows<ATOMS> rows(at, element_begin);
    if (rows.element < 0) return;
    V in[Shape::N_IN][ATOMS], up[Shape::N_OUT][ATOMS], down[Shape::N_IN][ATOMS];
    rows.template read<Shape::N_IN>(messages, in);
    rows.template read<Shape::N_OUT>(gradients, up);
    Shape::gradients(in, rows.weights(weights), rows.channel, up, down);
    rows.template write<Shape::N_IN>(result, down);
  }
};

}    // namespace mlip_gpu

#endif
