/* Access to libtorch through the C shim of AOTInductor, loaded at run time: nothing here is linked to torch. */

#ifndef MLIP_TORCH_SHIM_H
#define MLIP_TORCH_SHIM_H

#include "pages.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mlip {

enum class DType { INT64, FLOAT32, FLOAT64 };

/* One loaded libtorch. The members have the names of the shim's functions. */
class Torch {
 public:
  /* Loads libtorch from torch_dir/lib, once per process. Throws std::runtime_error. */
  static const Torch &load(const std::string &torch_dir);

  /* Reads the version from torch/version.py without loading a library. Throws std::runtime_error. */
  static std::string version(const std::string &torch_dir);

  void set_threads(int n) const;
  int n_threads() const;    // 0: unknown

  using Handle = struct AtenTensorOpaque *;
  int32_t (*delete_tensor_object)(Handle);
  int32_t (*get_data_ptr)(Handle, void **);
  int32_t (*get_numel)(Handle, int64_t *);
  int32_t (*is_contiguous)(Handle, bool *);
  int32_t (*create_tensor_from_blob_v2)(void *, int64_t, const int64_t *, const int64_t *, int64_t, int32_t,
                                        int32_t, int32_t, Handle *, int32_t, const uint8_t *, int64_t);
  int32_t (*copy_)(Handle, Handle, int32_t);
  int32_t (*new_tensor_handle)(Handle, Handle *);
  bool (*grad_mode_is_enabled)();
  void (*grad_mode_set_enabled)(bool);
  int32_t device_cpu, layout_strided;
  int32_t dtype_code[3];

 private:
  explicit Torch(const std::string &torch_dir);
  void (*at_set_num_threads)(int) = nullptr;
  int (*at_get_num_threads)() = nullptr;
};

/* Owns one tensor handle. */
class Tensor {
 public:
  Tensor(const Torch &torch, Torch::Handle handle) : torch(&torch), handle(handle) {}
  Tensor(Tensor &&other) noexcept : torch(other.torch), handle(other.release()) {}
  ~Tensor();

  /* A view of contiguous host memory, which must outlive it. */
  static Tensor view(const Torch &, const void *data, const std::vector<int64_t> &sizes, DType);
  /* Copies all values into contiguous host memory. */
  void copy_to(void *data, const std::vector<int64_t> &sizes, DType) const;
  /* Returns all values in contiguous host memory: the tensor's own memory if possible, else a copy in buffer. */
  const void *values(std::vector<double> &buffer, const std::vector<int64_t> &sizes, DType) const;

  Torch::Handle get() const { return handle; }
  Torch::Handle release();

 private:
  const void *own_values(const std::vector<int64_t> &sizes) const;

  const Torch *torch = nullptr;
  Torch::Handle handle = nullptr;
};

/* Loads a kernel library, whose functions programs loaded later can call. Keys as for Program. */
void load_kernels(const std::string &key, const std::string &library);

/* One compiled program: a shared library from the model file, and its weights. */
class Program {
 public:
  /* library is the content of the shared object; key identifies it in the process, which loads it once. The program
     copies the weights. */
  Program(const Torch &, const std::string &key, const std::string &library, const Pages &weights);
  ~Program();
  std::vector<Tensor> run(std::vector<Tensor> inputs, size_t n_outputs) const;

  Program(const Program &) = delete;
  Program &operator=(const Program &) = delete;

 private:
  struct Library;
  const Torch &torch;
  std::string key;
  const Library &library;
  void *container = nullptr;
};

}    // namespace mlip

#endif
