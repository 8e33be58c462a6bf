// Indices as kernels read them, stored in 32 or in 64 bits.
#pragma once

#include <cstdint>

namespace recops {

struct Indices {
  const void* data;
  bool wide;  // int64, else int32

  int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int64_t*>(data)[i] : static_cast<const int32_t*>(data)[i];
  }
};

}  // namespace recops
