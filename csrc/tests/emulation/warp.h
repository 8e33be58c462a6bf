// Barriers, shuffles and votes of CUDA on the emulated block. Names and arguments are CUDA's.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <utility>

#include "tests/emulation/block.h"

namespace recops::emulation {

// Gives `value` to the lanes of the mask and returns what lane source(own lane) gave. Reading another lane than those
// of the mask is an error.
template <class T, class Source>
T exchange(uint32_t mask, T value, const Source& source, const std::source_location& site) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const LaneValues& values = block->exchange(mask, bits, site);
  const int from = source(block->lane());
  require((mask >> from & 1) != 0, "line ", site.line(), ": a shuffle reads lane ", from, ", which takes no part");
  std::memcpy(&value, &values[from], sizeof(T));
  return value;
}

}  // namespace recops::emulation

inline void __syncthreads(std::source_location site = std::source_location::current()) {
  recops::emulation::block->wait(0, site);
}

inline int __syncthreads_or(int value, std::source_location site = std::source_location::current()) {
  return recops::emulation::block->wait(value != 0, site) != 0;
}

inline int __syncthreads_count(int value, std::source_location site = std::source_location::current()) {
  return static_cast<int>(recops::emulation::block->wait(value != 0, site));
}

inline void __syncwarp(uint32_t mask = recops::emulation::kAllLanes,
                       std::source_location site = std::source_location::current()) {
  recops::emulation::block->exchange(mask, 0, site);
}

template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, std::source_location site = std::source_location::current()) {
  return recops::emulation::exchange(mask, value, [&](int) { return lane & 31; }, site);
}

template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, std::source_location site = std::source_location::current()) {
  return recops::emulation::exchange(mask, value, [&](int lane) { return (lane ^ bits) & 31; }, site);
}

template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned distance,
                 std::source_location site = std::source_location::current()) {
  const int by = static_cast<int>(distance);
  return recops::emulation::exchange(mask, value, [&](int lane) { return lane < by ? lane : lane - by; }, site);
}

template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned distance,
                   std::source_location site = std::source_location::current()) {
  const int by = static_cast<int>(distance);
  return recops::emulation::exchange(mask, value, [&](int lane) { return lane + by > 31 ? lane : lane + by; }, site);
}

inline uint32_t __ballot_sync(uint32_t mask, int value, std::source_location site = std::source_location::current()) {
  const recops::emulation::LaneValues& votes = recops::emulation::block->exchange(mask, value != 0, site);
  uint32_t bits = 0;
  for (int lane = 0; lane < recops::emulation::kWarp; ++lane)
    if ((mask >> lane & 1) != 0) bits |= static_cast<uint32_t>(votes[lane]) << lane;
  return bits;
}

inline int __any_sync(uint32_t mask, int value, std::source_location site = std::source_location::current()) {
  return __ballot_sync(mask, value, site) != 0;
}

inline int __all_sync(uint32_t mask, int value, std::source_location site = std::source_location::current()) {
  return __ballot_sync(mask, value, site) == mask;
}

inline int __popc(uint32_t bits) { return std::popcount(bits); }
inline int __popcll(uint64_t bits) { return std::popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline uint32_t __float_as_uint(float value) { return std::bit_cast<uint32_t>(value); }
inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }

// Threads take turns only at barriers, so plain operations are atomic.
template <class T>
T atomicExch(T* to, T value) {
  return std::exchange(*to, value);
}

template <class T>
T atomicAdd(T* to, T value) {
  return std::exchange(*to, *to + value);
}

template <class T>
T atomicMax(T* to, T value) {
  return std::exchange(*to, std::max(*to, value));
}

template <class T>
T atomicAnd(T* to, T value) {
  return std::exchange(*to, *to & value);
}

template <class T>
T atomicOr(T* to, T value) {
  return std::exchange(*to, *to | value);
}
