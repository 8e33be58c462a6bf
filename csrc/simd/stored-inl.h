// Stored values: 16-bit floats are computed as float; float and double keep their type.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/dtype.h"
#include "simd/vector-inl.h"

namespace recops {
namespace {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

// Type in which values stored as S are computed and accumulated.
template <class S>
using Compute = std::conditional_t<std::is_same_v<S, double>, double, float>;

// Calls f(S{}) with the storage type S of this dtype.
template <class F>
auto with_stored_type(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::bf16: return f(Bf16{});
    case Dtype::f16: return f(F16{});
    case Dtype::f64: return f(double{});
    default: return f(float{});
  }
}

// Calls f(T{}) with the compute type: double if `wide`, else float.
template <class F>
auto with_compute_type(bool wide, const F& f) {
  return wide ? f(double{}) : f(float{});
}

// The same for values stored as `dtype`.
template <class F>
auto with_compute_type(Dtype dtype, const F& f) {
  return with_compute_type(dtype == Dtype::f64, f);
}

inline Vec<float> widen(Bf16, Vec<uint32_t> bits) { return (Vec<float>)(bits << 16); }

inline Vec<float> widen(F16, Vec<uint32_t> bits) {
  const Vec<uint32_t> sign = (bits & 0x8000u) << 16;
  const Vec<uint32_t> magnitude = (bits & 0x7fffu) << 13;
  // Changes the exponent bias from 15 to 127 without arithmetic on subnormal floats, which may be flushed to zero.
  const Vec<uint32_t> normal = magnitude + 0x38000000u;
  const Vec<float> subnormal = (Vec<float>)(magnitude + 0x38800000u) - 0x1p-14f;
  const Vec<uint32_t> special = magnitude | 0x7f800000u;  // inf and NaN
  const Vec<int32_t> size = (Vec<int32_t>)magnitude;
  const Vec<uint32_t> finite = size < 0x00800000 ? (Vec<uint32_t>)subnormal : normal;
  return (Vec<float>)(sign | (size >= 0x0f800000 ? special : finite));
}

// narrow() rounds to nearest, ties to even, and keeps NaN.
inline Vec<uint32_t> narrow(Bf16, Vec<float> v) {
  const Vec<uint32_t> bits = (Vec<uint32_t>)v;
  const Vec<uint32_t> rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return v == v ? rounded : (bits >> 16) | 0x40u;
}

inline Vec<uint32_t> narrow(F16, Vec<float> v) {
  const Vec<uint32_t> sign = ((Vec<uint32_t>)v >> 16) & 0x8000u;
  const Vec<uint32_t> bits = (Vec<uint32_t>)v & 0x7fffffffu;
  const Vec<int32_t> size = (Vec<int32_t>)bits;
  const Vec<uint32_t> normal = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
  // Below 2^-14 results are multiples of 2^-24, the last place of 0.5, so the addition does the rounding.
  const Vec<uint32_t> subnormal = (Vec<uint32_t>)((Vec<float>)bits + 0.5f) - 0x3f000000u;
  const Vec<uint32_t> infinite = broadcast(0x7c00u), nan = broadcast(0x7e00u);
  Vec<uint32_t> result = size < 0x38800000 ? subnormal : normal;
  result = size >= 0x47800000 ? infinite : result;
  return sign | (size > 0x7f800000 ? nan : result);
}

// Loads kLanes<Compute<S>> values stored as S.
template <class S>
inline Vec<Compute<S>> load_as_compute(const S* from) {
  if constexpr (std::is_same_v<S, Compute<S>>) {
    return load(from);
  } else {
    typename VectorOf<uint16_t>::half bits;
    std::memcpy(&bits, from, sizeof(bits));
    return widen(S{}, __builtin_convertvector(bits, Vec<uint32_t>));
  }
}

template <class S>
inline void store_as(S* to, Vec<Compute<S>> v) {
  if constexpr (std::is_same_v<S, Compute<S>>) {
    store(to, v);
  } else {
    const auto bits = __builtin_convertvector(narrow(S{}, v), typename VectorOf<uint16_t>::half);
    std::memcpy(to, &bits, sizeof(bits));
  }
}

// Whether loading part of a vector costs no more than loading a whole one.
#if defined(__AVX512F__)
template <class S>
constexpr bool kMaskedLoads = std::is_same_v<S, Compute<S>>;
#else
template <class S>
constexpr bool kMaskedLoads = false;
#endif

#if defined(__AVX512F__)
inline uint16_t first_lanes(int64_t count) { return static_cast<uint16_t>(count >= 16 ? 0xffff : (1 << count) - 1); }
#endif

// Loads the first `count` lanes and zeros the others; count may exceed the number of lanes.
template <class S>
inline Vec<Compute<S>> load_as_compute(const S* from, int64_t count) {
#if defined(__AVX512F__)
  const uint16_t lanes = first_lanes(count);
  if constexpr (std::is_same_v<S, float>) return (Vec<float>)_mm512_maskz_loadu_ps(lanes, from);
  if constexpr (std::is_same_v<S, double>) return (Vec<double>)_mm512_maskz_loadu_pd(static_cast<uint8_t>(lanes), from);
#endif
  if (count >= kLanes<Compute<S>>) return load_as_compute(from);
  S padded[kLanes<Compute<S>>] = {};
  std::memcpy(padded, from, static_cast<size_t>(count) * sizeof(S));
  return load_as_compute(padded);
}

template <class S>
inline void store_as(S* to, Vec<Compute<S>> v, int64_t count) {
#if defined(__AVX512F__)
  const uint16_t lanes = first_lanes(count);
  if constexpr (std::is_same_v<S, float>) return _mm512_mask_storeu_ps(to, lanes, (__m512)v);
  if constexpr (std::is_same_v<S, double>) return _mm512_mask_storeu_pd(to, static_cast<uint8_t>(lanes), (__m512d)v);
#endif
  if (count >= kLanes<Compute<S>>) return store_as(to, v);
  S padded[kLanes<Compute<S>>];
  store_as(padded, v);
  std::memcpy(to, padded, static_cast<size_t>(count) * sizeof(S));
}

}  // namespace
}  // namespace recops
