// CUDA's devices and errors, for op files. Does not depend on torch.
#pragma once

#include <cstdint>

namespace recops {

// True if the CUDA library has machine code or PTX for the device. Other devices run composites.
bool has_code_for(int32_t device);

// Throws std::runtime_error if a launcher returned an error (a cudaError_t).
void require_launched(const char* op, int error);

}  // namespace recops
