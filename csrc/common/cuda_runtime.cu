// CUDA versions for recops.build_info() and the loader's driver check. CUDA ops are compiled into this library from
// each family's cuda.cu.
#include <cuda_runtime_api.h>

#define RECOPS_EXPORT extern "C" __attribute__((visibility("default")))

RECOPS_EXPORT int recops_cuda_runtime_version() { return CUDART_VERSION; }

// Newest runtime version that the installed driver supports, or 0 without a driver.
RECOPS_EXPORT int recops_cuda_driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}
