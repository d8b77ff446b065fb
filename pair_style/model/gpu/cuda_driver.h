/* Functions of libcuda.so.1 that this package calls, in the versions to which cuda.h of CUDA 11.4 to 13 maps them. */

#ifndef MLIP_CUDA_DRIVER_H
#define MLIP_CUDA_DRIVER_H

#include <cstddef>
#include <string>

namespace mlip {

using CudaPointer = unsigned long long;
using CudaHandle = void *;    // CUcontext, CUmodule, CUfunction, CUstream, CUgraph, CUgraphExec

/* All functions return a CUresult, 0 for success. */
struct CudaDriver {
  /* Loads the driver once per process. Throws std::runtime_error if this machine has none. */
  static const CudaDriver &load();

  /* The driver's description of a CUresult. */
  std::string describe(int status) const;

  static constexpr int OUT_OF_MEMORY = 2;
  static constexpr int MAJOR = 75, MINOR = 76;       // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
  static constexpr unsigned NON_BLOCKING = 1;        // CU_STREAM_NON_BLOCKING
  static constexpr unsigned PORTABLE = 1;            // CU_MEMHOSTALLOC_PORTABLE
  static constexpr int THREAD_LOCAL = 1;             // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

  int (*init)(unsigned);
  int (*get_error_string)(int, const char **);
  int (*device_get_count)(int *);
  int (*device_get)(int *, int);
  int (*device_get_name)(char *, int, int);
  int (*device_get_attribute)(int *, int, int);
  int (*primary_context_retain)(CudaHandle *, int);
  int (*context_set_current)(CudaHandle);
  int (*memory_allocate)(CudaPointer *, size_t);
  int (*memory_free)(CudaPointer);
  int (*memory_info)(size_t *, size_t *);
  int (*host_allocate)(void **, size_t, unsigned);
  int (*host_free)(void *);
  int (*copy_to_device)(CudaPointer, const void *, size_t, CudaHandle);
  int (*copy_to_host)(void *, CudaPointer, size_t, CudaHandle);
  int (*copy_on_device)(CudaPointer, CudaPointer, size_t, CudaHandle);
  int (*set_bytes)(CudaPointer, unsigned char, size_t, CudaHandle);
  int (*stream_create)(CudaHandle *, unsigned);
  int (*stream_destroy)(CudaHandle);
  int (*stream_synchronize)(CudaHandle);
  int (*stream_begin_capture)(CudaHandle, int);
  int (*stream_end_capture)(CudaHandle, CudaHandle *);
  int (*graph_instantiate)(CudaHandle *, CudaHandle, unsigned long long);
  int (*graph_launch)(CudaHandle, CudaHandle);
  int (*graph_destroy)(CudaHandle);
  int (*graph_exec_destroy)(CudaHandle);
  int (*module_load_data)(CudaHandle *, const void *);
  int (*module_unload)(CudaHandle);
  int (*module_get_function)(CudaHandle *, CudaHandle, const char *);
  int (*launch_kernel)(CudaHandle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CudaHandle,
                       void **, void **);

 private:
  CudaDriver();
};

}    // namespace mlip

#endif
