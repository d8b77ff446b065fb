/* Shared by the kernels of every layer. Vectors run over channels; geometry runs over edges in double. */

#ifndef MLIP_KERNELS_COMMON_H
#define MLIP_KERNELS_COMMON_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <omp.h>
#include <vector>

namespace mlip_kernels {

constexpr int CHUNK = 64;    // edges whose geometry is worked out together

template <typename T, int N> struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
};

/* Sum of the N numbers of a vector, by halves. */
template <typename T, int N> inline T horizontal_sum(const typename VectorOf<T, N>::type &v)
{
  if constexpr (N == 1) {
    return v[0];
  } else {
    typename VectorOf<T, N / 2>::type low, high;
    std::memcpy(&low, &v, sizeof(low));
    std::memcpy(&high, reinterpret_cast<const char *>(&v) + sizeof(low), sizeof(high));
    return horizontal_sum<T, N / 2>(low + high);
  }
}

/* first[i] .. first[i+1]: the edges of centre i, in a list that is sorted by centre. */
inline void edge_ranges(int64_t n_local, int64_t n_edges, const int64_t *centre, std::vector<int64_t> &first)
{
  first.assign(static_cast<size_t>(n_local) + 1, 0);
  for (int64_t e = 0; e < n_edges; e++) first[centre[e] + 1]++;
  for (int64_t i = 0; i < n_local; i++) first[i + 1] += first[i];
}

}    // namespace mlip_kernels

#endif
