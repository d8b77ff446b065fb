/* Products of small dense matrices: rows of numbers times a matrix of some vectors.

   Matrix: in panels of 4 vectors (of 2 where the processor has few registers), then of 2 and of 1 for the rest; within one
   [row][vector of the panel]. ``panel_widths`` of product.py says the same. */

#ifndef MLIP_KERNELS_PRODUCT_H
#define MLIP_KERNELS_PRODUCT_H

#include "common.h"

namespace mlip_kernels {

template <typename T, int N> struct Product {
  using V = typename VectorOf<T, N>::type;
  static constexpr int WIDEST = VECTOR_REGISTERS >= 32 ? 4 : 2;

  /* Rows whose numbers are ``step`` apart, each ``stride`` from the next. */
  struct Rows {
    const T *first;
    int stride, step;
  };

  /* out (n_rows, n_vectors) = in (n_rows, n_in) times the matrix; ``stride`` of the result in vectors */
  static void run(int n_rows, int n_in, int n_vectors, const Rows &in, const T *matrix, V *out, int stride)
  {
    int done = 0;
    for (; done + WIDEST <= n_vectors; done += WIDEST)
      panel<WIDEST>(n_rows, n_in, in, matrix + done * n_in * N, out + done, stride);
    if constexpr (WIDEST > 2)
      for (; done + 2 <= n_vectors; done += 2) panel<2>(n_rows, n_in, in, matrix + done * n_in * N, out + done, stride);
    for (; done < n_vectors; done++) panel<1>(n_rows, n_in, in, matrix + done * n_in * N, out + done, stride);
  }

  /* As many rows at a time as the registers hold; fewer at the end. */
  template <int C> static void panel(int n_rows, int n_in, const Rows &in, const T *matrix, V *out, int stride)
  {
    constexpr int R = VECTOR_REGISTERS >= 32 && C <= 2 || C == 1 ? 12 : 6;
    rows<R, C>(n_rows, n_in, in.first, in, matrix, out, stride);
  }

  template <int R, int C>
  static void rows(int n_rows, int n_in, const T *in, const Rows &shape, const T *matrix, V *out, int stride)
  {
    int r = 0;
    for (; r + R <= n_rows; r += R)
      block<R, C>(n_in, in + static_cast<int64_t>(r) * shape.stride, shape.stride, shape.step, matrix,
                  out + static_cast<int64_t>(r) * stride, stride);
    if constexpr (R > 1)
      if (r < n_rows)
        rows<R / 2, C>(n_rows - r, n_in, in + static_cast<int64_t>(r) * shape.stride, shape, matrix,
                       out + static_cast<int64_t>(r) * stride, stride);
  }

  template <int R, int C>
  static void block(int n_in, const T *in, int row, int step, const T *matrix, V *out, int stride)
  {
    V sum[R][C] = {};
    for (int k = 0; k < n_in; k++) {
      const V *const values = reinterpret_cast<const V *>(matrix) + k * C;
#pragma GCC unroll 12
      for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) sum[r][c] += in[r * row + k * step] * values[c];
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
      for (int c = 0; c < C; c++) out[r * stride + c] = sum[r][c];
  }
};

}    // namespace mlip_kernels

#endif
