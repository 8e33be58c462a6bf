// Shared memory of the emulated block. Each block starts with memory full of NaN and −1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <type_traits>

#include "tests/emulation/error.h"
#include "tests/emulation/pointer.h"

namespace recops::emulation {

class SharedMemory {
 public:
  explicit SharedMemory(size_t dynamic_bytes) : dynamic_(dynamic_bytes) {}

  void poison() {
    dynamic_.poison();
    for (auto& [site, memory] : variables_) memory.poison();
  }

  Pointer<unsigned char> dynamic() { return {dynamic_.bytes.get(), static_cast<int64_t>(dynamic_.size)}; }

  // The variable that `site` declares. All threads of a block receive the same object.
  template <class T>
  T& variable(const void* site) {
    static_assert(std::is_trivially_default_constructible_v<T>, "shared memory is not initialized");
    return *reinterpret_cast<T*>(variables_.try_emplace(site, sizeof(T)).first->second.bytes.get());
  }

  // Bytes of all variables met so far, and of the dynamic memory.
  size_t size() const {
    size_t sum = dynamic_.size;
    for (const auto& [site, memory] : variables_) sum += memory.size;
    return sum;
  }

 private:
  struct Memory {
    explicit Memory(size_t size) : size(size), bytes(new unsigned char[size]) { poison(); }
    void poison() { std::memset(bytes.get(), 0xff, size); }

    size_t size;
    std::unique_ptr<unsigned char[]> bytes;  // operator new aligns for 16-byte loads
  };

  Memory dynamic_;
  std::map<const void*, Memory> variables_;
};

}  // namespace recops::emulation
