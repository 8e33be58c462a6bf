// Vectors with the register width of the target instruction set, in vector extensions of GCC and Clang. One kernel body
// serves SSE, AVX2, AVX-512 and NEON.
//
// Everything is in an anonymous namespace, because objects of different instruction sets must not share symbols
// (common/isa.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

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

// Integer with the width of T. Comparisons of Vec<T> give vectors of it, with 0 or −1 per lane.
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
  return x - Vec<T>{};  // x − 0 equals x, also for −0.
}

// max(v, least); NaN in v stays NaN.
template <class T>
inline Vec<T> at_least(Vec<T> v, T least) {
  Vec<T> bound = broadcast(least);
  // Hides the constant: with a known constant, GCC 12 compares and blends instead of using a maximum instruction.
#if defined(__x86_64__)
  asm("" : "+x"(bound));
#endif
  return bound > v ? bound : v;
}

// min(v, most); NaN in v stays NaN.
template <class T>
inline Vec<T> at_most(Vec<T> v, T most) {
  Vec<T> bound = broadcast(most);
#if defined(__x86_64__)
  asm("" : "+x"(bound));
#endif
  return bound < v ? bound : v;
}

// sum + a·b with a single rounding if the instruction set has FMA. GCC usually contracts a·b + sum too, but not in a
// single chain of sums. The result would then depend on how many chains the loop has.
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

// Returns v and forces a pending product to be rounded. Otherwise its other uses decide whether the compiler fuses it
// into a sum.
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

}  // namespace
}  // namespace recops
