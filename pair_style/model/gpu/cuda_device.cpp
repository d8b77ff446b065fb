#include "cuda_device.h"

#include "model/archive.h"
#include "cuda_blas.h"
#include "cuda_driver.h"
#include "model/machine.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

using namespace mlip;

namespace {

CudaPointer address(const void *pointer)
{
  return reinterpret_cast<CudaPointer>(pointer);
}

struct Cubin {
  std::string member;
  int major, minor;
  std::string capability() const { return std::to_string(major) + "." + std::to_string(minor); }
  bool operator<(const Cubin &other) const
  {
    return major != other.major ? major < other.major : minor < other.minor;
  }
};

/* Members kernels-sm_90.cubin and so on, in ascending order. */

std::vector<Cubin> find_cubins(const Archive &archive)
{
  std::vector<Cubin> cubins;
  const std::string prefix = "kernels-sm_", suffix = ".cubin";
  for (const auto &member : archive.find("extra/gpu/" + prefix, suffix)) {
    const size_t begin = member.rfind(prefix) + prefix.size();
    const std::string digits = member.substr(begin, member.size() - suffix.size() - begin);
    if (digits.size() < 2 || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos) continue;
    const int number = std::atoi(digits.c_str());
    cubins.push_back({member, number / 10, number % 10});
  }
  std::sort(cubins.begin(), cubins.end());
  return cubins;
}

}    // namespace

CudaDevice::CudaDevice(const Archive &archive, const std::string &path, const std::string &torch_dir,
                       bool has_products) :
    driver(CudaDriver::load())
{
  try {
    choose_gpu(path);
    load_kernels(archive, path);
    check(driver.stream_create(&stream, CudaDriver::NON_BLOCKING), "cuStreamCreate");
    if (!has_products) return;
    workspace = allocate(CudaBlas::WORKSPACE_BYTES);
    if (!workspace) throw std::runtime_error("not enough memory on the " + gpu_name + "; use fewer ranks per GPU");
    blas = std::make_unique<CudaBlas>(torch_dir, stream, workspace);
  } catch (...) {
    close();
    throw;
  }
}

CudaDevice::~CudaDevice()
{
  close();
}

/* At process exit the driver may be unloaded before this object is destroyed: then there is nothing to free. The
   context stays, as it takes seconds to create and other code may share it. */

void CudaDevice::close()
{
  if (!context || driver.context_set_current(context) != 0) {
    blas.release();
    return;
  }
  if (stream) driver.stream_synchronize(stream);
  drop_recorded();
  blas.reset();
  if (workspace) driver.memory_free(address(workspace));
  if (stream) driver.stream_destroy(stream);
  if (module) driver.module_unload(module);
}

/* Distributes the ranks of a node over its GPUs in turn. */

void CudaDevice::choose_gpu(const std::string &path)
{
  int n_gpus = 0, gpu = 0;
  int status = driver.init(0);
  if (status == 0) status = driver.device_get_count(&n_gpus);
  if (status != 0 || n_gpus == 0)
    throw std::runtime_error(path + " was exported for a GPU, but this process sees none" +
                             (status != 0 ? " (" + driver.describe(status) + ")" : std::string()) +
                             "; export the model with --device cpu");
  check(driver.device_get(&gpu, local_rank() % n_gpus), "cuDeviceGet");
  char text[256] = "";
  check(driver.device_get_name(text, sizeof(text) - 1, gpu), "cuDeviceGetName");
  gpu_name = text;
  check(driver.device_get_attribute(&major, CudaDriver::MAJOR, gpu), "cuDeviceGetAttribute");
  check(driver.device_get_attribute(&minor, CudaDriver::MINOR, gpu), "cuDeviceGetAttribute");
  check(driver.primary_context_retain(&context, gpu), "cuDevicePrimaryCtxRetain");
  enter();
}

/* Kernels for compute capability X.Y run on devices of capability X.Y and of later minor versions. */

void CudaDevice::load_kernels(const Archive &archive, const std::string &path)
{
  const Cubin mine{"", major, minor};
  const Cubin *best = nullptr;
  std::string known;
  const auto cubins = find_cubins(archive);
  for (const auto &cubin : cubins) {
    known += (known.empty() ? "" : ", ") + cubin.capability();
    if (cubin.major == major && cubin.minor <= minor) best = &cubin;
  }
  if (!best)
    throw std::runtime_error(path + " has no kernels for this GPU, " + gpu_name + " (compute capability " +
                             mine.capability() + "; the file has " + (known.empty() ? "none" : known) +
                             "); use one of these, or export the model with --device cpu");
  const int status = driver.module_load_data(&module, archive.read(best->member).c_str());
  if (status != 0)
    throw std::runtime_error("the driver cannot load the kernels of " + path + ": " + driver.describe(status) +
                             "; install a newer driver or export the model again");
}

