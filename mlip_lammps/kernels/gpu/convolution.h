/* The sum over neighbours. A warp processes a centre and a slice of channels, one channel per lane, with the sums in
   registers.

   With fewer than 32 channels, a warp processes several edges at a time. The adjoint writes the contribution of each edge
   to the gradient of its source to a separate row. gather_rows adds these rows in a fixed order, so that results are
   bitwise reproducible.

   Shape (generated): that of Stage, N_CHANNELS (a multiple of 32, or a power of two of at least 4), N_IN, N_MID, N_PATHS
   and
     accumulate(h, r, y, a)                            a += contribution of one edge
     accumulate_adjoint(h, a, r, dr, y, gh, gy, gt)    gradients of features, harmonics and t
   Radial table: [interval][slice][path][lane of the slice][power]. */

#ifndef MLIP_GPU_CONVOLUTION_H
#define MLIP_GPU_CONVOLUTION_H

#include "geometry.h"

namespace mlip_gpu {

template <typename Shape> struct Convolution {
  using T = typename Shape::T;
  using V = Lanes<T>;
  static constexpr int C = Shape::N_CHANNELS;
  static constexpr int SIZE = C < WARP ? C : WARP;    // lanes per edge
  static constexpr int TOGETHER = WARP / SIZE;        // edges per warp at a time
  static constexpr int SLICES = C / SIZE;
  static constexpr int P = Shape::N_PATHS;
  static constexpr int POWERS = Shape::DEGREE + 1;
  static constexpr int STRIDE = Stage<Shape>::STRIDE;

  /* Data of an edge that all its lanes read. */
  struct Edge {
    V row[STRIDE];    // Y_lm, t
    Lanes<int> source, coefficients;

    MLIP_DEVICE Edge(const Stage<Shape> &stage, const Lanes<int> &which, int slice)
    {
      load_shared_row<STRIDE>(stage.values, which * STRIDE, row);
      source = load_changing(stage.source, which);
      coefficients =
          ((load_changing(stage.interval, which) * SLICES + slice) * (P * SIZE) + lane() % SIZE) * POWERS;
    }
    MLIP_DEVICE const V &t() const { return row[Shape::N_Y]; }
  };

  /* Offset of a row; it exceeds the range of int in large systems. */
  MLIP_DEVICE static uint64_t row_of(int row, int n_components)
  {
    return static_cast<uint64_t>(row) * n_components * C;
  }

  MLIP_DEVICE static void features_of(const Edge &edge, const T *features, const Lanes<int> &channel, V *h)
  {
    MLIP_UNROLL
    for (int c = 0; c < Shape::N_IN; c++) h[c] = load(features, (edge.source * Shape::N_IN + c) * C + channel);
  }

  /* features (nodes, N_IN, channels) -> received (local, N_MID, channels) */
  MLIP_DEVICE static void forward(Place at, const Edges &edges, const T *features, const Table<T> &table, T *received,
                                  Stage<Shape> &stage)
  {
    const int i = at.warp;
    if (i >= edges.n_local) return;
    const int begin = edges.first[i], n = edges.first[i + 1] - begin;
    const Lanes<int> channel = lane() % SIZE + at.y * SIZE, place = lane() / SIZE;
    V a[Shape::N_MID];
    MLIP_UNROLL
    for (int c = 0; c < Shape::N_MID; c++) a[c] = T(0);
    for (int done = 0; done < n; done += WARP) {
      const int batch = n - done < WARP ? n - done : WARP;
      sync_warp();
      stage.fill(edges, i, begin + done, batch, table);
      sync_warp();
      for (int e = 0; e < batch; e += TOGETHER) {
        const Edge edge(stage, place + e, at.y);
        V h[Shape::N_IN], r[P];
        features_of(edge, features, channel, h);
        MLIP_UNROLL
        for (int p = 0; p < P; p++) {
          V c[POWERS];
          load_row<POWERS>(table.values, edge.coefficients + p * SIZE * POWERS, c);
          r[p] = polynomial<Shape::DEGREE>(c, edge.t());
        }
        Shape::accumulate(h, r, edge.row, a);
      }
    }
    MLIP_UNROLL
    for (int c = 0; c < Shape::N_MID; c++)
      store_if(place < 1, received + row_of(i, Shape::N_MID), channel + c * C, sum_groups<SIZE>(a[c]));
  }

  /* gradients (local, N_MID, channels) -> rows (edges, N_IN, channels): gradient of the source features of each edge;
     partial: see finish_edges */
  MLIP_DEVICE static void adjoint(Place at, const Edges &edges, const T *features, const Table<T> &table,
                                  const T *gradients, T *rows, T *partial, Stage<Shape> &stage)
  {
    const int i = at.warp;
    if (i >= edges.n_local) return;
    const int begin = edges.first[i], n = edges.first[i + 1] - begin;
    const Lanes<int> own = lane() % SIZE, channel = own + at.y * SIZE, place = lane() / SIZE;
    V a[Shape::N_MID];
    MLIP_UNROLL
    for (int c = 0; c < Shape::N_MID; c++) a[c] = load(gradients + row_of(i, Shape::N_MID), channel + c * C);
    for (int done = 0; done < n; done += WARP) {
      const int batch = n - done < WARP ? n - done : WARP;
      sync_warp();
      stage.fill(edges, i, begin + done, batch, table);
      sync_warp();
      for (int e = 0; e < batch; e += TOGETHER) {
        const Edge edge(stage, place + e, at.y);
        const Lanes<bool> is_edge = place + e < batch;
        const int first = begin + done + e;
        V h[Shape::N_IN], r[P], dr[P];
        features_of(edge, features, channel, h);
        MLIP_UNROLL
        for (int p = 0; p < P; p++) {
          V c[POWERS];
          load_row<POWERS>(table.values, edge.coefficients + p * SIZE * POWERS, c);
          r[p] = polynomial_slope<Shape::DEGREE>(c, edge.t(), dr[p]);
        }
        V gh[Shape::N_IN], gy[Shape::N_Y], gu[3], gt = T(0);
        MLIP_UNROLL
        for (int c = 0; c < Shape::N_IN; c++) gh[c] = T(0);
        MLIP_UNROLL
        for (int m = 0; m < Shape::N_Y; m++) gy[m] = T(0);
        Shape::accumulate_adjoint(h, a, r, dr, edge.row, gh, gy, gt);
        if (rows != nullptr) {
          MLIP_UNROLL
          for (int c = 0; c < Shape::N_IN; c++)
            store_if(is_edge, rows + row_of(first, Shape::N_IN), (place * Shape::N_IN + c) * C + channel, gh[c]);
        }
        Shape::harmonics_adjoint(edge.row, gy, gu);
        const V sums = sum_four<SIZE>(gu[0], gu[1], gu[2], gt);
        store_if(is_edge && own < 4, partial, ((place + first) * SLICES + at.y) * 4 + own, sums);
      }
    }
  }
};

/* result (nodes, width) = sum of the rows (edges, width) of all edges whose source is the node. A warp processes 16 bytes
   per lane. place: index of the edge of a candidate slot, or -1. */
template <typename T>
MLIP_DEVICE void gather_rows(Place at, int n_nodes, const int *in_first, const int *in_slot, const int *place,
                             const T *rows, int width, T *result)
{
  constexpr int N = 16 / sizeof(T);
  const int node = at.warp;
  if (node >= n_nodes) return;
  const Lanes<int> column = (lane() + at.y * WARP) * N;
  const Lanes<bool> is_column = column < width;
  const Lanes<int> from = select(is_column, column, Lanes<int>(0));
  Lanes<T> sum[N];
  MLIP_UNROLL
  for (int k = 0; k < N; k++) sum[k] = T(0);
  for (int entry = in_first[node]; entry < in_first[node + 1]; entry++) {
    const int slot = place[in_slot[entry]];
    if (slot < 0) continue;
    Lanes<T> values[N];
    load_row<N>(rows + static_cast<uint64_t>(slot) * width, from, values);
    MLIP_UNROLL
    for (int k = 0; k < N; k++) sum[k] += values[k];
  }
  MLIP_UNROLL
  for (int k = 0; k < N; k++) store_if(is_column, result + static_cast<uint64_t>(node) * width, from + k, sum[k]);
}

}    // namespace mlip_gpu

#endif
