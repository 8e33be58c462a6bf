// The CUDA ops of recurrent scans, with kernels that run on the host: a library that a test loads into torch and calls
// with tensors of the CPU.
#include "common/compat.h"
#include "common/cuda_device.h"

namespace recops {

bool has_code_for(int32_t) { return true; }

void require_launched(const char* op, int error) {
  if (error != 0) throw std::runtime_error(concat(op, ": its CUDA kernel did not start: error ", error));
}

struct HostGuard {
  explicit HostGuard(const Tensor&) {}
};
inline void* host_stream(const Tensor&) { return nullptr; }

}  // namespace recops

#define DeviceGuard HostGuard
#define current_stream host_stream
#include "recurrent/cuda.cu"
#include "recurrent/cuda_op.cpp"
