// Stored values in CUDA kernels: 16-bit floats are widened to float.
#pragma once

#include <bit>
#include <type_traits>

#include "common/device.h"
#include "common/dtype.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace recops {

constexpr float kInfinity = __builtin_huge_valf();
constexpr float kNan = __builtin_nanf("");

struct StoredBf16 {
  uint16_t bits;
};
struct StoredF16 {
  uint16_t bits;
};

__device__ __forceinline__ float to_float(float value) { return value; }

__device__ __forceinline__ float to_float(StoredBf16 value) { return __uint_as_float(uint32_t{value.bits} << 16); }

__device__ __forceinline__ float to_float(StoredF16 value) {
#if defined(__CUDACC__)
  return __half2float(__ushort_as_half(value.bits));
#else
  return static_cast<float>(std::bit_cast<_Float16>(value.bits));
#endif
}

// Rounds to the nearest stored value, ties to even.
template <class S>
__device__ __forceinline__ S from_float(float value) {
  if constexpr (sizeof(S) == sizeof(float)) {
    return value;
  } else if constexpr (std::is_same_v<S, StoredBf16>) {
    const uint32_t bits = __float_as_uint(value);
    const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1);
    return S{static_cast<uint16_t>(value == value ? rounded >> 16 : 0x7fc0u)};
  } else {
#if defined(__CUDACC__)
    return S{__half_as_ushort(__float2half_rn(value))};
#else
    return S{std::bit_cast<uint16_t>(static_cast<_Float16>(value))};
#endif
  }
}

// Element i of the 16 bytes, as it is stored.
template <class S>
__device__ __forceinline__ S stored_element(const Words16& words, int i) {
  if constexpr (sizeof(S) == sizeof(float))
    return __uint_as_float(words.words[i]);
  else
    return S{static_cast<uint16_t>(words.words[i / 2] >> (i % 2 * 16))};
}

template <class S>
__device__ __forceinline__ float element(const Words16& words, int i) {
  return to_float(stored_element<S>(words, i));
}

// 16 bytes of stored elements.
template <class S>
__device__ __forceinline__ Words16 words_of(const S (&values)[kPerWords16<S>]) {
  Words16 words;
  RECOPS_UNROLL
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(S) == sizeof(float))
      words.words[i] = __float_as_uint(values[i]);
    else
      words.words[i] = values[2 * i].bits | uint32_t{values[2 * i + 1].bits} << 16;
  }
  return words;
}

// Calls f(S{}) with the type in which values of this dtype are stored. Kernels have no float64.
template <class F>
auto with_device_type(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::bf16: return f(StoredBf16{});
    case Dtype::f16: return f(StoredF16{});
    default: return f(float{});
  }
}

}  // namespace recops
