/* Elementary functions of whole vectors, to the last digits of their type. A number that is not finite gives NaN. */

#ifndef MLIP_KERNELS_VECTOR_MATH_H
#define MLIP_KERNELS_VECTOR_MATH_H

#include "common.h"

namespace mlip_kernels {

template <typename T> struct Exponential;

/* exp(r) = top / bottom for |r| <= log(2) / 2, as in the Cephes library */
template <> struct Exponential<double> {
  using Bits = int64_t;
  static constexpr double LARGEST = 700.0, LOG2_HIGH = 6.93145751953125e-1, LOG2_LOW = 1.42860682030941723212e-6;
  static constexpr double ROUND = 6755399441055744.0;    // 1.5 * 2^52: integers are in the lowest bits
  static constexpr int SHIFT = 52;

  template <typename V> static void ratio(const V &r, V &top, V &bottom)
  {
    const V x = r * r;
    const V odd = r * ((1.26177193074810590878e-4 * x + 3.02994407707441961300e-2) * x + 9.99999999999999999910e-1);
    const V even = ((3.00198505138664455042e-6 * x + 2.52448340349684104192e-3) * x + 2.27265548208155028766e-1) * x +
        2.00000000000000000009;
    top = even + odd;
    bottom = even - odd;
  }
};

template <> struct Exponential<float> {
  using Bits = int32_t;
  static constexpr float LARGEST = 80.0f, LOG2_HIGH = 0.693359375f, LOG2_LOW = -2.12194440e-4f;
  static constexpr float ROUND = 12582912.0f;    // 1.5 * 2^23
  static constexpr int SHIFT = 23;

  template <typename V> static void ratio(const V &r, V &top, V &bottom)
  {
    const V series = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r +
                      1.6666665459e-1f) * r + 5.0000001201e-1f;
    top = series * r * r + r + 1.0f;
    bottom = 1.0f - V{};
  }
};

/* 1 / (1 + exp(-z)) */
template <typename T, int N> inline typename VectorOf<T, N>::type logistic(typename VectorOf<T, N>::type z)
{
  using E = Exponential<T>;
  using V = typename VectorOf<T, N>::type;
  using Bits = typename VectorOf<typename E::Bits, N>::type;
  const V most = E::LARGEST - V{};
  z = z > most ? most : z;
  z = z < -most ? -most : z;
  const V rounded = z * static_cast<T>(-1.4426950408889634) + E::ROUND, n = rounded - E::ROUND;
  const V r = (-z - n * E::LOG2_HIGH) - n * E::LOG2_LOW;
  V top, bottom;
  E::ratio(r, top, bottom);
  const Bits power = reinterpret_cast<const Bits &>(rounded) << E::SHIFT;
  const Bits scaled = reinterpret_cast<const Bits &>(top) + power;
  return bottom / (bottom + reinterpret_cast<const V &>(scaled));
}

/* exp(z), and zero where that is less than exp(-LARGEST) */
template <typename T, int N> inline typename VectorOf<T, N>::type exponential(typename VectorOf<T, N>::type z)
{
  using E = Exponential<T>;
  using V = typename VectorOf<T, N>::type;
  using Bits = typename VectorOf<typename E::Bits, N>::type;
  const V most = E::LARGEST - V{};
  z = z > most ? most : z;
  const auto is_zero = z < -most;
  const V rounded = z * static_cast<T>(1.4426950408889634) + E::ROUND, n = rounded - E::ROUND;
  const V r = (z - n * E::LOG2_HIGH) - n * E::LOG2_LOW;
  V top, bottom;
  E::ratio(r, top, bottom);
  const Bits power = reinterpret_cast<const Bits &>(rounded) << E::SHIFT;
  const Bits scaled = reinterpret_cast<const Bits &>(top) + power;
  return is_zero ? V{} : reinterpret_cast<const V &>(scaled) / bottom;
}

/* Natural logarithm of positive normal numbers (polynomials of the Cephes library); NaN of NaN. */
template <int N> inline typename VectorOf<double, N>::type logarithm(const typename VectorOf<double, N>::type &x)
{
  using V = typename VectorOf<double, N>::type;
  using Bits = typename VectorOf<int64_t, N>::type;
  constexpr double ROUND = Exponential<double>::ROUND;
  const V rounding = ROUND - V{};
  const Bits bits = reinterpret_cast<const Bits &>(x);
  const Bits fraction = (bits & 0x000fffffffffffffll) | 0x3fe0000000000000ll;    // 0.5 to 1
  const Bits exponent = (bits >> 52) - 1022 + reinterpret_cast<const Bits &>(rounding);
  V m = reinterpret_cast<const V &>(fraction), n = reinterpret_cast<const V &>(exponent) - ROUND;
  const auto is_small = m < 0.70710678118654752440;
  m = is_small ? m + m : m;
  n = is_small ? n - 1.0 : n;
  const V y = m - 1.0, z = y * y;
  const V top = ((((1.01875663804580931796e-4 * y + 4.97494994976747001425e-1) * y + 4.70579119878881725854) * y +
      1.44989225341610930846e1) * y + 1.79368678507819816313e1) * y + 7.70838733755885391666;
  const V bottom = ((((y + 1.12873587189167450590e1) * y + 4.52279145837532221105e1) * y + 8.29875266912776603211e1) * y +
      7.11544750618563894466e1) * y + 2.31251620126765340583e1;
  const V tail = y * (z * top / bottom) - n * 2.121944400546905827679e-4 - 0.5 * z;
  return x == x ? (y + tail) + n * 0.693359375 : x;
}

/* Sine and cosine of moderate arguments, |x| < 1e5 (polynomials of fdlibm). */
template <int N>
inline void sine_and_cosine(const typename VectorOf<double, N>::type &x, typename VectorOf<double, N>::type &sine,
                            typename VectorOf<double, N>::type &cosine)
{
  using V = typename VectorOf<double, N>::type;
  using Bits = typename VectorOf<int64_t, N>::type;
  constexpr double ROUND = Exponential<double>::ROUND;
  const V rounded = x * 6.36619772367581382433e-01 + ROUND, n = rounded - ROUND;
  const V y = (x - n * 1.57079632673412561417e+00) - n * 6.07710050650619224932e-11, z = y * y;
  const V s = y + y * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z *
      (-1.98412698298579493134e-04 + z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z *
      1.58969099521155010221e-10)))));
  const V c = 1.0 - 0.5 * z + z * z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z *
      (2.48015872894767294178e-05 + z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z *
      -1.13596475577881948265e-11)))));
  const Bits quadrant = reinterpret_cast<const Bits &>(rounded);
  const Bits is_odd = (quadrant & 1) != 0, is_sine_negative = (quadrant & 2) != 0;
  const Bits is_cosine_negative = ((quadrant + 1) & 2) != 0;
  const V one = is_odd ? c : s, two = is_odd ? s : c;
  sine = is_sine_negative ? -one : one;
  cosine = is_cosine_negative ? -two : two;
}

}    // namespace mlip_kernels

#endif
