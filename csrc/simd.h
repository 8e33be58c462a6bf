// Vectors as wide as the registers of the instruction set a file is compiled for, in the vector extensions that GCC and
// Clang share: one kernel body then serves SSE, AVX2, AVX-512 and NEON.
//
// Everything is in an anonymous namespace, because objects of different instruction sets must share no symbol (isa.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "dtype.h"

namespace recops {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kVectorRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kVectorRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kVectorRegisters = 32;
#else
constexpr int kVectorBytes = 16, kVectorRegisters = 16;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T half __attribute__((vector_size(kVectorBytes / 2)));
};
template <class T>
using Vec = typename VectorOf<T>::type;
template <class T>
constexpr int kLanes = kVectorBytes / int{sizeof(T)};

// The integer as wide as T: what a comparison of Vec<T> yields, lane by lane 0 or −1.
template <class T>
using Lane = std::conditional_t<sizeof(T) == 8, int64_t, std::conditional_t<sizeof(T) == 2, int16_t, int32_t>>;

template <class T>
inline Vec<T> load(const T* from) {
  Vec<T> v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

template <class T>
inline void store(T* to, Vec<T> v) {
  std::memcpy(to, &v, sizeof(v));
}

template <class T>
inline Vec<T> broadcast(T x) {
  return x - Vec<T>{};  // x − 0 is x, −0 included.
}

// v, or `least` where v is less. NaN stays.
template <class T>
inline Vec<T> at_least(Vec<T> v, T least) {
  Vec<T> bound = broadcast(least);
  // GCC 12 takes a known constant into no maximum: it compares and blends.
#if defined(__x86_64__)
  asm("" : "+x"(bound));
#endif
  return bound > v ? bound : v;
}

// sum + a·b, rounded once where the instruction set has that. GCC contracts a·b + sum to it as well, but for a lone
// chain of such sums, which then rounds otherwise than the same sum in wider company.
template <class T>
inline Vec<T> multiply_add(Vec<T> sum, Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 8) return (Vec<T>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)sum);
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif defined(__FMA__)
  if constexpr (sizeof(T) == 8) return (Vec<T>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)sum);
  if constexpr (sizeof(T) == 4) return (Vec<T>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#else
  return a * b + sum;
#endif
}

// v itself, a product rounded by now: else the compiler fuses it into a sum or not, depending on its other uses.
template <class T>
inline Vec<T> rounded(Vec<T> v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__x86_64__)
  asm("" : "+x"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

// ---- 16-bit floats: stored as such, computed with as float.

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

// What values stored as S are computed and accumulated in.
template <class S>
using Compute = std::conditional_t<std::is_same_v<S, double>, double, float>;

// f(S{}) with S the type that values of this dtype are stored as.
template <class F>
auto with_stored_type(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::bf16: return f(Bf16{});
    case Dtype::f16: return f(F16{});
    case Dtype::f64: return f(double{});
    default: return f(float{});
  }
}

inline Vec<float> widen(Bf16, Vec<uint32_t> bits) { return (Vec<float>)(bits << 16); }

inline Vec<float> widen(F16, Vec<uint32_t> bits) {
  const Vec<uint32_t> sign = (bits & 0x8000u) << 16;
  const Vec<uint32_t> magnitude = (bits & 0x7fffu) << 13;
  const Vec<float> finite = (Vec<float>)magnitude * 0x1p112f;  // moves the exponent bias from 15 to 127; subnormals too
  const Vec<uint32_t> special = magnitude | 0x7f800000u;       // inf and NaN
  return (Vec<float>)(sign | ((Vec<int32_t>)magnitude >= 0x0f800000 ? special : (Vec<uint32_t>)finite));
}

// Both round to nearest, ties to even, and keep NaN a NaN.
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
  // Below 2^-14 the result is a multiple of 2^-24, which is the last place of 0.5: let the addition round.
  const Vec<uint32_t> subnormal = (Vec<uint32_t>)((Vec<float>)bits + 0.5f) - 0x3f000000u;
  const Vec<uint32_t> infinite = broadcast(0x7c00u), nan = broadcast(0x7e00u);
  Vec<uint32_t> result = size < 0x38800000 ? subnormal : normal;
  result = size >= 0x47800000 ? infinite : result;
  return sign | (size > 0x7f800000 ? nan : result);
}

// kLanes<Compute<S>> values stored as S.
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

// Whether a part of a vector is loaded at the price of a whole one.
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

// The first `count` lanes only, the others zero; count may pass the number of lanes.
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

// ---- Across lanes.

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
// Of a's and then of b's parts of W lanes, those at even places, or with `odd` the others.
template <int W, int odd, class T, int... I>
inline Vec<T> alternate_parts(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, b, (2 * (I / W) + odd) * W + I % W...);
}
template <int distance, class T, int... I>
inline Vec<T> exchange(Vec<T> a, std::integer_sequence<int, I...>) {
  return RECOPS_SHUFFLE(T, a, a, (I ^ distance)...);
}
#undef RECOPS_SHUFFLE

// Rows become columns: log2(lanes) steps over a square of registers. Those inside parts of 128 bits come first, and
// those behind move whole parts, so that no shuffle needs a table of lanes.
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

// f(all lanes) by halving, `combine` being associative and commutative on the values at hand.
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

// The sums over the lanes of four vectors, at half the shuffles of four sums.
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
    Vec<T> four = halve(halve(v[0], v[2]), halve(v[1], v[3]));  // v₀ v₁ v₂ v₃ in turn
    if constexpr (kLanes<T> >= 16) four += exchange<8, T>(four, lanes);
    if constexpr (kLanes<T> >= 8) four += exchange<4, T>(four, lanes);
    std::memcpy(sums, &four, sizeof(sums));
  }
}

// Whether a comparison of Vec<T> holds in any lane.
template <class T>
inline bool any(Vec<Lane<T>> mask) {
  return reduce<Lane<T>>(mask, [](Vec<Lane<T>> a, Vec<Lane<T>> b) { return a | b; }) != 0;
}

// The comparison as bits, lane 0 the lowest. A register's worth in one instruction, which no vector extension spells.
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
