/* The edge convolution: gather, multiply and add over the edges of a centre; the adjoint the same way.

   Centres are taken in tiles. Radial functions of a tile's edges are worked out for a group of channels at a time.

   Shape (generated): that of Geometry, T, N (lanes), N_BLOCKS, GROUP (blocks worked on together), N_IN, N_MID, N_PATHS, N_G,
   Radials (FromTable or FromNetwork, with its constants), and the unrolled steps
     couplings(y, g, n)                 sums of Y_lm with constants: one for each pair of components that a path couples
     for_each_pass(step)                step(Pass) for groups of components of the message that fit the registers
       Pass::accumulate(h, r, g, a)     a += what one edge gives, for one vector of channels
       Pass::store(a, out)
     accumulate_adjoint(h, a, r, dr, g, gh, gy, gr)       for the blocks of a group
*/

#ifndef MLIP_KERNELS_CONVOLUTION_H
#define MLIP_KERNELS_CONVOLUTION_H

#include "geometry.h"

namespace mlip_kernels {

/* Radial values of the edges of a tile from a table: edge after edge in the order of their intervals, so that the
   coefficients of an interval are fetched once a tile. Shape: DEGREE. Table: [interval][block][path][power][lane]. */
template <typename Shape> struct FromTable {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  using Source = Table<T>;
  static constexpr int B = Shape::N_BLOCKS;
  static constexpr int D = Shape::DEGREE;
  static constexpr int SIZE = Shape::GROUP * Shape::N_PATHS;
  static constexpr int TOGETHER = 3;    // edges whose radial functions are worked out together
  static constexpr int TILE_FACTOR = std::min(4, Shape::N_TABLES);    // as many edges share an interval

  Buffer<int32_t> interval, order, ends;
  Buffer<T> t;

  static double slope_scale(const Source &table) { return table.slope_scale(); }

  template <typename Chunks> void prepare(const Source &table, const Chunks *chunks, int64_t edge, int n)
  {
    int32_t *const intervals = interval.resize(n);
    T *const places = t.resize(n);
    for (int start = 0; start < n; start += CHUNK)
      table.places(chunks[start / CHUNK].r, edge + start, std::min(CHUNK, n - start), intervals + start,
                   places + start);
    sort(n, 1 + (Shape::HAS_PAIRS ? *std::max_element(intervals, intervals + n) : static_cast<int>(table.n_intervals)));
  }

  /* By interval; those of all tables are numbered in one. */
  void sort(int n, int n_intervals)
  {
    int32_t *const end = ends.resize(n_intervals + 1), *const edge = order.resize(n);
    const int32_t *const of = interval.data();
    std::fill_n(end, n_intervals + 1, 0);
    for (int e = 0; e < n; e++) end[of[e] + 1]++;
    for (int k = 0; k < n_intervals; k++) end[k + 1] += end[k];
    for (int e = 0; e < n; e++) edge[end[of[e]]++] = e;
  }

  template <bool WITH_SLOPES>
  void evaluate(const Source &table, int64_t, int n, int block, V *values, V *slopes) const
  {
    for (int k = 0; k < n;) {
      // sorting has moved the beginning of each interval to its end
      const int32_t of = interval.data()[order.data()[k]], end = ends.data()[of];
      const V *const c = reinterpret_cast<const V *>(table.values) +
          (static_cast<int64_t>(of) * B + block) * Shape::N_PATHS * (D + 1);
      for (; k + TOGETHER <= end; k += TOGETHER)
        evaluate_edges<WITH_SLOPES, TOGETHER>(c, order.data() + k, values, slopes);
      for (; k < end; k++) evaluate_edges<WITH_SLOPES, 1>(c, order.data() + k, values, slopes);
    }
  }

  /* R edges of one interval at a time: a coefficient is fetched once for them. */
  template <bool WITH_SLOPES, int R>
  void evaluate_edges(const V *c, const int32_t *edges, V *values, V *slopes) const
  {
    T at[R];
    V *value[R], *slope[R];
    for (int k = 0; k < R; k++) {
      const size_t place = static_cast<size_t>(edges[k]) * SIZE;
      at[k] = t.data()[edges[k]];
      value[k] = values + place;
      slope[k] = WITH_SLOPES ? slopes + place : nullptr;
    }
    for (int q = 0; q < SIZE; q++, c += D + 1) {
      V sums[R], derivatives[R];
      if constexpr (WITH_SLOPES) polynomial_slopes<D, R>(c, at, sums, derivatives);
      else polynomials<D, R>(c, at, sums);
      for (int k = 0; k < R; k++) {
        value[k][q] = sums[k];
        if constexpr (WITH_SLOPES) slope[k][q] = derivatives[k];
      }
    }
  }
};

template <typename Shape> struct Convolution {
  using T = typename Shape::T;
  using V = typename VectorOf<T, Shape::N>::type;
  using Sums = EdgeSums<Shape>;
  using Radials = typename Shape::template Radials<Shape>;
  using Source = typename Radials::Source;
  static constexpr int B = Shape::N_BLOCKS;
  static constexpr int P = Shape::N_PATHS;
  static constexpr int GROUP = Shape::GROUP;
  static constexpr int G = (Shape::N_G + Shape::N - 1) / Shape::N * Shape::N;    // couplings of an edge, in whole vectors
  static constexpr int AHEAD = 4;       // edges: how far ahead the features of sources are fetched
  // radial values and slopes of a tile fill half of a second cache level of a megabyte
  static constexpr int TILE_EDGES = Radials::TILE_FACTOR *
      std::max(128, std::min<int>(1024, (512 << 10) / (GROUP * P * 2 * static_cast<int>(sizeof(V)))));

  /* One tile: chunks of edges, radial functions of one group of channels. */
  struct Tile {
    int n = 0;
    Buffer<Geometry<Shape>> chunks;
    Radials radials;
    Buffer<T> g, by_pair;        // (edge, pair of components: G), (pair, edge of a chunk)
    Buffer<V> r, dr;             // (edge, block of the group, path)
    Buffer<double> gradients;    // (edge, Sums::WIDTH)

    /* n_edges from ``edge`` on */
    void prepare(const double *vectors, int64_t edge, int64_t n_edges, const Source &source)
    {
      n = static_cast<int>(n_edges);
      Geometry<Shape> *const chunk = chunks.resize((n + CHUNK - 1) / CHUNK);
      T *const couplings = g.resize(static_cast<size_t>(n + CHUNK) * G);    // whole chunks
      T(*const of_chunk)[CHUNK] = reinterpret_cast<T(*)[CHUNK]>(by_pair.resize(G * CHUNK));
      for (int start = 0; start < n; start += CHUNK) {
        Geometry<Shape> &c = chunk[start / CHUNK];
        c.prepare(vectors + 3 * (edge + start), std::min(CHUNK, n - start));
        Shape::couplings(c.y, of_chunk, c.n_rounded);
        turn(of_chunk, c.n_rounded, couplings + start * G);
      }
      radials.prepare(source, chunk, edge, n);
    }

    /* Couplings by pair of components -> by edge, for n edges, a multiple of the lanes. */
    static void turn(const T (*by_pair)[CHUNK], int n, T *by_edge)
    {
      for (int e = 0; e < n; e += Shape::N)
        for (int k = 0; k < G; k += Shape::N) {
          V v[Shape::N];
          for (int m = 0; m < Shape::N; m++) v[m] = *reinterpret_cast<const V *>(by_pair[k + m] + e);
          transpose<T, Shape::N>(v);
          for (int m = 0; m < Shape::N; m++) *reinterpret_cast<V *>(by_edge + (e + m) * G + k) = v[m];
        }
    }

    template <bool WITH_SLOPES> void radial(const Source &source, int64_t edge, int block)
    {
      r.resize(static_cast<size_t>(n) * GROUP * P);
      if (WITH_SLOPES) dr.resize(static_cast<size_t>(n) * GROUP * P);
      radials.template evaluate<WITH_SLOPES>(source, edge, n, block, r.data(), dr.data());
    }
  };

  // not inlined: the compiler would look up where the thread keeps it for every edge
  __attribute__((noinline)) static Tile &tile_of_this_thread()
  {
    static thread_local Tile tile;
    return tile;
  }

  /* features (n_sources, N_IN, channels), source[e] a row of it -> messages (n_local, N_MID, channels) */
  static void forward(int64_t n_local, int64_t n_edges, const T *features, const double *vectors,
                      const int64_t *centre, const int64_t *source, const Source &radial, T *messages)
  {
    std::vector<int64_t> first, starts;
    edge_ranges(n_local, n_edges, centre, first);
    tile_starts(n_local, first, TILE_EDGES, starts);
    const int64_t n_tiles = static_cast<int64_t>(starts.size()) - 1;
#pragma omp parallel
    {
      Tile &tile = tile_of_this_thread();
#pragma omp for schedule(static)
      for (int64_t k = 0; k < n_tiles; k++) {
        const int64_t edge = first[starts[k]];
        tile.prepare(vectors, edge, first[starts[k + 1]] - edge, radial);
        for (int block = 0; block < B; block += GROUP) {
          tile.template radial<false>(radial, edge, block);
          for (int64_t i = starts[k]; i < starts[k + 1]; i++)
            for (int b = 0; b < GROUP; b++)
              sum_over_edges(tile, static_cast<int>(first[i] - edge), static_cast<int>(first[i + 1] - edge), b,
                             reinterpret_cast<const V *>(features) + block + b, source + edge,
                             reinterpret_cast<V *>(messages) + i * Shape::N_MID * B + block + b);
        }
      }
    }
  }

  /* Ask for the blocks of a group of one row of features. */
  static void fetch(const V *row)
  {
    for (int k = 0; k < Shape::N_IN; k++)
      for (size_t byte = 0; byte < GROUP * sizeof(V); byte += 64)
        __builtin_prefetch(reinterpret_cast<const char *>(row + k * B) + byte);
  }

  static void sum_over_edges(const Tile &tile, int begin, int end, int b, const V *h, const int64_t *source, V *out)
  {
    Shape::for_each_pass([=, &tile](auto pass) {
      using Pass = decltype(pass);
      V a[Pass::SIZE] = {};
      for (int e = begin; e < end; e++) {
        if (Pass::FIRST && b == 0) fetch(h + source[std::min(e + AHEAD, tile.n - 1)] * Shape::N_IN * B);
        Pass::template accumulate<V>(h + source[e] * Shape::N_IN * B, tile.r.data() + (e * GROUP + b) * P,
                                     tile.g.data() + e * G, a);
      }
      Pass::template store<V>(a, out);
    });
  }

  /* Gradients of the messages -> of the edge vectors and, unless null, of the features (which start from zero). */
  static void backward(int64_t n_local, int64_t n_edges, int64_t n_sources, const T *features, const double *vectors,
                       const int64_t *centre, const int64_t *source, const Source &radial, const T *gradients,
                       T *feature_gradients, double *edge_gradients)
  {
    std::vector<int64_t> first, starts;
    edge_ranges(n_local, n_edges, centre, first);
    tile_starts(n_local, first, TILE_EDGES, starts);
    const int64_t n_tiles = static_cast<int64_t>(starts.size()) - 1;
    const size_t n_values = feature_gradients ? static_cast<size_t>(n_sources) * Shape::N_IN * B * Shape::N : 0;
    if (n_values) std::memset(feature_gradients, 0, n_values * sizeof(T));
    const double scale = Radials::slope_scale(radial);
#pragma omp parallel
    {
      // each further thread adds into memory of its own
      std::vector<T> own;
      T *target = feature_gradients;
      if (n_values && omp_get_thread_num() > 0) {
        own.assign(n_values, T(0));
        target = own.data();
      }
      Tile &tile = tile_of_this_thread();
#pragma omp for schedule(static)
      for (int64_t k = 0; k < n_tiles; k++) {
        const int64_t edge = first[starts[k]];
        tile.prepare(vectors, edge, first[starts[k + 1]] - edge, radial);
        std::fill_n(tile.gradients.resize(static_cast<size_t>(tile.n) * Sums::WIDTH), tile.n * Sums::WIDTH, 0.0);
        for (int block = 0; block < B; block += GROUP) {
          tile.template radial<true>(radial, edge, block);
          for (int64_t i = starts[k]; i < starts[k + 1]; i++)
            adjoint_over_edges(tile, static_cast<int>(first[i] - edge), static_cast<int>(first[i + 1] - edge),
                               reinterpret_cast<const V *>(features) + block, source + edge,
                               reinterpret_cast<const V *>(gradients) + i * Shape::N_MID * B + block,
                               target ? reinterpret_cast<V *>(target) + block : nullptr);
        }
        for (int start = 0; start < tile.n; start += CHUNK)
          tile.chunks.data()[start / CHUNK].finish(tile.gradients.data() + start * Sums::WIDTH, scale,
                                                   edge_gradients + 3 * (edge + start));
      }
      if (!own.empty()) {
#pragma omp critical
        for (size_t k = 0; k < n_values; k++) feature_gradients[k] += own[k];
      }
    }
  }

  static void adjoint_over_edges(Tile &tile, int begin, int end, const V *h, const int64_t *source, const V *a,
                                 V *target)
  {
    // near each other: rows a power of two apart would share few sets of the first cache level
    V copies[B == GROUP ? 1 : Shape::N_MID * GROUP];
    if constexpr (B != GROUP)
      for (int k = 0; k < Shape::N_MID; k++)
        for (int b = 0; b < GROUP; b++) copies[k * GROUP + b] = a[k * B + b];
    const V *const messages = B == GROUP ? a : copies;
    for (int e = begin; e < end; e++) {
      V gy[Shape::N_Y] = {}, gr = {}, gh[Shape::N_IN * GROUP] = {};
      const int place = e * GROUP * P;
      const int64_t next = source[std::min(e + AHEAD, tile.n - 1)] * Shape::N_IN * B;
      fetch(h + next);
      if (target) fetch(target + next);
      Shape::template accumulate_adjoint<V>(h + source[e] * Shape::N_IN * B, messages, tile.r.data() + place,
                                            tile.dr.data() + place, tile.g.data() + e * G, gh, gy, gr);
      if (target)
        for (int k = 0; k < Shape::N_IN; k++)
          for (int b = 0; b < GROUP; b++) target[(source[e] * Shape::N_IN + k) * B + b] += gh[k * GROUP + b];
      Sums::add(gy, gr, tile.gradients.data() + e * Sums::WIDTH);
    }
  }
};

}    // namespace mlip_kernels

#endif
