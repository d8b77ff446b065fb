#include "emulated_device.h"

#include "model/shared_object.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <new>
#include <stdexcept>

using namespace mlip;

namespace {

using Function = void (*)(int, int, void **);

void *load_once(const std::string &content)
{
  static std::mutex mutex;
  static std::map<std::string, void *> loaded;
  const std::lock_guard<std::mutex> lock(mutex);
  void *&library = loaded[content];
  if (!library) library = open_in_memory("mlip-emulated", content, RTLD_NOW | RTLD_LOCAL);
  return library;
}

template <class T> void multiply_row(const MatrixProduct &p, const T *a, T *c)
{
  const T *w = static_cast<const T *>(p.w);
  const T beta = static_cast<T>(p.beta);
  for (int64_t m = 0; m < p.n; m++) c[m] = p.beta == 0.0 ? T(0) : beta * c[m];
  if (p.is_transposed) {
    for (int64_t m = 0; m < p.n; m++) {
      T sum = 0;
      for (int64_t q = 0; q < p.k; q++) sum += a[q] * w[m * p.k + q];
      c[m] += sum;
    }
  } else {
    for (int64_t q = 0; q < p.k; q++)
      for (int64_t m = 0; m < p.n; m++) c[m] += a[q] * w[q * p.n + m];
  }
}

template <class T> void multiply_all(const MatrixProduct &p)
{
  for (int64_t b = 0; b < p.n_batches; b++)
    for (int64_t r = 0; r < p.n_rows; r++)
      multiply_row(p, static_cast<const T *>(p.a) + b * p.a_batch + r * p.a_row,
                   static_cast<T *>(p.c) + b * p.c_batch + r * p.c_row);
}

}    // namespace

EmulatedDevice::EmulatedDevice(const std::string &content) : library(load_once(content))
{
  const char *limit = std::getenv("MLIP_LAMMPS_EMULATED_MEMORY");
  total = limit ? std::strtoull(limit, nullptr, 10) : size_t(1) << 40;
}

/* Fills memory with ones: uninitialised numbers are NaN and uninitialised indices are -1. */

void *EmulatedDevice::allocate(size_t bytes)
{
  forbid_in_capture("allocate");
  if (bytes > total - used) return nullptr;
  void *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!memory) return nullptr;
  std::memset(memory, 0xff, bytes);
  sizes[memory] = bytes;
  used += bytes;
  return memory;
}

void EmulatedDevice::release(void *memory)
{
  used -= sizes.at(memory);
  sizes.erase(memory);
  std::free(memory);
}

void *EmulatedDevice::allocate_pinned(size_t bytes)
{
  if (void *memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}

void EmulatedDevice::release_pinned(void *memory)
{
  std::free(memory);
}

void EmulatedDevice::upload(void *to, const void *from, size_t bytes)
{
  forbid_in_capture("upload");
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void EmulatedDevice::download(void *to, const void *from, size_t bytes)
{
  forbid_in_capture("download");
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void EmulatedDevice::copy(void *to, const void *from, size_t bytes)
{
  submit([=] { std::memcpy(to, from, bytes); });
}

void EmulatedDevice::clear(void *memory, size_t bytes)
{
  submit([=] { std::memset(memory, 0, bytes); });
}

GpuDevice::Kernel EmulatedDevice::kernel(const std::string &name)
{
  void *function = dlsym(library, name.c_str());
  if (!function) throw std::runtime_error("the model file has no kernel " + name + "; export it again");
  return function;
}

void EmulatedDevice::launch(Kernel kernel, const Launch &launch)
{
  submit([kernel, launch] {
    std::vector<uint64_t> values = launch.arguments;
    std::vector<void *> pointers;
    for (uint64_t &value : values) pointers.push_back(&value);
    reinterpret_cast<Function>(kernel)(static_cast<int>(launch.grid_x), static_cast<int>(launch.grid_y),
                                       pointers.data());
  });
}

void EmulatedDevice::multiply(const MatrixProduct &product)
{
  submit([product] {
    if (product.value_bytes == 8)
      multiply_all<double>(product);
    else
      multiply_all<float>(product);
  });
}

void EmulatedDevice::synchronize()
{
  forbid_in_capture("synchronize");
}

void EmulatedDevice::begin_capture()
{
  recorded.clear();
  is_capturing = true;
}

void EmulatedDevice::end_capture(bool has_failed)
{
  is_capturing = false;
  if (has_failed) recorded.clear();
}

void EmulatedDevice::replay()
{
  for (const auto &operation : recorded) operation();
}

void EmulatedDevice::submit(std::function<void()> operation)
{
  if (is_capturing)
    recorded.push_back(std::move(operation));
  else
    operation();
}

/* A real GPU does not allow this either. */

void EmulatedDevice::forbid_in_capture(const char *what) const
{
  if (is_capturing) throw std::runtime_error(std::string("emulated GPU: ") + what + " while operations are recorded");
}
