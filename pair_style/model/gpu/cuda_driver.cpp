#include "cuda_driver.h"

#include <dlfcn.h>
#include <stdexcept>

using namespace mlip;

namespace {

template <class F> void resolve(void *library, const char *name, F &function)
{
  function = reinterpret_cast<F>(dlsym(library, name));
  if (!function)
    throw std::runtime_error(std::string("the GPU driver has no ") + name +
                             "; install a driver for CUDA 11.4 or newer");
}

}    // namespace

const CudaDriver &CudaDriver::load()
{
  static const CudaDriver driver;
  return driver;
}

CudaDriver::CudaDriver()
{
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(std::string("this machine has no GPU driver (") + dlerror() +
                             "); export the model with --device cpu");
  resolve(library, "cuInit", init);
  resolve(library, "cuGetErrorString", get_error_string);
  resolve(library, "cuDeviceGetCount", device_get_count);
  resolve(library, "cuDeviceGet", device_get);
  resolve(library, "cuDeviceGetName", device_get_name);
  resolve(library, "cuDeviceGetAttribute", device_get_attribute);
  resolve(library, "cuDevicePrimaryCtxRetain", primary_context_retain);
  resolve(library, "cuCtxSetCurrent", context_set_current);
  resolve(library, "cuMemAlloc_v2", memory_allocate);
  resolve(library, "cuMemFree_v2", memory_free);
  resolve(library, "cuMemGetInfo_v2", memory_info);
  resolve(library, "cuMemHostAlloc", host_allocate);
  resolve(library, "cuMemFreeHost", host_free);
  resolve(library, "cuMemcpyHtoDAsync_v2", copy_to_device);
  resolve(library, "cuMemcpyDtoHAsync_v2", copy_to_host);
  resolve(library, "cuMemcpyDtoDAsync_v2", copy_on_device);
  resolve(library, "cuMemsetD8Async", set_bytes);
  resolve(library, "cuStreamCreate", stream_create);
  resolve(library, "cuStreamDestroy_v2", stream_destroy);
  resolve(library, "cuStreamSynchronize", stream_synchronize);
  resolve(library, "cuStreamBeginCapture_v2", stream_begin_capture);
  resolve(library, "cuStreamEndCapture", stream_end_capture);
  resolve(library, "cuGraphInstantiateWithFlags", graph_instantiate);
  resolve(library, "cuGraphLaunch", graph_launch);
  resolve(library, "cuGraphDestroy", graph_destroy);
  resolve(library, "cuGraphExecDestroy", graph_exec_destroy);
  resolve(library, "cuModuleLoadData", module_load_data);
  resolve(library, "cuModuleUnload", module_unload);
  resolve(library, "cuModuleGetFunction", module_get_function);
  resolve(library, "cuLaunchKernel", launch_kernel);
}

std::string CudaDriver::describe(int status) const
{
  const char *text = nullptr;
  if (get_error_string(status, &text) != 0 || !text) text = "unknown error";
  return std::string(text) + " (CUDA error " + std::to_string(status) + ")";
}
