// Shared memory that CUDA gives to a block.
#pragma once

#include <cstddef>

namespace recops {

// Dynamic shared memory that a launch has without a request. CUDA allows 48 KB together with the kernel's variables in
// shared memory, which may thus have 16 KB.
constexpr size_t kSharedWithoutRequest = 32 << 10;

}  // namespace recops
