// Vectors as wide as the registers of the instruction set a file is compiled for, in the vector extensions that GCC and
// Clang share: one kernel body then serves SSE, AVX2, AVX-512 and NEON.
//
// Everything is in an anonymous namespace, because objects of different instruction sets must share no symbol
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

// v, or `most` where v is more. NaN stays.
template <class T>
inline Vec<T> at_most(Vec<T> v, T most) {
  Vec<T> bound = broadcast(most);
#if defined(__x86_64__)
  asm("" : "+x"(bound));
#endif
  return bound < v ? bound : v;
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

}  // namespace
}  // namespace recops
