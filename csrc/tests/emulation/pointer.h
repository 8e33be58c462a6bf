// A pointer that knows the bounds of its array and throws where a kernel leaves them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tests/emulation/error.h"

namespace recops::emulation {

template <class T>
class Pointer {
 public:
  Pointer() = default;
  Pointer(std::nullptr_t) {}
  Pointer(T* array, int64_t count) : at_(array), begin_(array), end_(array + count) {}
  operator Pointer<const T>() const
    requires(!std::is_const_v<T>)
  {
    return Pointer<const T>(at_, begin_, end_);
  }

  T& operator[](int64_t i) const {
    check(i, 1);
    return at_[i];
  }
  T& operator*() const { return (*this)[0]; }

  Pointer operator+(int64_t distance) const { return {at_ + distance, begin_, end_}; }
  Pointer operator-(int64_t distance) const { return *this + -distance; }
  Pointer& operator+=(int64_t distance) { return *this = *this + distance; }
  Pointer& operator++() { return *this += 1; }
  int64_t operator-(Pointer other) const { return at_ - other.at_; }
  bool operator==(std::nullptr_t) const { return at_ == nullptr; }
  bool operator==(Pointer other) const { return at_ == other.at_; }
  bool operator<(Pointer other) const { return at_ < other.at_; }

  // The plain pointer to `count` elements, after a check of their bounds.
  T* plain(int64_t count) const {
    check(0, count);
    return at_;
  }

  uintptr_t address() const { return reinterpret_cast<uintptr_t>(at_); }

 private:
  template <class>
  friend class Pointer;

  Pointer(T* at, T* begin, T* end) : at_(at), begin_(begin), end_(end) {}

  void check(int64_t i, int64_t count) const {
    const int64_t first = at_ - begin_ + i, size = end_ - begin_;
    require(0 <= first && first + count <= size, "out of bounds: elements ", first, " to ", first + count - 1, " of ",
            size);
  }

  T *at_ = nullptr, *begin_ = nullptr, *end_ = nullptr;
};

}  // namespace recops::emulation
