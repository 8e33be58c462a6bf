// What the CUDA library was built with, read by recops.build_info() and by the loader's driver check. The CUDA ops join
// this library, each family with its own cuda.cu.
#include <cuda_runtime_api.h>

#define RECOPS_EXPORT extern "C" __attribute__((visibility("default")))

RECOPS_EXPORT int recops_cuda_runtime_version() { return CUDART_VERSION; }

// The newest runtime the installed driver can serve, 0 where there is no driver.
RECOPS_EXPORT int recops_cuda_driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}