void CudaDevice::check(int status, const char *what) const
{
  if (status != 0) throw std::runtime_error(std::string("the GPU failed in ") + what + ": " + driver.describe(status));
}

void CudaDevice::enter()
{
  check(driver.context_set_current(context), "cuCtxSetCurrent");
}

/* ---------------------------------------------------------------------- */

void *CudaDevice::allocate(size_t bytes)
{
  CudaPointer pointer = 0;
  const int status = driver.memory_allocate(&pointer, bytes);
  if (status == CudaDriver::OUT_OF_MEMORY) return nullptr;
  check(status, "cuMemAlloc");
  return reinterpret_cast<void *>(pointer);
}

void CudaDevice::release(void *memory)
{
  driver.memory_free(address(memory));
}

void *CudaDevice::allocate_pinned(size_t bytes)
{
  void *memory = nullptr;
  check(driver.host_allocate(&memory, bytes, CudaDriver::PORTABLE), "cuMemHostAlloc");
  return memory;
}

void CudaDevice::release_pinned(void *memory)
{
  driver.host_free(memory);
}

size_t CudaDevice::free_bytes()
{
  size_t free = 0, total = 0;
  check(driver.memory_info(&free, &total), "cuMemGetInfo");
  return free;
}

size_t CudaDevice::total_bytes()
{
  size_t free = 0, total = 0;
  check(driver.memory_info(&free, &total), "cuMemGetInfo");
  return total;
}

/* ---------------------------------------------------------------------- */

void CudaDevice::upload(void *to, const void *from, size_t bytes)
{
  if (bytes > 0) check(driver.copy_to_device(address(to), from, bytes, stream), "cuMemcpyHtoDAsync");
}

void CudaDevice::download(void *to, const void *from, size_t bytes)
{
  if (bytes > 0) check(driver.copy_to_host(to, address(from), bytes, stream), "cuMemcpyDtoHAsync");
}

void CudaDevice::copy(void *to, const void *from, size_t bytes)
{
  if (bytes > 0) check(driver.copy_on_device(address(to), address(from), bytes, stream), "cuMemcpyDtoDAsync");
}

void CudaDevice::clear(void *memory, size_t bytes)
{
  if (bytes > 0) check(driver.set_bytes(address(memory), 0, bytes, stream), "cuMemsetD8Async");
}

/* ---------------------------------------------------------------------- */

GpuDevice::Kernel CudaDevice::kernel(const std::string &name)
{
  CudaHandle function = nullptr;
  const int status = driver.module_get_function(&function, module, name.c_str());
  if (status != 0)
    throw std::runtime_error("the model file has no kernel " + name + " (" + driver.describe(status) +
                             "); export it again");
  return function;
}

void CudaDevice::launch(Kernel kernel, const Launch &launch)
{
  std::vector<void *> pointers;
  pointers.reserve(launch.arguments.size());
  for (const uint64_t &value : launch.arguments) pointers.push_back(const_cast<uint64_t *>(&value));
  check(driver.launch_kernel(kernel, static_cast<unsigned>(launch.grid_x), static_cast<unsigned>(launch.grid_y), 1,
                             static_cast<unsigned>(launch.n_threads), 1, 1, 0, stream, pointers.data(), nullptr),
        "cuLaunchKernel");
}

void CudaDevice::multiply(const MatrixProduct &product)
{
  blas->multiply(product);
}

void CudaDevice::synchronize()
{
  check(driver.stream_synchronize(stream), "cuStreamSynchronize");
}

/* ---------------------------------------------------------------------- */

void CudaDevice::begin_capture()
{
  drop_recorded();
  check(driver.stream_begin_capture(stream, CudaDriver::THREAD_LOCAL), "cuStreamBeginCapture");
}

void CudaDevice::end_capture(bool has_failed)
{
  CudaHandle graph = nullptr;
  int status = driver.stream_end_capture(stream, &graph);
  const char *what = "cuStreamEndCapture";
  if (status == 0 && !has_failed) {
    status = driver.graph_instantiate(&recorded, graph, 0);
    what = "cuGraphInstantiateWithFlags";
    if (status != 0) recorded = nullptr;
  }
  if (graph) driver.graph_destroy(graph);
  if (!has_failed) check(status, what);
}

void CudaDevice::replay()
{
  check(driver.graph_launch(recorded, stream), "cuGraphLaunch");
}

void CudaDevice::drop_recorded()
{
  if (recorded) driver.graph_exec_destroy(recorded);
  recorded = nullptr;
}
