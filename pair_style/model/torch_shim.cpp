#include "torch_shim.h"

#include "shared_object.h"

#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>

using namespace mlip;

namespace {

void check(int32_t status, const char *what)
{
  if (status != 0) throw std::runtime_error(std::string("torch failed in ") + what);
}

template <typename F> void resolve(void *library, const char *name, F &function)
{
  function = reinterpret_cast<F>(dlsym(library, name));
  if (!function)
    throw std::runtime_error(std::string("this torch has no ") + name + "; install torch 2.11 or newer");
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t> &sizes)
{
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t k = sizes.size(); k-- > 1;) strides[k - 1] = strides[k] * sizes[k];
  return strides;
}

int64_t count(const std::vector<int64_t> &sizes)
{
  int64_t product = 1;
  for (const int64_t size : sizes) product *= size;
  return product;
}

size_t value_bytes(DType dtype)
{
  return dtype == DType::FLOAT32 ? 4 : 8;
}

}    // namespace

void mlip::load_kernels(const std::string &key, const std::string &content)
{
  static std::mutex mutex;
  static std::set<std::string> loaded;
  const std::lock_guard<std::mutex> lock(mutex);
  if (loaded.count(key)) return;
  open_in_memory(key, content, RTLD_NOW | RTLD_GLOBAL);
  loaded.insert(key);
}

/* ---------------------------------------------------------------------- */

std::string Torch::version(const std::string &torch_dir)
{
  std::ifstream file(torch_dir + "/version.py");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("__version__", 0) != 0) continue;
    const size_t first = line.find_first_of("'\"");
    const size_t last = line.find_last_of("'\"");
    if (first != std::string::npos && last > first) return line.substr(first + 1, last - first - 1);
  }
  throw std::runtime_error("no torch in " + torch_dir + "; run: pip install torch");
}

const Torch &Torch::load(const std::string &torch_dir)
{
  static std::mutex mutex;
  static std::unique_ptr<Torch> torch;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!torch) torch.reset(new Torch(torch_dir));
  return *torch;
}

Torch::Torch(const std::string &torch_dir)
{
  // RTLD_DEEPBIND: liblammps.so exports a slow reference dgemm_ that must not replace the one inside libtorch.
  const std::string path = torch_dir + "/lib/libtorch_cpu.so";
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!library) throw std::runtime_error(std::string("cannot load torch: ") + dlerror() + "; run: pip install torch");

  resolve(library, "aoti_torch_delete_tensor_object", delete_tensor_object);
  resolve(library, "aoti_torch_get_data_ptr", get_data_ptr);
  resolve(library, "aoti_torch_get_numel", get_numel);
  resolve(library, "aoti_torch_is_contiguous", is_contiguous);
  resolve(library, "aoti_torch_create_tensor_from_blob_v2", create_tensor_from_blob_v2);
  resolve(library, "aoti_torch_copy_", copy_);
  resolve(library, "aoti_torch_new_tensor_handle", new_tensor_handle);
  resolve(library, "aoti_torch_grad_mode_is_enabled", grad_mode_is_enabled);
  resolve(library, "aoti_torch_grad_mode_set_enabled", grad_mode_set_enabled);

  int32_t (*code)();
  auto value_of = [&](const char *name) {
    resolve(library, name, code);
    return code();
  };
  device_cpu = value_of("aoti_torch_device_type_cpu");
  layout_strided = value_of("aoti_torch_layout_strided");
  dtype_code[static_cast<int>(DType::INT64)] = value_of("aoti_torch_dtype_int64");
  dtype_code[static_cast<int>(DType::FLOAT32)] = value_of("aoti_torch_dtype_float32");
  dtype_code[static_cast<int>(DType::FLOAT64)] = value_of("aoti_torch_dtype_float64");
  at_set_num_threads = reinterpret_cast<void (*)(int)>(dlsym(library, "_ZN2at15set_num_threadsEi"));
  at_get_num_threads = reinterpret_cast<int (*)()>(dlsym(library, "_ZN2at15get_num_threadsEv"));
}

void Torch::set_threads(int n) const
{
  if (!at_set_num_threads)
    throw std::runtime_error("this torch has no at::set_num_threads; omit the number of threads");
  at_set_num_threads(n);
}

int Torch::n_threads() const
{
  return at_get_num_threads ? at_get_num_threads() : 0;
}

/* ---------------------------------------------------------------------- */

Tensor::~Tensor()
{
  if (handle) torch->delete_tensor_object(handle);
}

Torch::Handle Tensor::release()
{
  Torch::Handle mine = handle;
  handle = nullptr;
  return mine;
}

Tensor Tensor::view(const Torch &torch, const void *data, const std::vector<int64_t> &sizes, DType dtype)
{
  const auto strides = contiguous_strides(sizes);
  Torch::Handle handle = nullptr;
  check(torch.create_tensor_from_blob_v2(const_cast<void *>(data), static_cast<int64_t>(sizes.size()), sizes.data(),
                                         strides.data(), 0, torch.dtype_code[static_cast<int>(dtype)],
                                         torch.device_cpu, 0, &handle, torch.layout_strided, nullptr, 0),
        "create_tensor_from_blob");
  return {torch, handle};
}

