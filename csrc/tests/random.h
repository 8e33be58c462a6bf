// Random bits for the test drivers, the same in every run.
#pragma once

#include <cstdint>

namespace recops {

// xorshift, which gives the same numbers on every machine.
inline uint32_t next_bits() {
  static uint64_t state = 0x9e3779b97f4a7c15;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<uint32_t>(state >> 32);
}

}  // namespace recops
