// Kernel output of a test driver, filled with NaN and surrounded by guard values.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace recops {

// 16-bit floats are read as integers.
template <class T>
class Output {
 public:
  explicit Output(int64_t count) : values_(count + 2 * kFence, poison()) {}

  T* data() { return values_.data() + kFence; }

  // Prints a checksum. Returns false if a value was not written or a guard value was overwritten.
  bool report(const char* name) const {
    double sum = 0;
    bool intact = true;
    for (size_t i = 0; i < values_.size(); ++i) {
      const bool fence = i < kFence || i >= values_.size() - kFence;
      const T value = values_[i], untouched = poison();
      intact &= fence == (std::memcmp(&value, &untouched, sizeof(T)) == 0);
      if (!fence) sum += static_cast<double>(value);
    }
    std::printf("%s %.9g%s\n", name, sum, intact ? "" : " (an output unwritten, or a sentinel overwritten)");
    return intact;
  }

 private:
  static constexpr int64_t kFence = 64;

  static T poison() {
    if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::quiet_NaN();
    return static_cast<T>(-2);
  }

  std::vector<T> values_;
};

}  // namespace recops
