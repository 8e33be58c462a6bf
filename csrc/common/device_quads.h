// Groups of four consecutive floats in CUDA kernels, read by one instruction of 16 bytes.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"

namespace recops {

constexpr int kQuad = 4;

__host__ __device__ constexpr int num_quads(int count) { return (count + kQuad - 1) / kQuad; }
__host__ __device__ constexpr int padded(int count) { return num_quads(count) * kQuad; }

__device__ __forceinline__ void load_quad(DevicePointer<const float> from, float (&to)[kQuad]) {
  const Words16 words = load16<float>(from);
  RECOPS_UNROLL
  for (int i = 0; i < kQuad; ++i) to[i] = __uint_as_float(words.words[i]);
}

__device__ __forceinline__ void store_quad(const float (&from)[kQuad], DevicePointer<float> to) {
  store16<float>(to, words_of<float>(from));
}

}  // namespace recops
