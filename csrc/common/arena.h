// Scratch memory of a kernel: the same code computes its size and lays it out. In an anonymous namespace because
// kernels include it (common/isa.h).
#pragma once

#include <cstdint>

namespace recops {
namespace {

constexpr int64_t kCacheLine = 64;  // bytes; also the width of the widest vector

inline int64_t round_up_to_line(int64_t bytes) { return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine; }

// Allocates aligned pieces of a buffer, each followed by one spare vector. Without a buffer it only computes the size.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    const int64_t begin = used_;
    used_ += round_up_to_line(count * int64_t{sizeof(T)} + kCacheLine);
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
