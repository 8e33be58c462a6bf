// The log-sum-exp of a row in two passes: a rough one over memory, five instructions a vector, which tells how large it
// is at least; then, where that still matters, the exact one over what is in the cache by now. Every row is summed in
// the same order, whatever the number of threads.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "exp2.h"
#include "simd.h"

namespace recops::trie::RECOPS_ISA {
namespace {

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

template <class T>
inline Vec<T> larger(Vec<T> a, Vec<T> b) {
  return a > b ? a : b;
}

template <class T>
inline T reduce_max(Vec<T> v) {
  return reduce<T>(v, [](Vec<T> a, Vec<T> b) { return larger<T>(a, b); });
}

// kLanes values; past `count` of them, −inf.
template <class S>
inline Vec<Compute<S>> load_or_minus_infinity(const S* from, int64_t count) {
  using T = Compute<S>;
  if (count >= kLanes<T>) return load_as_compute(from);
  Vec<T> v = load_as_compute(from, count);
  for (int64_t i = count; i < kLanes<T>; ++i) v[i] = -kInfinity<T>;
  return v;
}

template <class T>
struct Extent {
  T max;
  bool valid;  // no NaN and no +inf
};

template <class S>
Extent<Compute<S>> extent(const S* values, int64_t count) {
  using T = Compute<S>;
  const Vec<T> infinity = broadcast(kInfinity<T>);
  Vec<T> max = -infinity;
  Vec<Lane<T>> valid = max == max;
  const auto take = [&](Vec<T> v) {
    max = larger<T>(v, max);
    valid &= v < infinity;
  };
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) take(load_as_compute(values + i));
  if (i < count) take(load_or_minus_infinity(values + i, count - i));
  const auto all = reduce<Lane<T>>(valid, [](Vec<Lane<T>> a, Vec<Lane<T>> b) { return a & b; });
  return {reduce_max<T>(max), all != 0};
}

inline float logarithm(float x) { return __builtin_logf(x); }
inline double logarithm(double x) { return __builtin_log(x); }

// Σ 2^t with t = (value − reference) · log2(e), each term from above by less than 1/16: between powers of two the bits
// of a number are linear, and 2^f ≤ 1 + f.
template <class T>
class RoughSum {
 public:
  explicit RoughSum(T reference) : offset_(broadcast(kOrigin + kBias - reference * static_cast<T>(kLog2E))) {}

  // Reads four stretches side by side: the prefetchers of a core keep more memory under way for four streams than for
  // one (16 MiB in 0.70 ms against 0.95, a Zen 3 core).
  template <class S>
  void add(const S* values, int64_t count, const S* upcoming) {
    const int64_t stretch = count / (kStreams * kLanes<T>)*kLanes<T>;
    for (int64_t i = 0; i < stretch; i += kLanes<T>)
#pragma GCC unroll 4
      for (int s = 0; s < kStreams; ++s) {
        __builtin_prefetch(upcoming + s * stretch + i, 0, 2);
        take(s, load_as_compute(values + s * stretch + i));
      }
    for (int64_t i = kStreams * stretch; i < count; i += kLanes<T>)
      take(0, load_or_minus_infinity(values + i, count - i));
  }

  // Does the sum hold? It does not where there was a NaN or +inf, or where the reference is far off the maximum.
  bool holds() const { return std::abs(shifted_max() - (kOrigin + kBias)) <= 100; }

  // The largest value, where the sum holds, but for the rounding of kOrigin's last place.
  T max() const { return (shifted_max() - offset_[0]) * static_cast<T>(1 / kLog2E); }

  T sum() const { return reduce_add<T>((sums_[0] + sums_[1]) + (sums_[2] + sums_[3])); }

 private:
  using Bits = std::make_unsigned_t<Lane<T>>;
  static constexpr int kStreams = 4;
  static constexpr int kShift = sizeof(T) == 8 ? 12 : 9;  // sign and exponent
  static constexpr int kBias = sizeof(T) == 8 ? 1023 : 127;
  static constexpr T kOrigin = 1 << kShift;

  T shifted_max() const {
    const Bits bits = reduce_max<Bits>(larger<Bits>(larger<Bits>(max_[0], max_[1]), larger<Bits>(max_[2], max_[3])));
    T max;
    std::memcpy(&max, &bits, sizeof(max));
    return max;
  }

  void take(int s, Vec<T> v) {
    // From kOrigin to 2 · kOrigin all numbers have one exponent; shifted out, it leaves t + bias where a number keeps
    // its own. Smaller t become the number 0.
    const Vec<T> t = v * broadcast(static_cast<T>(kLog2E)) + offset_;
    const auto bits = (Vec<Bits>)at_least(t, kOrigin);
    max_[s] = larger<Bits>(bits, max_[s]);  // +inf and both NaNs are the largest
    sums_[s] += (Vec<T>)(bits << kShift);
  }

  Vec<T> offset_;
  Vec<T> sums_[kStreams] = {};
  Vec<Bits> max_[kStreams] = {};
};

template <class T>
struct RoughLogSumExp {
  T at_least;  // from log Σ e^values − 1/16 up to log Σ e^values, rounding and all
  T max;       // of the values, up to 1e-4
  bool valid;  // no NaN and no +inf
};

// Both −inf if all values are.
template <class S>
RoughLogSumExp<Compute<S>> rough_log_sum_exp(const S* values, int64_t count, const S* upcoming) {
  using T = Compute<S>;
  const auto from = [](const RoughSum<T>& terms, T reference, T max) -> RoughLogSumExp<T> {
    // (1 + f) / 2^f ≤ 1.0615; the rest is left for rounding.
    return {reference + logarithm(terms.sum() * (T{16} / 17)), max, true};
  };
  if (count == 0) return {-kInfinity<T>, -kInfinity<T>, true};
  const T reference = reduce_max<T>(load_or_minus_infinity(values, count));
  RoughSum<T> terms(reference);
  terms.add(values, count, upcoming);
  if (terms.holds()) return from(terms, reference, terms.max());
  const Extent<T> all = extent(values, count);
  if (!all.valid || all.max == -kInfinity<T>) return {all.max, all.max, all.valid};
  terms = RoughSum<T>(all.max);
  terms.add(values, count, upcoming);
  return from(terms, all.max, all.max);
}

// log Σ e^values, none of which is NaN or over `near` + 1, given `near`, finite and for accuracy near the result.
// `upcoming`, as many values, is what will be read next: it is fetched meanwhile, so that memory and arithmetic work
// side by side.
template <class S>
Compute<S> log_sum_exp(const S* values, int64_t count, Compute<S> near, const S* upcoming) {
  using T = Compute<S>;
  constexpr int kUnroll = 2;
  constexpr int64_t kPerLine = 64 / sizeof(S);
  Vec<T> sums[kUnroll] = {};
  const T offset = near * static_cast<T>(kLog2E);
  const auto add = [&](int u, Vec<T> v) {
    sums[u] = add_exp2(sums[u], v * broadcast(static_cast<T>(kLog2E)) - broadcast(offset));
  };
  int64_t i = 0;
  for (; i + kUnroll * kLanes<T> <= count; i += kUnroll * kLanes<T>)
#pragma GCC unroll 2
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t at = i + u * kLanes<T>;
      if (at % kPerLine == 0) __builtin_prefetch(upcoming + at, 0, 2);
      add(u, load_as_compute(values + at));
    }
  for (; i < count; i += kLanes<T>) add(0, load_or_minus_infinity(values + i, count - i));
  return offset * static_cast<T>(1 / kLog2E) + logarithm(reduce_add<T>(sums[0] + sums[1]));
}

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
