/* Sums of radial functions times spherical harmonics over the neighbours of each element. A warp processes a centre and
   32 functions, one function per lane.

   Sums of one element stay in registers and are added to memory when the element changes; neighbours sorted by element
   change it least often.

   Shape (generated): that of Stage, N_FUNCTIONS (a multiple of 32), N_ELEMENTS.
   Radial table: [interval][function][power]. */

#ifndef MLIP_GPU_MOMENTS_H
#define MLIP_GPU_MOMENTS_H

#include "geometry.h"

namespace mlip_gpu {

template <typename Shape> struct Moments {
  using T = typename Shape::T;
  using V = Lanes<T>;
  static constexpr int F = Shape::N_FUNCTIONS;
  static constexpr int SLICES = F / WARP;
  static constexpr int POWERS = Shape::DEGREE + 1;
  static constexpr int STRIDE = Stage<Shape>::STRIDE;
  static constexpr int BETWEEN = Shape::N_ELEMENTS * F;    // stride between harmonics

  static constexpr uint64_t WIDTH = Shape::N_Y * BETWEEN;

  MLIP_DEVICE static Lanes<int> start(int element, int slice) { return lane() + (element * F + slice * WARP); }

  /* moments (local, N_Y, N_ELEMENTS, N_FUNCTIONS) must be zero on entry */
  MLIP_DEVICE static void forward(Place at, const Edges &edges, const int *species, const Table<T> &table, T *moments,
                                  Stage<Shape> &stage)
  {
    const int i = at.warp;
    if (i >= edges.n_local) return;
    const int begin = edges.first[i], n = edges.first[i + 1] - begin;
    int element = -1;
    V sum[Shape::N_Y];
    for (int done = 0; done < n; done += WARP) {
      const int batch = n - done < WARP ? n - done : WARP;
      sync_warp();
      stage.fill(edges, i, begin + done, batch, table);
      sync_warp();
      for (int e = 0; e < batch; e++) {
        const int other = species[stage.source[e]];
        if (other != element) {
          if (element >= 0) add(sum, moments + i * WIDTH, start(element, at.y));
          element = other;
          MLIP_UNROLL
          for (int m = 0; m < Shape::N_Y; m++) sum[m] = T(0);
        }
        V row[STRIDE], c[POWERS];
        load_shared_row<STRIDE>(stage.values, Lanes<int>(e * STRIDE), row);
        load_row<POWERS>(table.values, (lane() + (stage.interval[e] * F + at.y * WARP)) * POWERS, c);
        const V b = polynomial<Shape::DEGREE>(c, row[Shape::N_Y]);
        MLIP_UNROLL
        for (int m = 0; m < Shape::N_Y; m++) sum[m] += b * row[m];
      }
    }
    if (element >= 0) add(sum, moments + i * WIDTH, start(element, at.y));
  }

  MLIP_DEVICE static void add(const V *sum, T *moments, const Lanes<int> &at)
  {
    MLIP_UNROLL
    for (int m = 0; m < Shape::N_Y; m++)
      store(moments, at + m * BETWEEN, load_changing(moments, at + m * BETWEEN) + sum[m]);
  }

  /* partial: see finish_edges */
  MLIP_DEVICE static void adjoint(Place at, const Edges &edges, const int *species, const Table<T> &table,
                                  const T *gradients, T *partial, Stage<Shape> &stage)
  {
    const int i = at.warp;
    if (i >= edges.n_local) return;
    const int begin = edges.first[i], n = edges.first[i + 1] - begin;
    int element = -1;
    V g[Shape::N_Y];
    for (int done = 0; done < n; done += WARP) {
      const int batch = n - done < WARP ? n - done : WARP;
      sync_warp();
      stage.fill(edges, i, begin + done, batch, table);
      sync_warp();
      for (int e = 0; e < batch; e++) {
        const int other = species[stage.source[e]];
        if (other != element) {
          element = other;
          MLIP_UNROLL
          for (int m = 0; m < Shape::N_Y; m++) g[m] = load(gradients + i * WIDTH, start(element, at.y) + m * BETWEEN);
        }
        V row[STRIDE], c[POWERS], gy[Shape::N_Y], gu[3], slope, along = T(0);
        load_shared_row<STRIDE>(stage.values, Lanes<int>(e * STRIDE), row);
        load_row<POWERS>(table.values, (lane() + (stage.interval[e] * F + at.y * WARP)) * POWERS, c);
        const V b = polynomial_slope<Shape::DEGREE>(c, row[Shape::N_Y], slope);
        MLIP_UNROLL
        for (int m = 0; m < Shape::N_Y; m++) {
          along += g[m] * row[m];
          gy[m] = g[m] * b;
        }
        Shape::harmonics_adjoint(row, gy, gu);
        const V sums = sum_four<WARP>(gu[0], gu[1], gu[2], slope * along);
        store_if(lane() < 4, partial, lane() + ((begin + done + e) * SLICES + at.y) * 4, sums);
      }
    }
  }
};

}    // namespace mlip_gpu

#endif
