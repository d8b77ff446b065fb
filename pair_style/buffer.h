/* An array that is kept from step to step. Knows neither LAMMPS nor torch. */

#ifndef MLIP_BUFFER_H
#define MLIP_BUFFER_H

#include <cstddef>
#include <memory>

namespace mlip {

/* A plain array that is kept from step to step and grows geometrically: fresh large allocations are dear. */
template <class T> class Buffer {
 public:
  /* Room for at least size values. What was stored before is lost when it grows. */
  T *resize(std::size_t size)
  {
    if (size > capacity) {
      const std::size_t grown = size > capacity + capacity / 2 ? size : capacity + capacity / 2;
      values.reset();
      capacity = 0;
      values.reset(new T[grown]);
      capacity = grown;
    }
    return values.get();
  }
  T *data() { return values.get(); }
  const T *data() const { return values.get(); }
  double bytes() const { return static_cast<double>(capacity) * sizeof(T); }

 private:
  std::unique_ptr<T[]> values;
  std::size_t capacity = 0;
};

}    // namespace mlip

#endif
