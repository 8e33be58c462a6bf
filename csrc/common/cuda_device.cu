#include "common/cuda_device.h"

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace recops {

bool has_code_for(int32_t device) {
  constexpr int kOldest = 8;  // major compute capability of the oldest architecture in cmake/Cuda.cmake
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major >= kOldest;
}

void require_launched(const char* op, int error) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string(op) +
                           ": its CUDA kernel did not start: " + cudaGetErrorString(static_cast<cudaError_t>(error)));
}

}  // namespace recops
