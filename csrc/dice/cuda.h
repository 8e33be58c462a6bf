// Dice on the GPU. Does not depend on torch.
#pragma once

#include "dice/kernel.h"

namespace recops::dice {

// Starts `forward` of kernel.h on a stream (a cudaStream_t), with given statistics. All pointers are on the device.
// Returns a cudaError_t.
int forward_cuda(const Problem& problem, const void* mean, const void* var, void* out, void* stream);

}  // namespace recops::dice
