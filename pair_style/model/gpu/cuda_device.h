/* A GPU, used through the CUDA driver and cuBLAS. Both are loaded at run time: nothing here is linked to CUDA. */

#ifndef MLIP_CUDA_DEVICE_H
#define MLIP_CUDA_DEVICE_H

#include "gpu_device.h"

namespace mlip {

struct CudaDriver;
class CudaBlas;

class CudaDevice : public GpuDevice {
 public:
  /* Opens the GPU of this rank with the matching kernels of a model file; loads cuBLAS only for plans with products. */
  CudaDevice(const Archive &, const std::string &path, const std::string &torch_dir, bool has_products);
  ~CudaDevice() override;

  std::string name() const override { return gpu_name; }
  void enter() override;
  void *allocate(size_t bytes) override;
  void release(void *) override;
  void *allocate_pinned(size_t bytes) override;
  void release_pinned(void *) override;
  size_t free_bytes() override;
  size_t total_bytes() override;
  void upload(void *to, const void *from, size_t bytes) override;
  void download(void *to, const void *from, size_t bytes) override;
  void copy(void *to, const void *from, size_t bytes) override;
  void clear(void *, size_t bytes) override;
  Kernel kernel(const std::string &name) override;
  void launch(Kernel, const Launch &) override;
  void multiply(const MatrixProduct &) override;
  void synchronize() override;
  void begin_capture() override;
  void end_capture(bool has_failed) override;
  void replay() override;

 private:
  void choose_gpu(const std::string &path);
  void load_kernels(const Archive &, const std::string &path);
  void check(int status, const char *what) const;
  void drop_recorded();
  void close();

  const CudaDriver &driver;
  std::string gpu_name;
  int major = 0, minor = 0;
  void *context = nullptr, *module = nullptr, *stream = nullptr, *recorded = nullptr, *workspace = nullptr;
  std::unique_ptr<CudaBlas> blas;
};

}    // namespace mlip

#endif
