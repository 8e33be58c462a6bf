// Version number of a trie without a catalogue: a hash of its content, the same on every device.
//
// The hash of an array is the sum of its mixed elements, so that threads can compute parts of it in any order. Integers
// wrap around.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define RECOPS_HOST_DEVICE __host__ __device__
#else
#define RECOPS_HOST_DEVICE
#endif

namespace recops::trie {

class Fingerprint {
 public:
  // The mixed value of element i.
  RECOPS_HOST_DEVICE static uint64_t mixed(int64_t value, int64_t i) {
    uint64_t word = (static_cast<uint64_t>(value) ^ (static_cast<uint64_t>(i + 1) * kOdd)) * 0x2545f4914f6cdd1du;
    word = (word ^ shifted(word, 29)) * 0x369dea0f31a53f85u;
    return word ^ shifted(word, 32);
  }

  // Adds an array of `count` elements, whose mixed values have this sum.
  RECOPS_HOST_DEVICE void add(uint64_t sum, int64_t count) {
    state_ = (state_ ^ sum) * kOdd + static_cast<uint64_t>(count);
  }

  template <class T>
  void add(const T* values, int64_t count) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += mixed(values[i], i);
    add(sum, count);
  }

  // Positive, of 63 bits.
  RECOPS_HOST_DEVICE int64_t value() const { return static_cast<int64_t>(state_ >> 2 | uint64_t{1} << 62); }

 private:
  static constexpr uint64_t kOdd = 0x1e3779b97f4a7c15u;

  // Shifts copies of the sign bit in, as torch does.
  RECOPS_HOST_DEVICE static uint64_t shifted(uint64_t word, int bits) {
    return static_cast<uint64_t>(static_cast<int64_t>(word) >> bits);
  }

  uint64_t state_ = 0x243f6a8885a308d3u;
};

}  // namespace recops::trie
