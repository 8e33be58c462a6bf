// Operations across the lanes of vectors: transposes, reductions, comparison masks as bits.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "simd/vector-inl.h"

namespace recops {
namespace {

#if defined(__clang__)
#define RECOPS_SHUFFLE(T, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define RECOPS_SHUFFLE(T, a, b, ...) __builtin_shuffle(a, b, Vec<Lane<T>>{__VA_ARGS__})
#endif

template <class T, int... I>
inline Vec<T> interleave_low(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, b, (I % 2 * kLanes<T> + I / 2)...);
}
template <class T, int... I>
inline Vec<T> interleave_high(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, b, (I % 2 * kLanes<T> + (kLanes<T> + I) / 2)...);
}
// The same within each part of W lanes.
template <int W, class T, int... I>
inline Vec<T> interleave_low_within(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, b, (I % 2 * kLanes<T> + I / W * W + I % W / 2)...);
}
template <int W, class T, int... I>
inline Vec<T> interleave_high_within(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, b, (I % 2 * kLanes<T> + I / W * W + (W + I % W) / 2)...);
}
// The parts of W lanes of a and then of b at even positions, or at odd positions if `odd`.
template <int W, int odd, class T, int... I>
inline Vec<T> alternate_parts(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, b, (2 * (I / W) + odd) * W + I % W...);
}
template <int distance, class T, int... I>
inline Vec<T> exchange(Vec<T> a, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, a, (I ^ distance)...);
}
#undef RECOPS_SHUFFLE

// Transposes a square of registers in log2(lanes) steps. The first steps work within 128-bit parts and the others move
// whole parts, so that no shuffle needs an index table.
template <class T>
inline void transpose(Vec<T> (&square)[kLanes<T>]) {
  constexpr int n = kLanes<T>, part = 16 / sizeof(T), parts = n / part;
  constexpr std::make_integer_sequence<int, n> lanes{};
  Vec<T> shuffled[n];
#pragma GCC unroll 4
  for (int step = 1; step < part; step *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < n / 2; ++i) {
      const int row = i / (part / 2) * part + i % (part / 2), to = 2 * i;
      shuffled[to] = interleave_low_within<part, T>(square[row], square[row + part / 2], lanes);
      shuffled[to + 1] = interleave_high_within<part, T>(square[row], square[row + part / 2], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) square[i] = shuffled[i];
  }
#pragma GCC unroll 4
  for (int step = 1; step < parts; step *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < n / 2; ++i) {
      const int row = i / part * 2 * part + i % part;
      shuffled[i] = alternate_parts<part, 0, T>(square[row], square[row + part], lanes);
      shuffled[i + n / 2] = alternate_parts<part, 1, T>(square[row], square[row + part], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) square[i] = shuffled[i];
  }
}

// Reduces all lanes by halving. `combine` must be associative and commutative for the given values.
template <class T, int distance = kLanes<T> / 2, class Combine>
inline T reduce(Vec<T> v, Combine combine) {
  if constexpr (distance == 0) {
    return v[0];
  } else {
    v = combine(v, exchange<distance, T>(v, std::make_integer_sequence<int, kLanes<T>>{}));
    return reduce<T, distance / 2>(v, combine);
  }
}

template <class T>
inline T reduce_add(Vec<T> v) {
  return reduce<T>(v, [](Vec<T> a, Vec<T> b) { return a + b; });
}

// Lane sums of four vectors, with half the shuffles of four separate sums.
template <class T>
inline void add_lanes(const Vec<T> (&v)[4], T (&sums)[4]) {
  constexpr std::make_integer_sequence<int, kLanes<T>> lanes{};
  const auto halve = [&](Vec<T> a, Vec<T> b) {
    return interleave_low<T>(a, b, lanes) + interleave_high<T>(a, b, lanes);
  };
  if constexpr (kLanes<T> == 2) {
    store(sums, halve(v[0], v[1]));
    store(sums + 2, halve(v[2], v[3]));
  } else {
    Vec<T> four = halve(halve(v[0], v[2]), halve(v[1], v[3]));  // lanes repeat v₀ v₁ v₂ v₃
    if constexpr (kLanes<T> >= 16) four += exchange<8, T>(four, lanes);
    if constexpr (kLanes<T> >= 8) four += exchange<4, T>(four, lanes);
    std::memcpy(sums, &four, sizeof(sums));
  }
}

// Whether a comparison of Vec<T> is true in any lane.
template <class T>
inline bool any(Vec<Lane<T>> mask) {
  return reduce<int64_t>((Vec<int64_t>)mask, [](Vec<int64_t> a, Vec<int64_t> b) { return a | b; }) != 0;
}

// The comparison as bits, lane 0 lowest. Uses one instruction per register, which vector extensions cannot express.
template <class T>
inline uint32_t mask_bits(Vec<Lane<T>> mask) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof(T) == 8) return _mm512_movepi64_mask((__m512i)mask);
  if constexpr (sizeof(T) == 4) return _mm512_movepi32_mask((__m512i)mask);
  if constexpr (sizeof(T) == 2) return _mm512_movepi16_mask((__m512i)mask);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 8) return static_cast<uint32_t>(_mm256_movemask_pd((__m256d)mask));
  if constexpr (sizeof(T) == 4) return static_cast<uint32_t>(_mm256_movemask_ps((__m256)mask));
  if constexpr (sizeof(T) == 2) {
    const __m256i all = (__m256i)mask;
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    return static_cast<uint32_t>(_mm_movemask_epi8(bytes));
  }
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 8) return static_cast<uint32_t>(_mm_movemask_pd((__m128d)mask));
  if constexpr (sizeof(T) == 4) return static_cast<uint32_t>(_mm_movemask_ps((__m128)mask));
  if constexpr (sizeof(T) == 2)
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16((__m128i)mask, _mm_setzero_si128())));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes<T>; ++i) bits |= static_cast<uint32_t>(mask[i] & 1) << i;
  return bits;
#endif
}

}  // namespace
}  // namespace recops
