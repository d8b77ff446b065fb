/* Matrix products by cuBLAS, loaded at run time. */

#ifndef MLIP_CUDA_BLAS_H
#define MLIP_CUDA_BLAS_H

#include "gpu_device.h"

namespace mlip {

class CudaBlas {
 public:
  static constexpr size_t WORKSPACE_BYTES = size_t(32) << 20;

  /* Loads cuBLAS for the current context. torch_dir: folder of the torch package, beside which pip installs cuBLAS.
     Throws std::runtime_error if no cuBLAS works. */
  CudaBlas(const std::string &torch_dir, void *stream, void *workspace);
  ~CudaBlas();

  void multiply(const MatrixProduct &) const;

  CudaBlas(const CudaBlas &) = delete;
  CudaBlas &operator=(const CudaBlas &) = delete;

 private:
  bool open(const std::string &path, std::string &why);
  void check(int status, const char *what) const;

  template <class T>
  using Gemm = int (*)(void *, int, int, int, int, int, const T *, const T *, int, long long, const T *, int,
                       long long, const T *, T *, int, long long, int);
  template <class T> void multiply(Gemm<T>, const MatrixProduct &) const;

  void *handle = nullptr;
  int (*destroy)(void *) = nullptr;
  const char *(*status_string)(int) = nullptr;
  int (*set_stream)(void *, void *) = nullptr;
  int (*set_workspace)(void *, void *, size_t) = nullptr;
  Gemm<float> gemm_float = nullptr;
  Gemm<double> gemm_double = nullptr;
};

}    // namespace mlip

#endif
