// Random values of any floating dtype for the drivers of CUDA kernels.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "common/device_floats.h"
#include "random.h"

namespace recops {

inline float random_value() {
  return static_cast<float>(static_cast<int32_t>(next_bits())) / static_cast<float>(1u << 31);
}

inline std::vector<float> random_values(int64_t count, float scale) {
  std::vector<float> values(count);
  for (float& value : values) value = scale * random_value();
  return values;
}

// Values of a floating dtype as bytes.
class Stored {
 public:
  Stored(Dtype dtype, int64_t count) : dtype_(dtype), count_(count), bytes_(count * size(), 0xff) {}
  Stored(Dtype dtype, const std::vector<float>& values) : Stored(dtype, static_cast<int64_t>(values.size())) {
    for (int64_t i = 0; i < count_; ++i) set(i, values[i]);
  }

  void* data() { return bytes_.data(); }
  const void* data() const { return bytes_.data(); }

  void set(int64_t i, float value) {
    if (dtype_ == Dtype::f32) {
      std::memcpy(&bytes_[i * size()], &value, size());
    } else {
      const uint16_t bits =
          dtype_ == Dtype::bf16 ? from_float<StoredBf16>(value).bits : from_float<StoredF16>(value).bits;
      std::memcpy(&bytes_[i * size()], &bits, size());
    }
  }

  std::vector<float> values() const {
    std::vector<float> values(count_);
    for (int64_t i = 0; i < count_; ++i) {
      if (dtype_ == Dtype::f32) {
        std::memcpy(&values[i], &bytes_[i * size()], size());
      } else {
        uint16_t bits;
        std::memcpy(&bits, &bytes_[i * size()], size());
        values[i] = dtype_ == Dtype::bf16 ? to_float(StoredBf16{bits}) : to_float(StoredF16{bits});
      }
    }
    return values;
  }

 private:
  int64_t size() const { return dtype_ == Dtype::f32 ? 4 : 2; }

  Dtype dtype_;
  int64_t count_;
  std::vector<unsigned char> bytes_;
};

}  // namespace recops
