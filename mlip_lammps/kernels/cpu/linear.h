/* Linear maps of irreps: products of matrices whose rows are (atom, m), picked by element where the map depends on it.

   Shape (generated): T, N (lanes), WIDTH_IN, WIDTH_OUT (numbers an atom), N_ELEMENTS (1: the same for all), N_BLOCKS, COVERS (every
   number of the result is written by one block), and for each block IN_START, OUT_START, DIM, ROWS, COLUMNS (of its matrix), PANEL
   (vectors of its columns that are worked on together) and MATRIX (where it begins among those of an element, MATRIX[N_BLOCKS] in
   all). Matrix: [panel][row][column of the panel]. */

#ifndef MLIP_KERNELS_LINEAR_H
#define MLIP_KERNELS_LINEAR_H

#include "common.h"

#include <algorithm>

namespace mlip_kernels {

template <typename Shape> struct Linear {
  using T = typename Shape::T;
  static constexpr int N = Shape::N;
  using V = typename VectorOf<T, N>::type;
  static constexpr int64_t TILE = 48;    // atoms: rows in whole sixes and eights
  static constexpr int LINE = 64 / static_cast<int>(sizeof(T));

  /* result rows (+)= rows of ``in`` times a panel of the matrix: R rows and C vectors are kept in registers */
  template <int R, int C> static void panel(int n_in, const T *const *in, const T *matrix, T *const *out)
  {
    V sum[R][C] = {};
    for (int k = 0; k < n_in; k++) {
      const V *const row = reinterpret_cast<const V *>(matrix) + static_cast<int64_t>(k) * C;
#pragma GCC unroll 12
      for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) sum[r][c] += in[r][k] * row[c];
    }
    for (int r = 0; r < R; r++)
      for (int c = 0; c < C; c++) {
        V *const place = reinterpret_cast<V *>(out[r]) + c;
        if constexpr (Shape::COVERS) *place = sum[r][c];
        else *place += sum[r][c];
      }
  }

  /* R rows at a time stay near while the panels stream by, and the next ones are fetched; fewer rows at the end. */
  template <int R, int C>
  static void product(int n_rows, const T *const *in, T *const *out, int n_in, int n_columns, const T *matrix)
  {
    const int n_panels = n_columns / (C * N), share = ((n_in + LINE - 1) / LINE + n_panels - 1) / n_panels;
    T *place[R];
    int r = 0;
    for (; r + R <= n_rows; r += R)
      for (int p = 0; p < n_panels; p++) {
        for (int q = 0; q < R; q++) {
          const T *const next = in[std::min(r + R + q, n_rows - 1)];
          for (int line = p * share; line < (p + 1) * share; line++) __builtin_prefetch(next + line * LINE);
          place[q] = out[r + q] + p * C * N;
          __builtin_prefetch(place[q] + 2 * C * N, 1);
        }
        panel<R, C>(n_in, in + r, matrix + static_cast<int64_t>(p) * n_in * C * N, place);
      }
    if constexpr (R > 1)
      if (r < n_rows) product<R / 2, C>(n_rows - r, in + r, out + r, n_in, n_columns, matrix);
  }

  static void block(int k, const int64_t *atoms, int n_atoms, const T *features, const T *matrices, T *result)
  {
    constexpr int MOST = TILE * Shape::MAX_DIM;
    const T *in[MOST];
    T *out[MOST];
    const int dim = Shape::DIM[k];
    int n_rows = 0;
    for (int a = 0; a < n_atoms; a++)
      for (int m = 0; m < dim; m++, n_rows++) {
        in[n_rows] = features + atoms[a] * Shape::WIDTH_IN + Shape::IN_START[k] + m * Shape::ROWS[k];
        out[n_rows] = result + atoms[a] * Shape::WIDTH_OUT + Shape::OUT_START[k] + m * Shape::COLUMNS[k];
      }
    const T *const matrix = matrices + Shape::MATRIX[k];
    constexpr bool HAS_MANY = VECTOR_REGISTERS >= 32;
    const int n_in = Shape::ROWS[k], n_columns = Shape::COLUMNS[k], width = Shape::PANEL[k];
    if constexpr (HAS_MANY)
      if (width == 4) return product<6, 4>(n_rows, in, out, n_in, n_columns, matrix);
    if (width == 2) product<HAS_MANY ? 8 : 6, 2>(n_rows, in, out, n_in, n_columns, matrix);
    else product<12, 1>(n_rows, in, out, n_in, n_columns, matrix);
  }

  static void run(int64_t n, const T *features, const int64_t *species, const T *matrices, T *result)
  {
    const int64_t n_tiles = (n + TILE - 1) / TILE;
    if (!Shape::COVERS) std::fill_n(result, n * Shape::WIDTH_OUT, T(0));
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < n_tiles; tile++) {
      const int64_t begin = tile * TILE, end = std::min(n, begin + TILE);
      for (int64_t z = 0; z < Shape::N_ELEMENTS; z++) {
        int64_t atoms[TILE];
        int n_atoms = 0;
        for (int64_t i = begin; i < end; i++)
          if (Shape::N_ELEMENTS == 1 || species[i] == z) atoms[n_atoms++] = i;
        if (n_atoms == 0) continue;
        for (int k = 0; k < Shape::N_BLOCKS; k++)
          block(k, atoms, n_atoms, features, matrices + z * Shape::MATRIX[Shape::N_BLOCKS], result);
      }
    }
  }
};

}    // namespace mlip_kernels

#endif
