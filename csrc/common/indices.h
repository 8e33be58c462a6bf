// Indices as kernels read them, stored in 32 or 64 bits.
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

namespace {

// Calls f with a pointer of the stored type. In an anonymous namespace because kernels include it (common/isa.h).
template <class F>
auto with_index_type(const Indices& indices, const F& f) {
  return indices.wide ? f(static_cast<const int64_t*>(indices.data)) : f(static_cast<const int32_t*>(indices.data));
}

}  // namespace
}  // namespace recops
