/* The GPU interface that the plan needs: memory, copies, launches and matrix products on one stream. */

#ifndef MLIP_GPU_DEVICE_H
#define MLIP_GPU_DEVICE_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mlip {

class Archive;

/* C[r, :n] = A[r, :k] W + beta C for each row r of each batch, all row-major; W is the same for all batches. */
struct MatrixProduct {
  int64_t n_rows = 0, n = 0, k = 0, n_batches = 1;
  const void *a = nullptr;
  int64_t a_row = 0, a_batch = 0;    // strides in values
  const void *w = nullptr;           // (k, n); transposed: (n, k)
  bool is_transposed = false;
  void *c = nullptr;
  int64_t c_row = 0, c_batch = 0;
  double beta = 0.0;
  int value_bytes = 4;
};

struct Launch {
  int64_t grid_x = 1, grid_y = 1, n_threads = 1;
  std::vector<uint64_t> arguments;    // the bytes of each argument, in order
};

/* All operations except allocation run in the order of one stream and may be unfinished when a call returns. Functions
   throw std::runtime_error with a message for the user. */
class GpuDevice {
 public:
  using Kernel = void *;
  virtual ~GpuDevice() = default;

  virtual std::string name() const = 0;

  /* Call at each entry into this library, because other code of the process may have selected another GPU. */
  virtual void enter() = 0;

  virtual void *allocate(size_t bytes) = 0;    // null: not enough memory
  virtual void release(void *) = 0;
  virtual void *allocate_pinned(size_t bytes) = 0;
  virtual void release_pinned(void *) = 0;
  virtual size_t free_bytes() = 0;
  virtual size_t total_bytes() = 0;

  /* The host memory must not change until synchronize(). */
  virtual void upload(void *to, const void *from, size_t bytes) = 0;
  virtual void download(void *to, const void *from, size_t bytes) = 0;
  virtual void copy(void *to, const void *from, size_t bytes) = 0;
  virtual void clear(void *, size_t bytes) = 0;

  virtual Kernel kernel(const std::string &name) = 0;
  virtual void launch(Kernel, const Launch &) = 0;
  virtual void multiply(const MatrixProduct &) = 0;
  virtual void synchronize() = 0;

  /* Between begin and end, launches, products, copies on the device and clears are recorded but not executed; replay()
     executes the last recording. With has_failed the recording is dropped, and end_capture does not throw. */
  virtual void begin_capture() = 0;
  virtual void end_capture(bool has_failed) = 0;
  virtual void replay() = 0;
};

/* Opens the device for the kernels of a model file: the emulated one if the file contains its kernels, else a GPU. */
std::unique_ptr<GpuDevice> open_gpu(const Archive &, const std::string &path, const std::string &torch_dir,
                                    bool has_products);

/* Host memory that the GPU accesses directly. */
class PinnedMemory {
 public:
  explicit PinnedMemory(GpuDevice &device) : device(device) {}
  ~PinnedMemory();

  /* Reserves at least so many bytes; the old content is lost when it grows. All operations must be finished. */
  char *resize(size_t bytes);
  char *data() const { return memory; }

  PinnedMemory(const PinnedMemory &) = delete;
  PinnedMemory &operator=(const PinnedMemory &) = delete;

 private:
  GpuDevice &device;
  char *memory = nullptr;
  size_t capacity = 0;
};

}    // namespace mlip

#endif
