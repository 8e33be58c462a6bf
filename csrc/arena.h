// Scratch memory of a kernel, counted and then handed out by the same code.
#pragma once

#include <cstdint>

#include "simd.h"

namespace recops {
namespace {

// Hands out pieces of memory, aligned and with a vector to spare at their end; without memory it only counts.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    const int64_t begin = used_;
    used_ += (count * int64_t{sizeof(T)} + kVectorBytes + 63) / 64 * 64;
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + begin);
  }
  template <class T>
  void take(T*& field, int64_t count) {
    field = take<T>(count);
  }
  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

}  // namespace
}  // namespace recops
