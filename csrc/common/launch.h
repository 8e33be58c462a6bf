// Launch of a CUDA kernel. Launchers call launch(), never <<<>>>, so that the emulation (tests/emulation) can run them.
#pragma once

#include "common/device.h"
#include "common/shared_memory.h"

#if defined(__CUDACC__)

#include <utility>

namespace recops {

// Launches the kernel on the stream and returns the launch's error. Does not wait. Allows a graph capture.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 threads, size_t shared_bytes, cudaStream_t stream,
                   Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
  if (shared_bytes > kSharedWithoutRequest) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  kernel<<<grid, threads, shared_bytes, stream>>>(std::forward<Arguments>(arguments)...);
  return cudaGetLastError();
}

// Shared memory that a block on the current device may have, in bytes. 0 if CUDA does not say; launches then report
// why.
inline size_t most_shared_bytes() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 0;
  const auto attribute = cudaDevAttrMaxSharedMemoryPerBlockOptin;
  return cudaDeviceGetAttribute(&bytes, attribute, device) == cudaSuccess ? static_cast<size_t>(bytes) : 0;
}

// Multiprocessors of the current device; 1 if CUDA does not say.
inline int num_multiprocessors() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 1;
  return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess ? count : 1;
}

}  // namespace recops

#endif
