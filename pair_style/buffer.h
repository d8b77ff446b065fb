/* An array that is reused from step to step. Depends on neither LAMMPS nor torch. */

#ifndef MLIP_BUFFER_H
#define MLIP_BUFFER_H

#include <cstddef>
#include <memory>

namespace mlip {

/* A plain array that is reused from step to step and grows geometrically, since large allocations are slow. */
template <class T> class Buffer {
 public:
  /* Reserves at least size values. The old values are lost when the array grows. */
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
