/* Shared by the kernels of every layer. Vectors run over channels; geometry runs over edges.
   VECTOR_REGISTERS (generated, before this file): vectors that the processor holds at a time. */

#ifndef MLIP_KERNELS_COMMON_H
#define MLIP_KERNELS_COMMON_H

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <omp.h>
#include <type_traits>
#include <vector>
#ifdef __AVX512VL__
#include <immintrin.h>
#endif

namespace mlip_kernels {

template <typename T, int N> struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
};

/* Memory on a cache line's boundary that grows and is kept. */
template <typename T> class Buffer {
 public:
  T *resize(size_t n)
  {
    if (n > size) {
      memory.reset(static_cast<T *>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64)));
      if (!memory) throw std::bad_alloc();
      size = n;
    }
    return memory.get();
  }
  T *data() const { return memory.get(); }

 private:
  struct Free {
    void operator()(T *p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> memory;
  size_t size = 0;
};

/* Halve the lanes of two vectors: neighbours at distance STEP are added, those of x and of y side by side. */
template <typename T, int N, int STEP>
inline typename VectorOf<T, N>::type add_neighbours(const typename VectorOf<T, N>::type &x,
                                                    const typename VectorOf<T, N>::type &y)
{
  using Index = typename std::conditional<sizeof(T) == 8, int64_t, int32_t>::type;
  typename VectorOf<Index, N>::type first{}, second{};
  for (int k = 0; k < N; k++) {
    const Index source = k / (2 * STEP) * (2 * STEP) + k % STEP + (k / STEP % 2 ? N : 0);
    first[k] = source;
    second[k] = source + STEP;
  }
  return __builtin_shuffle(x, y, first) + __builtin_shuffle(x, y, second);
}

/* Lane k of the result is the sum over all lanes of v[k]; v is used up. */
template <typename T, int N, int STEP = 1>
inline typename VectorOf<T, N>::type sums_of_lanes(typename VectorOf<T, N>::type *v)
{
  if constexpr (STEP < N) {
#pragma GCC unroll 16
    for (int k = 0; k < N / (2 * STEP); k++) v[k] = add_neighbours<T, N, STEP>(v[2 * k], v[2 * k + 1]);
    return sums_of_lanes<T, N, 2 * STEP>(v);
  } else {
    return v[0];
  }
}

/* Exchange lane j of v[k] and lane k of v[j]: blocks of STEP lanes at a time, which grow. */
template <typename T, int N, int STEP = 1> inline void transpose(typename VectorOf<T, N>::type *v)
{
  if constexpr (STEP < N) {
    using Index = typename std::conditional<sizeof(T) == 8, int64_t, int32_t>::type;
    typename VectorOf<Index, N>::type even{}, odd{};
    for (int k = 0; k < N; k++) {
      even[k] = k / STEP % 2 ? N + k - STEP : k;
      odd[k] = k / STEP % 2 ? N + k : k + STEP;
    }
#pragma GCC unroll 16
    for (int k = 0; k < N; k++) {
      if (k / STEP % 2) continue;
      const typename VectorOf<T, N>::type x = v[k], y = v[k + STEP];
      v[k] = __builtin_shuffle(x, y, even);
      v[k + STEP] = __builtin_shuffle(x, y, odd);
    }
    transpose<T, N, 2 * STEP>(v);
  }
}

/* Store the lanes of two vectors and of N integers where ``is_chosen`` is -1, without gaps; return their number. The
   lanes behind them are overwritten. */
template <int N>
inline int store_some(const typename VectorOf<int64_t, N>::type &is_chosen, const typename VectorOf<double, N>::type &x,
                      const typename VectorOf<double, N>::type &y, const int32_t *numbers, double *to_x, double *to_y,
                      int32_t *to_numbers)
{
#ifdef __AVX512VL__
  if constexpr (N == 8) {
    // twice as fast as one lane after the other
    const __mmask8 mask = _mm512_cmpneq_epi64_mask((__m512i) is_chosen, _mm512_setzero_si512());
    const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i_u *>(numbers));
    _mm512_storeu_pd(to_x, _mm512_maskz_compress_pd(mask, (__m512d) x));
    _mm512_storeu_pd(to_y, _mm512_maskz_compress_pd(mask, (__m512d) y));
    _mm256_storeu_si256(reinterpret_cast<__m256i_u *>(to_numbers), _mm256_maskz_compress_epi32(mask, all));
    return __builtin_popcount(mask);
  }
#endif
  int n = 0;
  for (int k = 0; k < N; k++) {
    to_x[n] = x[k];
    to_y[n] = y[k];
    to_numbers[n] = numbers[k];
    n -= static_cast<int>(is_chosen[k]);
  }
  return n;
}

/* first[i] .. first[i+1]: the edges of centre i, in a list that is sorted by centre. */
inline void edge_ranges(int64_t n_local, int64_t n_edges, const int64_t *centre, std::vector<int64_t> &first)
{
  first.assign(static_cast<size_t>(n_local) + 1, 0);
  for (int64_t e = 0; e < n_edges; e++) first[centre[e] + 1]++;
  for (int64_t i = 0; i < n_local; i++) first[i + 1] += first[i];
}

/* starts[k] .. starts[k+1]: centres that are worked on together, of about n_edges edges. */
inline void tile_starts(int64_t n_local, const std::vector<int64_t> &first, int64_t n_edges, std::vector<int64_t> &starts)
{
  starts.assign(1, 0);
  for (int64_t i = 1; i < n_local; i++)
    if (first[i + 1] - first[starts.back()] > n_edges) starts.push_back(i);
  if (n_local > 0) starts.push_back(n_local);
}

}    // namespace mlip_kernels

#endif
