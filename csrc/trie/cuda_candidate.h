// Candidates of a beam search step as 64-bit keys: the score's bits, then 4095 − parent, then 2^20 − 1 − index of the
// child among its siblings. Larger keys are better, so equal scores resolve to the lower parent, then to the lower
// token.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "trie/cuda.h"
#include "trie/cuda_selection.h"

namespace recops::trie::cuda {

constexpr int kParentBits = 12, kChildBits = 20;
static_assert(kMostBeams == 1 << kParentBits && kMostVocab == 1 << kChildBits);

// Instead of a key: a child whose logit is NaN or +inf. No candidate has it.
constexpr Key kBadLogit = 1;

// Bits that ascend as the values do.
__device__ __forceinline__ uint32_t ordered_bits(float value) {
  const uint32_t bits = __float_as_uint(value + 0.0f);  // −0 becomes 0: they compare equal but have different bits
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ Key key_of(float score, int parent, int child) {
  return Key{ordered_bits(score)} << 32 | Key(kMostBeams - 1 - parent) << kChildBits | Key(kMostVocab - 1 - child);
}

__device__ __forceinline__ float score_of(Key key) {
  const auto ordered = static_cast<uint32_t>(key >> 32);
  return __uint_as_float((ordered >> 31) != 0 ? ordered & 0x7fffffffu : ~ordered);
}
__device__ __forceinline__ int parent_of(Key key) {
  return kMostBeams - 1 - static_cast<int>(key >> kChildBits & (kMostBeams - 1));
}
__device__ __forceinline__ int child_of(Key key) { return kMostVocab - 1 - static_cast<int>(key & (kMostVocab - 1)); }

}  // namespace recops::trie::cuda
