// Arrays in CUDA kernels whose dtype is known only at run time: float32, bfloat16 or float16.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/dtype.h"

namespace recops {

class DeviceValues {
 public:
  DeviceValues() = default;
  __host__ DeviceValues(const void* values, int64_t count, Dtype dtype)
      : dtype_(dtype),
        wide_(device_pointer(static_cast<const float*>(is_wide(dtype) ? values : nullptr), count)),
        narrow_(device_pointer(static_cast<const uint16_t*>(is_wide(dtype) ? nullptr : values), count)) {}

  __host__ __device__ bool is_null() const { return wide_ == nullptr && narrow_ == nullptr; }

  // The bits of an element. Conversion in a separate step, value(), lets a thread wait for several loads at once.
  __device__ uint32_t bits(int64_t i) const {
    return is_wide(dtype_) ? __float_as_uint(wide_[i]) : uint32_t{narrow_[i]};
  }

  __device__ float value(uint32_t bits) const {
    if (is_wide(dtype_)) return __uint_as_float(bits);
    const auto narrow = static_cast<uint16_t>(bits);
    return dtype_ == Dtype::bf16 ? to_float(StoredBf16{narrow}) : to_float(StoredF16{narrow});
  }

  __device__ float operator[](int64_t i) const { return value(bits(i)); }

 private:
  __host__ __device__ static bool is_wide(Dtype dtype) { return dtype == Dtype::f32; }

  Dtype dtype_ = Dtype::f32;
  DevicePointer<const float> wide_ = nullptr;
  DevicePointer<const uint16_t> narrow_ = nullptr;
};

class DeviceOutputs {
 public:
  DeviceOutputs() = default;
  __host__ DeviceOutputs(void* values, int64_t count, Dtype dtype)
      : dtype_(dtype),
        wide_(device_pointer(static_cast<float*>(dtype == Dtype::f32 ? values : nullptr), count)),
        narrow_(device_pointer(static_cast<uint16_t*>(dtype == Dtype::f32 ? nullptr : values), count)) {}

  __device__ void store(int64_t i, float value) const {
    if (dtype_ == Dtype::f32)
      wide_[i] = value;
    else
      narrow_[i] = dtype_ == Dtype::bf16 ? from_float<StoredBf16>(value).bits : from_float<StoredF16>(value).bits;
  }

 private:
  Dtype dtype_ = Dtype::f32;
  DevicePointer<float> wide_ = nullptr;
  DevicePointer<uint16_t> narrow_ = nullptr;
};

}  // namespace recops
