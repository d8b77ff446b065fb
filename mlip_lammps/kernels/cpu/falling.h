/* Functions of a distance or an angle that fall to zero, and their slopes; see ``Falling`` in
   kernels/symmetry_functions.py.

   Plan: form, is_even, is_skewed, order. Numbers: origin, 1 / width, scale, floor. */

#ifndef MLIP_KERNELS_FALLING_H
#define MLIP_KERNELS_FALLING_H

#include "vector_math.h"

namespace mlip_kernels {

template <int N> struct Falling {
  using V = typename VectorOf<double, N>::type;
  static constexpr int PLAN = 4, NUMBERS = 4;
  // in the order of _FORMS in symmetry_functions.py
  enum Form { COS, SMOOTH, TANH, POLY1, POLY2, POLY3, POLY4, BIWEIGHT, TRIWEIGHT };

  /* n vectors */
  static void evaluate(const int64_t *plan, const double *numbers, int64_t n, const V *t, V *value, V *slope)
  {
    const int64_t order = plan[3];
    const double floor = numbers[3];
    switch (plan[0]) {
    case COS:
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        V s, c;
        sine_and_cosine<N>(M_PI * x, s, c);
        f = 0.5 * c + 0.5;
        d = (-0.5 * M_PI) * s;
      });
    case SMOOTH:
      return each(plan, numbers, n, t, value, slope, [=](const V &x, V &f, V &d) {
        const V before = power(x, order - 1), rest = 1.0 - before * x;
        const auto is_inside = !(rest < floor);
        const V inverse = 1.0 / (is_inside ? rest : floor - V{});
        f = exponential<double, N>(1.0 - inverse);
        d = is_inside ? (-static_cast<double>(order)) * before * inverse * inverse * f : V{};
      });
    case TANH:
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        const V h = 2.0 * logistic<double, N>(2.0 * (1.0 - x)) - 1.0, square = h * h;
        f = square * h;
        d = 3.0 * square * (square - 1.0);
      });
    case POLY1:
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        f = (2.0 * x - 3.0) * x * x + 1.0;
        d = 6.0 * x * (x - 1.0);
      });
    case POLY2:
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        const V y = x * (1.0 - x);
        f = ((15.0 - 6.0 * x) * x - 10.0) * x * x * x + 1.0;
        d = -30.0 * y * y;
      });
    case POLY3:
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        const V y = x * (1.0 - x), square = x * x;
        f = (x * (x * (20.0 * x - 70.0) + 84.0) - 35.0) * square * square + 1.0;
        d = -140.0 * y * y * y;
      });
    case POLY4:
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        const V y = x * (1.0 - x), square = x * x;
        f = (x * (x * ((315.0 - 70.0 * x) * x - 540.0) + 420.0) - 126.0) * square * square * x + 1.0;
        d = -630.0 * y * y * y * y;
      });
    case BIWEIGHT:
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        const V rest = 1.0 - x * x;
        f = rest * rest;
        d = -4.0 * x * rest;
      });
    default:    // TRIWEIGHT
      return each(plan, numbers, n, t, value, slope, [](const V &x, V &f, V &d) {
        const V rest = 1.0 - x * x;
        f = rest * rest * rest;
        d = -6.0 * x * rest * rest;
      });
    }
  }

  static V power(const V &base, int64_t exponent)
  {
    V result = 1.0 - V{}, factor = base;
    for (; exponent > 0; exponent >>= 1) {
      if (exponent & 1) result *= factor;
      factor *= factor;
    }
    return result;
  }

 private:
  template <typename F>
  static void each(const int64_t *plan, const double *numbers, int64_t n, const V *t, V *value, V *slope, F function)
  {
    const double origin = numbers[0], per_width = numbers[1], scale = numbers[2];
    const bool is_even = plan[1], is_skewed = plan[2];
    for (int64_t k = 0; k < n; k++) {
      V x = (t[k] - origin) * per_width, dx = per_width - V{};
      const auto is_below = x < 0.0;
      if (is_even) {
        x = is_below ? -x : x;
        dx = is_below ? -dx : dx;
      } else {
        x = is_below ? V{} : x;
        dx = is_below ? V{} : dx;
      }
      const auto is_beyond = x >= 1.0;
      x = is_beyond ? 1.0 - V{} : x;
      if (is_skewed) {
        dx *= 2.0 - 2.0 * x;
        x = (2.0 - x) * x;
      }
      V f, d;
      function(x, f, d);
      value[k] = is_beyond ? V{} : scale * f;
      slope[k] = is_beyond ? V{} : scale * d * dx;
    }
  }
};

}    // namespace mlip_kernels

#endif
