/* Emulates a GPU on the CPU with kernels compiled by g++, for tests on machines without a GPU. */

#ifndef MLIP_EMULATED_DEVICE_H
#define MLIP_EMULATED_DEVICE_H

#include "gpu_device.h"

#include <functional>
#include <map>

namespace mlip {

/* The environment variable MLIP_LAMMPS_EMULATED_MEMORY sets the size of its memory in bytes. */
class EmulatedDevice : public GpuDevice {
 public:
  /* library: content of a shared object with extern "C" void NAME(int grid_x, int grid_y, void **arguments). */
  explicit EmulatedDevice(const std::string &library);

  std::string name() const override { return "emulated GPU"; }
  void enter() override {}
  void *allocate(size_t bytes) override;
  void release(void *) override;
  void *allocate_pinned(size_t bytes) override;
  void release_pinned(void *) override;
  size_t free_bytes() override { return total - used; }
  size_t total_bytes() override { return total; }
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
  void submit(std::function<void()>);
  void forbid_in_capture(const char *what) const;

  void *library = nullptr;
  size_t total = 0, used = 0;
  std::map<void *, size_t> sizes;
  bool is_capturing = false;
  std::vector<std::function<void()>> recorded;
};

}    // namespace mlip

#endif