void Tensor::copy_to(void *data, const std::vector<int64_t> &sizes, DType dtype) const
{
  if (const void *const source = own_values(sizes)) {
    std::memcpy(data, source, static_cast<size_t>(count(sizes)) * value_bytes(dtype));
  } else if (count(sizes) > 0) {
    const Tensor target = view(*torch, data, sizes, dtype);
    check(torch->copy_(target.handle, handle, 0), "copy_ to the host");
  }
}

const void *Tensor::values(std::vector<double> &buffer, const std::vector<int64_t> &sizes, DType dtype) const
{
  if (const void *const own = own_values(sizes)) return own;
  buffer.resize((static_cast<size_t>(count(sizes)) * value_bytes(dtype) + 7) / 8);
  copy_to(buffer.data(), sizes, dtype);
  return buffer.data();
}

/* The tensor's own memory if it is contiguous; null if it is not or if the tensor is empty. */

const void *Tensor::own_values(const std::vector<int64_t> &sizes) const
{
  int64_t found = 0;
  check(torch->get_numel(handle, &found), "get_numel");
  if (found != count(sizes))
    throw std::runtime_error("a compiled program returned " + std::to_string(found) + " numbers where " +
                             std::to_string(count(sizes)) + " were expected; export the model again");
  bool is_plain = false;
  check(torch->is_contiguous(handle, &is_plain), "is_contiguous");
  if (!is_plain || found == 0) return nullptr;
  void *data = nullptr;
  check(torch->get_data_ptr(handle, &data), "get_data_ptr");
  return data;
}

/* ---------------------------------------------------------------------- */

/* Shared objects stay loaded until the process ends, because torch cannot undo their registrations. */
struct Program::Library {
  int32_t (*create)(void **, size_t, const char *, const char *);
  int32_t (*destroy)(void *);
  int32_t (*n_weight_bytes)(void *, uint64_t *);
  int32_t (*set_weights)(void *, const uint8_t *);
  int32_t (*run)(void *, Torch::Handle *, size_t, Torch::Handle *, size_t, void *, void *);
  const char *(*last_error)();

  /* The last error message of AOTInductor, after a colon. */
  std::string reason() const
  {
    const char *why = last_error ? last_error() : nullptr;
    return why && *why ? std::string(": ") + why : "";
  }

  static const Library &load(const std::string &key, const std::string &content)
  {
    static std::mutex mutex;
    static std::map<std::string, Library> loaded;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = loaded.find(key);
    return found != loaded.end() ? found->second : loaded.emplace(key, Library(key, content)).first->second;
  }

 private:
  Library(const std::string &key, const std::string &content)
  {
    void *library = open_in_memory(key, content, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    resolve(library, "AOTInductorModelContainerCreateWithDevice", create);
    resolve(library, "AOTInductorModelContainerDelete", destroy);
    resolve(library, "AOTInductorModelContainerGetConstantsBlobSize", n_weight_bytes);
    resolve(library, "AOTInductorModelUpdateConstantsFromBlob", set_weights);
    resolve(library, "AOTInductorModelContainerRun", run);
    last_error = reinterpret_cast<const char *(*) ()>(dlsym(library, "AOTInductorGetLastError"));
  }
};

Program::Program(const Torch &torch, const std::string &key, const std::string &content, const Pages &weights) :
    torch(torch), key(key), library(Library::load(key, content))
{
  uint64_t n_bytes = 0;
  if (library.create(&container, 1, "cpu", nullptr) != 0 || library.n_weight_bytes(container, &n_bytes) != 0 ||
      n_bytes != weights.size() ||
      library.set_weights(container, reinterpret_cast<const uint8_t *>(weights.data())) != 0) {
    const std::string reason = n_bytes == weights.size() ? library.reason() : ": its weights have another size";
    if (container) library.destroy(container);
    throw std::runtime_error("cannot open program " + key + reason + "; export the model again");
  }
}

Program::~Program()
{
  library.destroy(container);
}

std::vector<Tensor> Program::run(std::vector<Tensor> inputs, size_t n_outputs) const
{
  std::vector<Torch::Handle> taken, given(n_outputs, nullptr);
  for (auto &input : inputs) taken.push_back(input.release());    // the program takes ownership

  const bool had_grad = torch.grad_mode_is_enabled();
  torch.grad_mode_set_enabled(false);
  const int32_t status =
      library.run(container, taken.data(), taken.size(), given.data(), given.size(), nullptr, nullptr);
  torch.grad_mode_set_enabled(had_grad);

  std::vector<Tensor> outputs;
  for (auto handle = given.begin(); handle != given.end(); handle++) {
    // the compiler returns equal outputs as one tensor
    if (*handle && std::find(given.begin(), handle, *handle) != handle)
      check(torch.new_tensor_handle(*handle, &*handle), "new_tensor_handle");
    outputs.emplace_back(torch, *handle);
  }
  if (status != 0) throw std::runtime_error("program " + key + " failed" + library.reason());
  return outputs;
}
