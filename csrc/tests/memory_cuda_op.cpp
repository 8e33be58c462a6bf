// The CUDA ops of memory networks, with kernels that run on the host.
#include "emulated_op.h"

namespace recops::memory {
using emulated::current_stream;
using emulated::DeviceGuard;
using emulated::empty;
using emulated::sorted;
using emulated::zeros;
}  // namespace recops::memory

#include "memory/cuda.cu"
#include "memory/cuda_hpmn.cu"
#include "memory/cuda_mimn.cu"
#include "memory/cuda_op.cpp"
