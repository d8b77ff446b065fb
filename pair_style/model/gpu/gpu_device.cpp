#include "gpu_device.h"

#include "model/archive.h"
#include "cuda_device.h"
#include "emulated_device.h"

using namespace mlip;

std::unique_ptr<GpuDevice> mlip::open_gpu(const Archive &archive, const std::string &path,
                                          const std::string &torch_dir, bool has_products)
{
  const auto emulated = archive.find("extra/gpu/emulated.so", "");
  if (!emulated.empty()) return std::make_unique<EmulatedDevice>(archive.read(emulated[0]));
  return std::make_unique<CudaDevice>(archive, path, torch_dir, has_products);
}

PinnedMemory::~PinnedMemory()
{
  if (memory) device.release_pinned(memory);
}

char *PinnedMemory::resize(size_t bytes)
{
  if (bytes <= capacity && memory) return memory;
  if (memory) device.release_pinned(memory);
  memory = nullptr;
  capacity = 0;
  const size_t grown = bytes + bytes / 4 + 256;
  memory = static_cast<char *>(device.allocate_pinned(grown));
  capacity = grown;
  return memory;
}
