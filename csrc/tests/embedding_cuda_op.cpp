// The CUDA ops of embedding bags, with kernels that run on the host.
#include "emulated_op.h"

namespace recops::embedding {
using emulated::current_stream;
using emulated::DeviceGuard;
using emulated::empty;
using emulated::sorted;
using emulated::zeros;
}  // namespace recops::embedding

#include "embedding/cuda.cu"
#include "embedding/cuda_op.cpp"
