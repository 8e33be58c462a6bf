// Integers of one of two widths in device memory, as kernels read them.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/indices.h"

namespace recops {

struct DeviceIntegers {
  DevicePointer<const int32_t> narrow;  // null if the values are int64
  DevicePointer<const int64_t> wide;

  __device__ int64_t operator[](int64_t i) const { return narrow == nullptr ? wide[i] : int64_t{narrow[i]}; }
  __device__ bool is_null() const { return narrow == nullptr && wide == nullptr; }
};

inline DeviceIntegers device_integers(const Indices& indices, int64_t count) {
  const auto* narrow = indices.wide ? nullptr : static_cast<const int32_t*>(indices.data);
  const auto* wide = indices.wide ? static_cast<const int64_t*>(indices.data) : nullptr;
  return {device_pointer(narrow, count), device_pointer(wide, count)};
}

}  // namespace recops
