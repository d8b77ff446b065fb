/* A warp of 32 lanes, on a GPU or emulated on a CPU.

   Kernels are written for a whole warp: a Lanes<T> is one value per lane, control flow is the same in all lanes, and
   inactive lanes are masked. On a GPU a Lanes<T> is a T. On a CPU it is an array, so that any C++ compiler can compile
   the same source and every kernel can be tested without a GPU. */

#ifndef MLIP_GPU_LANES_H
#define MLIP_GPU_LANES_H

#ifdef __CUDACC_RTC__
#define MLIP_ON_GPU 1
typedef int int32_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#endif

#ifdef MLIP_ON_GPU
#define MLIP_DEVICE __device__ __forceinline__
#define MLIP_UNROLL _Pragma("unroll")
#else
#define MLIP_DEVICE inline
#define MLIP_UNROLL
#endif

namespace mlip_gpu {

constexpr int WARP = 32;

/* Position of a warp: its index in the first direction of the grid, and the index in the second direction. */
struct Place {
  int warp;
  int y;
};

#ifdef MLIP_ON_GPU

template <typename T> using Lanes = T;

MLIP_DEVICE int lane() { return threadIdx.x % WARP; }
MLIP_DEVICE void sync_warp() { __syncwarp(); }

template <typename T> MLIP_DEVICE T load(const T *p, int index) { return __ldg(p + index); }
template <typename T> MLIP_DEVICE T load_changing(const T *p, int index) { return p[index]; }
template <typename T> MLIP_DEVICE T load_if(bool mask, const T *p, int index, T otherwise)
{
  return mask ? p[index] : otherwise;
}
template <typename T> MLIP_DEVICE void store(T *p, int index, T value) { p[index] = value; }
template <typename T> MLIP_DEVICE void store_if(bool mask, T *p, int index, T value)
{
  if (mask) p[index] = value;
}
template <typename T> MLIP_DEVICE T select(bool mask, T a, T b) { return mask ? a : b; }
template <typename To, typename From> MLIP_DEVICE To convert(From value) { return static_cast<To>(value); }
MLIP_DEVICE float root(float x) { return sqrtf(x); }
MLIP_DEVICE double root(double x) { return sqrt(x); }
MLIP_DEVICE float exponential(float x) { return expf(x); }
MLIP_DEVICE double exponential(double x) { return exp(x); }
MLIP_DEVICE double power(double x, int n)
{
  double result = 1.0;
  for (int k = 0; k < n; k++) result *= x;
  return result;
}

/* Sum over groups of SIZE lanes (a power of two), returned in each lane of the group. */
template <int SIZE, typename T> MLIP_DEVICE T sum_lanes(T value)
{
  MLIP_UNROLL
  for (int step = SIZE / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

/* Four sums over groups of SIZE >= 4 lanes: lane l of a group gets the sum of value l % 4, with six exchanges instead of
   twenty. */
template <int SIZE, typename T> MLIP_DEVICE T sum_four(T a, T b, T c, T d)
{
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
  T low = (odd ? b : a) + __shfl_xor_sync(0xffffffffu, odd ? a : b, 1);
  T high = (odd ? d : c) + __shfl_xor_sync(0xffffffffu, odd ? c : d, 1);
  T one = (upper ? high : low) + __shfl_xor_sync(0xffffffffu, upper ? low : high, 2);
  MLIP_UNROLL
  for (int step = SIZE / 2; step > 2; step /= 2) one += __shfl_xor_sync(0xffffffffu, one, step);
  return one;
}

/* Sum over lanes whose indices differ by multiples of SIZE. */
template <int SIZE, typename T> MLIP_DEVICE T sum_groups(T value)
{
  MLIP_UNROLL
  for (int step = SIZE; step < WARP; step *= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

/* N contiguous values from index on, aligned to 16 bytes: constants, or values that this kernel has written. */
template <int N> MLIP_DEVICE void load_row(const float *p, int index, float *row)
{
  static_assert(N % 4 == 0, "rows are read 16 bytes at a time");
  MLIP_UNROLL
  for (int k = 0; k < N; k += 4) {
    const float4 four = __ldg(reinterpret_cast<const float4 *>(p + index + k));
    row[k] = four.x, row[k + 1] = four.y, row[k + 2] = four.z, row[k + 3] = four.w;
  }
}
template <int N> MLIP_DEVICE void load_row(const double *p, int index, double *row)
{
  static_assert(N % 2 == 0, "rows are read 16 bytes at a time");
  MLIP_UNROLL
  for (int k = 0; k < N; k += 2) {
    const double2 two = __ldg(reinterpret_cast<const double2 *>(p + index + k));
    row[k] = two.x, row[k + 1] = two.y;
  }
}
template <int N> MLIP_DEVICE void load_shared_row(const float *p, int index, float *row)
{
  MLIP_UNROLL
  for (int k = 0; k < N; k += 4) {
    const float4 four = *reinterpret_cast<const float4 *>(p + index + k);
    row[k] = four.x, row[k + 1] = four.y, row[k + 2] = four.z, row[k + 3] = four.w;
  }
}
template <int N> MLIP_DEVICE void load_shared_row(const double *p, int index, double *row)
{
  MLIP_UNROLL
  for (int k = 0; k < N; k += 2) {
    const double2 two = *reinterpret_cast<const double2 *>(p + index + k);
    row[k] = two.x, row[k + 1] = two.y;
  }
}

/* The number of earlier lanes in which mask is true, and the total number of such lanes. */
MLIP_DEVICE int count_before(bool mask, int &total)
{
  const unsigned votes = __ballot_sync(0xffffffffu, mask);
  total = __popc(votes);
  return __popc(votes & ((1u << lane()) - 1u));
}

template <typename T> MLIP_DEVICE T scan_lanes(T value, T &total)
{
  const T own = value;
  MLIP_UNROLL
  for (int step = 1; step < WARP; step *= 2) {
    const T other = __shfl_up_sync(0xffffffffu, value, step);
    if (lane() >= step) value += other;
  }
  total = __shfl_sync(0xffffffffu, value, WARP - 1);
  return value - own;
}

/* The value of lane 0, in all lanes. */
template <typename T> MLIP_DEVICE T first_lane(T value) { return __shfl_sync(0xffffffffu, value, 0); }

MLIP_DEVICE void add_atomic(int *p, int index, bool mask, int &before)
{
  before = mask ? atomicAdd(p + index, 1) : 0;
}
MLIP_DEVICE void min_atomic(uint64_t *p, bool mask, uint64_t value)
{
  if (mask) atomicMin(p, value);
}
MLIP_DEVICE uint64_t float_bits(float value) { return __float_as_uint(value); }

#else

template <typename T> struct Lanes {
  T v[WARP];
  Lanes() = default;
  Lanes(T value)
  {
    for (int l = 0; l < WARP; l++) v[l] = value;
  }
  Lanes &operator+=(const Lanes &o) { return *this = *this + o; }
  Lanes &operator-=(const Lanes &o) { return *this = *this - o; }
  Lanes &operator*=(const Lanes &o) { return *this = *this * o; }
#define MLIP_OPERATOR(op, R)                                        \
  friend Lanes<R> operator op(const Lanes &a, const Lanes &b)       \
  {                                                                 \
    Lanes<R> r;                                                     \
    for (int l = 0; l < WARP; l++) r.v[l] = a.v[l] op b.v[l];       \
    return r;                                                       \
  }
  MLIP_OPERATOR(+, T)
  MLIP_OPERATOR(-, T)
  MLIP_OPERATOR(*, T)
  MLIP_OPERATOR(/, T)
  MLIP_OPERATOR(<, bool)
  MLIP_OPERATOR(>=, bool)
  MLIP_OPERATOR(==, bool)
  MLIP_OPERATOR(&&, bool)
  MLIP_OPERATOR(||, bool)
#undef MLIP_OPERATOR
  friend Lanes operator%(const Lanes &a, int b)
  {
    Lanes r;
    for (int l = 0; l < WARP; l++) r.v[l] = a.v[l] % b;
    return r;
  }
  friend Lanes operator-(const Lanes &a)
  {
    Lanes r;
    for (int l = 0; l < WARP; l++) r.v[l] = -a.v[l];
    return r;
  }
};

template <typename F> inline auto each_lane(F &&f)
{
  Lanes<decltype(f(0))> r;
  for (int l = 0; l < WARP; l++) r.v[l] = f(l);
  return r;
}

inline Lanes<int> lane()
{
  return each_lane([](int l) { return l; });
}
inline void sync_warp() {}

template <typename T> inline Lanes<T> load(const T *p, const Lanes<int> &index)
{
  return each_lane([&](int l) { return p[index.v[l]]; });
}
template <typename T> inline Lanes<T> load_changing(const T *p, const Lanes<int> &index) { return load(p, index); }
template <typename T>
inline Lanes<T> load_if(const Lanes<bool> &mask, const T *p, const Lanes<int> &index, const Lanes<T> &otherwise)
{
  return each_lane([&](int l) { return mask.v[l] ? p[index.v[l]] : otherwise.v[l]; });
}
template <typename T> inline void store(T *p, const Lanes<int> &index, const Lanes<T> &value)
{
  for (int l = 0; l < WARP; l++) p[index.v[l]] = value.v[l];
}
template <typename T>
inline void store_if(const Lanes<bool> &mask, T *p, const Lanes<int> &index, const Lanes<T> &value)
{
  for (int l = 0; l < WARP; l++)
    if (mask.v[l]) p[index.v[l]] = value.v[l];
}
template <typename T> inline Lanes<T> select(const Lanes<bool> &mask, const Lanes<T> &a, const Lanes<T> &b)
{
  return each_lane([&](int l) { return mask.v[l] ? a.v[l] : b.v[l]; });
}
template <typename To, typename From> inline Lanes<To> convert(const Lanes<From> &x)
{
  return each_lane([&](int l) { return static_cast<To>(x.v[l]); });
}
template <typename T> inline Lanes<T> root(const Lanes<T> &x)
{
  return each_lane([&](int l) { return std::sqrt(x.v[l]); });
}
template <typename T> inline Lanes<T> exponential(const Lanes<T> &x)
{
  return each_lane([&](int l) { return std::exp(x.v[l]); });
}
template <typename T> inline Lanes<T> power(const Lanes<T> &x, int n)
{
  Lanes<T> result = T(1);
  for (int k = 0; k < n; k++) result *= x;
  return result;
}
template <int SIZE, typename T> inline Lanes<T> sum_lanes(const Lanes<T> &x)
{
  Lanes<T> r = T(0);
  for (int l = 0; l < WARP; l++)
    for (int k = 0; k < SIZE; k++) r.v[l] += x.v[l / SIZE * SIZE + k];
  return r;
}
template <int SIZE, typename T>
inline Lanes<T> sum_four(const Lanes<T> &a, const Lanes<T> &b, const Lanes<T> &c, const Lanes<T> &d)
{
  const Lanes<T> sums[4] = {sum_lanes<SIZE>(a), sum_lanes<SIZE>(b), sum_lanes<SIZE>(c), sum_lanes<SIZE>(d)};
  return each_lane([&](int l) { return sums[l % 4].v[l]; });
}
template <int SIZE, typename T> inline Lanes<T> sum_groups(const Lanes<T> &x)
{
  Lanes<T> r = T(0);
  for (int l = 0; l < WARP; l++)
    for (int k = l % SIZE; k < WARP; k += SIZE) r.v[l] += x.v[k];
  return r;
}
template <int N, typename T> inline void load_row(const T *p, const Lanes<int> &index, Lanes<T> *row)
{
  for (int k = 0; k < N; k++) row[k] = load(p, index + k);
}
template <int N, typename T> inline void load_shared_row(const T *p, const Lanes<int> &index, Lanes<T> *row)
{
  load_row<N>(p, index, row);
}
inline Lanes<int> count_before(const Lanes<bool> &mask, int &total)
{
  Lanes<int> r;
  total = 0;
  for (int l = 0; l < WARP; l++) {
    r.v[l] = total;
    total += mask.v[l];
  }
  return r;
}
template <typename T> inline Lanes<T> scan_lanes(const Lanes<T> &x, T &total)
{
  Lanes<T> r;
  total = 0;
  for (int l = 0; l < WARP; l++) {
    r.v[l] = total;
    total += x.v[l];
  }
  return r;
}
template <typename T> inline T first_lane(const Lanes<T> &x) { return x.v[0]; }
inline void add_atomic(int *p, const Lanes<int> &index, const Lanes<bool> &mask, Lanes<int> &before)
{
  for (int l = 0; l < WARP; l++) before.v[l] = mask.v[l] ? p[index.v[l]]++ : 0;
}
inline void min_atomic(uint64_t *p, const Lanes<bool> &mask, const Lanes<uint64_t> &value)
{
  for (int l = 0; l < WARP; l++)
    if (mask.v[l] && value.v[l] < *p) *p = value.v[l];
}
inline Lanes<uint64_t> float_bits(const Lanes<float> &x)
{
  return each_lane([&](int l) {
    uint32_t bits;
    std::memcpy(&bits, &x.v[l], 4);
    return static_cast<uint64_t>(bits);
  });
}

#endif

}    // namespace mlip_gpu

#endif
