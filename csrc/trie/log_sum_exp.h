// The log-sum-exp of a row, read once: terms are taken relative to one of its values instead of its maximum, and only a
// row that towers over that value is read again. Every row is summed in the same order, whatever the number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "exp2.h"
#include "simd.h"

namespace recops::trie::RECOPS_ISA {
namespace {

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

// kLanes values; past `count` of them, −inf.
template <class T>
inline Vec<T> load_or_minus_infinity(const T* from, int64_t count) {
  if (count >= kLanes<T>) return load(from);
  T padded[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) padded[i] = i < count ? from[i] : -kInfinity<T>;
  return load(padded);
}

template <class T>
inline T reduce_max(Vec<T> v) {
  return reduce<T>(v, [](Vec<T> a, Vec<T> b) { return a > b ? a : b; });
}

template <class T>
struct Extent {
  T max;
  bool valid;  // no NaN and no +inf
};

// `upcoming` is what will be read next, as long as these (or these again): it is fetched meanwhile, so that memory and
// arithmetic work side by side.
template <class T>
Extent<T> extent(const T* values, int64_t count, const T* upcoming) {
  constexpr int kUnroll = 4;
  const Vec<T> infinity = broadcast(kInfinity<T>);
  Vec<T> max[kUnroll];
  Vec<Lane<T>> valid[kUnroll];
  for (int u = 0; u < kUnroll; ++u) {
    max[u] = -infinity;
    valid[u] = max[u] == max[u];
  }
  const auto take = [&](int u, Vec<T> v) {
    max[u] = v > max[u] ? v : max[u];
    valid[u] &= v < infinity;
  };
  int64_t i = 0;
  for (; i + kUnroll * kLanes<T> <= count; i += kUnroll * kLanes<T>)
#pragma GCC unroll 4
    for (int u = 0; u < kUnroll; ++u) {
      if (u * kVectorBytes % 64 == 0) __builtin_prefetch(upcoming + i + u * kLanes<T>, 0, 2);
      take(u, load(values + i + u * kLanes<T>));
    }
  for (; i < count; i += kLanes<T>) take(0, load_or_minus_infinity(values + i, count - i));
  for (int u = 1; u < kUnroll; ++u) {
    max[0] = max[u] > max[0] ? max[u] : max[0];
    valid[0] &= valid[u];
  }
  const auto all = reduce<Lane<T>>(valid[0], [](Vec<Lane<T>> a, Vec<Lane<T>> b) { return a & b; });
  return {reduce_max<T>(max[0]), all != 0};
}

inline float logarithm(float x) { return __builtin_logf(x); }
inline double logarithm(double x) { return __builtin_log(x); }

inline float exponential(float x) { return __builtin_expf(x); }
inline double exponential(double x) { return __builtin_exp(x); }

// Σ e^(value − reference) of the values it is given, NaN where one of them is; it holds while max − reference ≤ kReach.
template <class T>
class Exponentials {
 public:
  static constexpr T kReach = 32;

  explicit Exponentials(T reference) : reference_(reference), offset_(broadcast(reference * T{kLog2E})) {}

  // `upcoming`: as in `extent`.
  void add(const T* values, int64_t count, const T* upcoming) {
    const auto take = [this](int u, Vec<T> v) {
      max_[u] = v > max_[u] ? v : max_[u];
      sums_[u] = add_exp2(sums_[u], exponent(v));
    };
    int64_t i = 0;
    for (; i + kUnroll * kLanes<T> <= count; i += kUnroll * kLanes<T>)
#pragma GCC unroll 2
      for (int u = 0; u < kUnroll; ++u) {
        if (u * kVectorBytes % 64 == 0) __builtin_prefetch(upcoming + i + u * kLanes<T>, 0, 2);
        take(u, load(values + i + u * kLanes<T>));
      }
    for (; i < count; i += kLanes<T>) take(0, load_or_minus_infinity(values + i, count - i));
  }

  T sum() const { return reduce_add<T>(sums_[0] + sums_[1]); }

  T log_sum() const {
    const T rounding = exponent(broadcast(reference_))[0];  // the offset's, where v · log2(e) is not rounded but fused
    return reference_ + (logarithm(sum()) - rounding / T{kLog2E});
  }

  T max() const { return reduce_max<T>(max_[0] > max_[1] ? max_[0] : max_[1]); }

 private:
  Vec<T> exponent(Vec<T> v) const { return v * broadcast(T{kLog2E}) - offset_; }

  static constexpr int kUnroll = 2;  // four would spill the polynomial's constants at 16 registers

  T reference_;
  Vec<T> offset_;
  Vec<T> sums_[kUnroll] = {}, max_[kUnroll] = {broadcast(-kInfinity<T>), broadcast(-kInfinity<T>)};
};

// log Σ e^values, or −inf if all values are, or +inf as soon as it is known to pass `enough`. NaN where a value is NaN
// or +inf. `upcoming`: as in `extent`.
template <class T>
T log_sum_exp(const T* values, int64_t count, const T* upcoming, T enough) {
  if (count == 0) return -kInfinity<T>;
  constexpr int64_t kChunk = 1024;
  T reference = reduce_max<T>(load_or_minus_infinity(values, count));
  if (std::abs(reference) < kInfinity<T>) {
    const T limit = exponential(enough - reference);
    Exponentials<T> terms(reference);
    for (int64_t i = 0; i < count; i += kChunk) {
      terms.add(values + i, std::min(kChunk, count - i), upcoming + i);
      const T sum = terms.sum();
      if (sum > limit && terms.max() - reference <= terms.kReach) {
        const int64_t rest = std::min(i + kChunk, count);
        return extent(values + rest, count - rest, upcoming + rest).valid ? kInfinity<T>
                                                                          : std::numeric_limits<T>::quiet_NaN();
      }
    }
    if (terms.max() - reference <= terms.kReach) return terms.log_sum();
  }
  const Extent<T> row = extent(values, count, upcoming);
  if (!row.valid) return std::numeric_limits<T>::quiet_NaN();
  if (row.max == -kInfinity<T>) return -kInfinity<T>;
  Exponentials<T> terms(row.max);
  terms.add(values, count, upcoming);
  return terms.log_sum();
}

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
