/* The radial network of a layer up to its last hidden functions, with derivatives by distance in the same pass.

   Bessel functions and cutoff are in double, the hidden layers in T. The matrix after the last hidden layer belongs to
   the sum over neighbours.

   Shape (generated): T, N (lanes of T), N_DOUBLE (lanes of double), N_BASIS, WIDTH (of the result, whole vectors), N_LAYERS,
   LARGEST (widest hidden layer), CUTOFF_POWER, IS_CUTOFF_ON_BASIS, and for each hidden layer ROWS, COLUMNS (of its matrix, whole
   vectors) and MATRIX (where it begins). Matrices: as product.h has them, with the factors of basis and activation in them. */

#ifndef MLIP_KERNELS_NETWORK_H
#define MLIP_KERNELS_NETWORK_H

#include "product.h"
#include "vector_math.h"

#include <algorithm>

namespace mlip_kernels {

template <typename Shape> struct Network {
  using T = typename Shape::T;
  static constexpr int N = Shape::N;
  using V = typename VectorOf<T, N>::type;
  using Multiply = Product<T, N>;
  using Rows = typename Multiply::Rows;
  static constexpr int W = Shape::WIDTH;
  static constexpr int TILE = 192 / static_cast<int>(sizeof(T));    // edges: whole sixes, twelves and vectors

  struct alignas(64) Tile {
    double r[TILE], envelope[TILE], envelope_slope[TILE];
    T basis[Shape::N_BASIS][TILE], basis_slopes[Shape::N_BASIS][TILE];
    T buffers[2][TILE * Shape::LARGEST], slope_buffers[2][TILE * Shape::LARGEST];
  };

  /* edge vectors -> functions (n_edges, WIDTH) and, unless null, their derivatives (1/angstrom) */
  static void run(int64_t n_edges, const double *vectors, const double *wave_numbers, double cutoff, const T *matrices,
                  T *values, T *slopes)
  {
    const int64_t n_tiles = (n_edges + TILE - 1) / TILE;
#pragma omp parallel
    {
      Tile tile;
#pragma omp for schedule(static)
      for (int64_t k = 0; k < n_tiles; k++) {
        const int64_t edge = k * TILE;
        const int n = static_cast<int>(std::min<int64_t>(TILE, n_edges - edge));
        if (slopes) run_tile<true>(tile, n, vectors + 3 * edge, wave_numbers, cutoff, matrices, values + edge * W,
                                   slopes + edge * W);
        else run_tile<false>(tile, n, vectors + 3 * edge, wave_numbers, cutoff, matrices, values + edge * W, nullptr);
      }
    }
  }

  template <bool WITH_SLOPES>
  static void run_tile(Tile &tile, int n, const double *vectors, const double *wave_numbers, double cutoff,
                       const T *matrices, T *values, T *slopes)
  {
    for (int e = 0; e < TILE; e++) {
      const double *const v = vectors + 3 * std::min(e, n - 1);
      tile.r[e] = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    }
    work_out_basis<WITH_SLOPES>(tile, wave_numbers, cutoff);
    Rows in{tile.basis[0], 1, TILE}, in_slopes{tile.basis_slopes[0], 1, TILE};
    for (int l = 0; l < Shape::N_LAYERS; l++) {
      const int width = Shape::COLUMNS[l];
      T *const out = tile.buffers[l % 2], *const out_slopes = tile.slope_buffers[l % 2];
      const T *const matrix = matrices + Shape::MATRIX[l];
      Multiply::run(TILE, Shape::ROWS[l], width / N, in, matrix, reinterpret_cast<V *>(out), width / N);
      if (WITH_SLOPES)
        Multiply::run(TILE, Shape::ROWS[l], width / N, in_slopes, matrix, reinterpret_cast<V *>(out_slopes), width / N);
      activate<WITH_SLOPES>(TILE * width / N, reinterpret_cast<V *>(out), reinterpret_cast<V *>(out_slopes));
      in = Rows{out, width, 1};
      in_slopes = Rows{out_slopes, width, 1};
    }
    for (int e = 0; e < n; e++) {
      write(in, e, values + e * W);
      if (WITH_SLOPES) write(in_slopes, e, slopes + e * W);
      if constexpr (!Shape::IS_CUTOFF_ON_BASIS) {
        const T envelope = static_cast<T>(tile.envelope[e]), envelope_slope = static_cast<T>(tile.envelope_slope[e]);
        for (int k = 0; k < W; k++) {
          if (WITH_SLOPES) slopes[e * W + k] = slopes[e * W + k] * envelope + values[e * W + k] * envelope_slope;
          values[e * W + k] *= envelope;
        }
      }
    }
  }

  static void write(const Rows &from, int e, T *to)
  {
    if constexpr (Shape::N_LAYERS > 0) {
      std::copy_n(from.first + e * from.stride, W, to);
    } else {
      for (int k = 0; k < W; k++) to[k] = k < Shape::N_BASIS ? from.first[e * from.stride + k * from.step] : T(0);
    }
  }

  /* sin(w r) / r for each wave number, and the polynomial cutoff, which is exactly zero from the cutoff on */
  template <bool WITH_SLOPES> static void work_out_basis(Tile &tile, const double *wave_numbers, double cutoff)
  {
    constexpr int L = Shape::N_DOUBLE, POWER = Shape::CUTOFF_POWER;
    constexpr double P = POWER;
    using Doubles = typename VectorOf<double, L>::type;
    using Values = typename VectorOf<T, L>::type;
    for (int e = 0; e < TILE; e += L) {
      Doubles r = *reinterpret_cast<const Doubles *>(tile.r + e);
      const Doubles one = 1.0 - Doubles{}, end = cutoff - Doubles{};
      r = r > end ? end : r;    // leaves a NaN one
      const Doubles x = r / cutoff, inverse = 1.0 / r;
      Doubles before = one;    // x^(p - 1)
      for (int k = 1; k < POWER; k++) before *= x;
      const Doubles rest = 1.0 - x;
      Doubles series{};    // (k + 1)(k + 2)/2 x^k: the root at the cutoff is a factor, so that no digits cancel
      for (int k = POWER - 1; k >= 0; k--) series = series * x + 0.5 * (k + 1) * (k + 2);
      const Doubles envelope = x >= one ? Doubles{} : rest * rest * rest * series;
      const Doubles envelope_slope = -P * (P + 1.0) * (P + 2.0) / 2.0 / cutoff * before * rest * rest;
      *reinterpret_cast<Doubles *>(tile.envelope + e) = envelope;
      *reinterpret_cast<Doubles *>(tile.envelope_slope + e) = envelope_slope;
      for (int k = 0; k < Shape::N_BASIS; k++) {
        Doubles sine, cosine;
        sine_and_cosine<L>(wave_numbers[k] * r, sine, cosine);
        const Doubles value = sine * inverse, slope = (wave_numbers[k] * cosine - value) * inverse;
        const Doubles cut = Shape::IS_CUTOFF_ON_BASIS ? value * envelope : value;
        const Doubles cut_slope =
            Shape::IS_CUTOFF_ON_BASIS ? slope * envelope + value * envelope_slope : slope;
        *reinterpret_cast<Values *>(tile.basis[k] + e) = __builtin_convertvector(cut, Values);
        if (WITH_SLOPES) *reinterpret_cast<Values *>(tile.basis_slopes[k] + e) = __builtin_convertvector(cut_slope, Values);
      }
    }
  }

  /* z / (1 + exp(-z)) in place, and its derivative */
  template <bool WITH_SLOPES> static void activate(int n_vectors, V *values, V *slopes)
  {
    for (int k = 0; k < n_vectors; k++) {
      const V z = values[k], gate = logistic<T, N>(z), value = z * gate;
      values[k] = value;
      if (WITH_SLOPES) slopes[k] *= gate + value * (T(1) - gate);
    }
  }
};

/* Radial values of the edges of a tile of the convolution: the network's functions times its last matrix. */
template <typename Shape> struct FromNetwork {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;

  struct Source {
    const T *values, *slopes, *matrix;    // (n_edges, WIDTH_RADIAL) twice; matrix of each group of blocks
  };

  static constexpr int TILE_FACTOR = 1;

  static double slope_scale(const Source &) { return 1.0; }

  template <typename Chunks> void prepare(const Source &, const Chunks *, int64_t, int) {}

  template <bool WITH_SLOPES>
  void evaluate(const Source &source, int64_t edge, int n, int block, V *values, V *slopes) const
  {
    constexpr int SIZE = Shape::GROUP * Shape::N_PATHS, IN = Shape::N_HIDDEN, STRIDE = Shape::HIDDEN_STRIDE;
    using Multiply = Product<T, Shape::N>;
    const T *const matrix = source.matrix + static_cast<int64_t>(block) * Shape::N_PATHS * IN * Shape::N;
    Multiply::run(n, IN, SIZE, {source.values + edge * STRIDE, STRIDE, 1}, matrix, values, SIZE);
    if (WITH_SLOPES) Multiply::run(n, IN, SIZE, {source.slopes + edge * STRIDE, STRIDE, 1}, matrix, slopes, SIZE);
  }
};

/* Functions of the edges of a chunk of the moments. */
template <typename Shape> struct MomentsFromNetwork {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;

  struct Source {
    const T *values, *slopes;    // (n_edges, functions)
  };

  const V *values, *slopes;

  static double slope_scale(const Source &) { return 1.0; }

  template <typename Edges> void prepare(const Source &source, const Edges &, int64_t edge)
  {
    values = reinterpret_cast<const V *>(source.values) + edge * Shape::N_BLOCKS;
    slopes = reinterpret_cast<const V *>(source.slopes) + edge * Shape::N_BLOCKS;
  }

  V value(const Source &, int e, int b) const { return values[e * Shape::N_BLOCKS + b]; }

  void value_and_slope(const Source &, int e, int b, V &value, V &slope) const
  {
    value = values[e * Shape::N_BLOCKS + b];
    slope = slopes[e * Shape::N_BLOCKS + b];
  }
};

}    // namespace mlip_kernels

#endif
