#include "cuda_blas.h"

#include <algorithm>
#include <climits>
#include <dlfcn.h>
#include <glob.h>
#include <stdexcept>

using namespace mlip;

namespace {

constexpr int NOT_TRANSPOSED = 0, TRANSPOSED = 1;    // CUBLAS_OP_N, CUBLAS_OP_T

std::vector<std::string> matching(const std::string &pattern)
{
  std::vector<std::string> found;
  glob_t result;
  if (glob(pattern.c_str(), 0, nullptr, &result) == 0)
    for (size_t k = 0; k < result.gl_pathc; k++) found.emplace_back(result.gl_pathv[k]);
  globfree(&result);
  return found;
}

/* Search path, best first: beside torch, which ships a compatible library; then the system. */

std::vector<std::string> candidates(const std::string &torch_dir)
{
  std::vector<std::string> paths;
  if (!torch_dir.empty())
    for (const char *folder : {"/../nvidia/*/lib", "/lib"})
      for (const auto &path : matching(torch_dir + folder + "/libcublas.so.*")) paths.push_back(path);
  for (const char *name : {"libcublas.so.13", "libcublas.so.12"}) paths.emplace_back(name);
  for (const auto &path : matching("/usr/local/cuda/lib64/libcublas.so.[0-9][0-9]")) paths.push_back(path);
  return paths;
}

/* The library that cuBLAS depends on, in the same folder and version. */

std::string companion(const std::string &path)
{
  const std::string name = "libcublas.so";
  std::string result = path;
  return result.replace(result.rfind(name), name.size(), "libcublasLt.so");
}

}    // namespace

CudaBlas::CudaBlas(const std::string &torch_dir, void *stream, void *workspace)
{
  std::string why = "no libcublas.so.13 or libcublas.so.12";
  for (const auto &path : candidates(torch_dir))
    if (open(path, why)) break;
  if (!handle) throw std::runtime_error("cannot load cuBLAS (" + why + "); run: pip install nvidia-cublas");
  try {
    // in this order, because setting a stream resets the workspace
    check(set_stream(handle, stream), "cublasSetStream");
    check(set_workspace(handle, workspace, WORKSPACE_BYTES), "cublasSetWorkspace");
  } catch (...) {
    destroy(handle);
    throw;
  }
}

CudaBlas::~CudaBlas()
{
  if (handle) destroy(handle);
}

bool CudaBlas::open(const std::string &path, std::string &why)
{
  if (!dlopen(companion(path).c_str(), RTLD_NOW | RTLD_GLOBAL)) {
    why = dlerror();
    return false;
  }
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    why = dlerror();
    return false;
  }
  bool is_complete = true;
  const auto resolve = [&](const char *name, auto &function) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    if (!function) why = path + " has no " + name;
    is_complete = is_complete && function;
  };
  int (*create)(void **) = nullptr;
  resolve("cublasCreate_v2", create);
  resolve("cublasDestroy_v2", destroy);
  resolve("cublasGetStatusString", status_string);
  resolve("cublasSetStream_v2", set_stream);
  resolve("cublasSetWorkspace_v2", set_workspace);
  resolve("cublasSgemmStridedBatched", gemm_float);
  resolve("cublasDgemmStridedBatched", gemm_double);
  if (!is_complete) return false;
  if (const int status = create(&handle)) {
    why = path + ": " + status_string(status);
    handle = nullptr;
  }
  return handle != nullptr;
}

void CudaBlas::check(int status, const char *what) const
{
  if (status != 0) throw std::runtime_error(std::string("the GPU failed in ") + what + ": " + status_string(status));
}

void CudaBlas::multiply(const MatrixProduct &product) const
{
  if (product.n_rows == 0 || product.n_batches == 0) return;
  if (product.value_bytes == 8)
    multiply(gemm_double, product);
  else
    multiply(gemm_float, product);
}

/* cuBLAS is column-major: it computes C^T = W^T A^T, where it reads row-major W as W^T. */

template <class T> void CudaBlas::multiply(Gemm<T> gemm, const MatrixProduct &p) const
{
  const T one = 1, beta = static_cast<T>(p.beta);
  if (std::max({p.n_rows, p.a_row, p.c_row}) > INT_MAX)
    throw std::runtime_error("too many rows for a matrix product on the GPU; use more GPUs or ranks");
  const auto n = static_cast<int>(p.n), k = static_cast<int>(p.k);
  check(gemm(handle, p.is_transposed ? TRANSPOSED : NOT_TRANSPOSED, NOT_TRANSPOSED, n, static_cast<int>(p.n_rows), k,
             &one, static_cast<const T *>(p.w), p.is_transposed ? k : n, 0, static_cast<const T *>(p.a),
             static_cast<int>(p.a_row), p.a_batch, &beta, static_cast<T *>(p.c), static_cast<int>(p.c_row), p.c_batch,
             static_cast<int>(p.n_batches)),
        "a matrix product");
}
