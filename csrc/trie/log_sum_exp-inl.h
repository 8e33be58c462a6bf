// Exact log-sum-exp of a row, and a cheaper rough one that gives a lower bound. Each takes one pass, which also finds
// the largest value and checks for NaN. The order of summation and the reference value do not depend on the number of
// threads, nor on whether the rough pass was run.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "simd/exp2-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

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

template <class T, int... i>
inline Vec<Lane<T>> lane_numbers(std::integer_sequence<int, i...>) {
  return Vec<Lane<T>>{i...};
}

// Loads kLanes values; lanes from `count` on are −inf.
template <class S>
inline Vec<Compute<S>> load_or_minus_infinity(const S* from, int64_t count) {
  using T = Compute<S>;
  if (count >= kLanes<T>) return load_as_compute(from);
  const auto lanes = lane_numbers<T>(std::make_integer_sequence<int, kLanes<T>>{});
  return lanes < static_cast<Lane<T>>(count) ? load_as_compute(from, count) : broadcast(-kInfinity<T>);
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

// Calls take(stream, vector) for all of a row; the last vector is filled with −inf. Reads four parts of the row in
// parallel, because hardware prefetchers keep more memory requests in flight for four streams than for one. Meanwhile
// it prefetches `upcoming`, an array of the same size that is read next.
constexpr int kStreams = 4;

template <class S, class Take>
inline void for_each_vector(const S* values, int64_t count, const S* upcoming, const Take& take) {
  using T = Compute<S>;
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

template <class T>
inline Vec<T> largest(const Vec<T> (&of)[kStreams]) {
  return larger<T>(larger<T>(of[0], of[1]), larger<T>(of[2], of[3]));
}

// A log-sum-exp as a sum of two parts, which are subtracted one after the other. If the values share a large offset,
// the sum of both parts would lose the significant digits.
template <class T>
struct LogSumExp {
  T reference;  // about the largest value
  T log_sum;    // of the exponentials of values − reference
  T max;        // of the values, with an error of up to 1e-4
  bool valid;   // no NaN and no +inf

  T total() const { return reference + log_sum; }
  T subtracted_from(T value) const { return (value - reference) - log_sum; }
};

// From this magnitude on, references use one subtraction per value (see Sum): scaled references would round too
// coarsely, or overflow.
template <class T>
constexpr T kFar{1 << 16};

// Σ 2^t with t = (value − reference) · log2(e). If the reference is not `far` and the machine has fused multiply-add, t
// is one instruction.
template <class T, bool far>
class SumAbout {
 public:
  explicit SumAbout(T reference) : reference_(reference), offset_(broadcast(-reference * static_cast<T>(kLog2E))) {}

  void take(int s, Vec<T> v) {
    const Vec<T> t = exponent(v);
    max_[s] = larger<T>(t, max_[s]);
    sums_[s] = add_exp2_scaled(sums_[s], t);
  }

  // The result is invalid if a value is NaN or +inf, or if the maximum is so far above the reference that t lost
  // precision.
  LogSumExp<T> result() const {
    const T max = reduce_max<T>(largest<T>(max_)), sum = reduce_add<T>((sums_[0] + sums_[1]) + (sums_[2] + sums_[3]));
    // Exponent of the reference itself: 0 except for the rounding of the offset, which affects every term equally.
    const T excess = exponent(broadcast(reference_))[0];
    return {reference_, logarithm(sum) - excess * static_cast<T>(1 / kLog2E),
            reference_ + max * static_cast<T>(1 / kLog2E), max <= 24 && sum == sum};
  }

 private:
  Vec<T> exponent(Vec<T> v) const {
#if defined(__FMA__) || defined(__aarch64__)
    if constexpr (!far) return multiply_add<T>(offset_, v, broadcast(static_cast<T>(kLog2E)));
#endif
    return (v - reference_) * static_cast<T>(kLog2E);
  }

  T reference_;
  Vec<T> offset_;
  Vec<T> sums_[kStreams] = {};
  Vec<T> max_[kStreams] = {};  // starts at 0 because the reference is one of the values
};

template <class T>
using Sum = SumAbout<T, false>;

// Sum with an upper bound for each term, less than 1/16 too large. It uses that the bits of a number are linear between
// powers of two, and 2^f ≤ 1 + f.
template <class T>
class RoughSum {
 public:
  explicit RoughSum(T reference)
      : reference_(reference), offset_(broadcast(kOrigin + kBias - reference * static_cast<T>(kLog2E))) {}

  void take(int s, Vec<T> v) {
    // All numbers from kOrigin to 2 · kOrigin have the same exponent. Shifting it out leaves t + bias in the exponent
    // field. Smaller t become 0.
    const Vec<T> t = v * broadcast(static_cast<T>(kLog2E)) + offset_;
    const auto bits = (Vec<Bits>)at_least(t, kOrigin);
    max_[s] = larger<Bits>(bits, max_[s]);  // +inf and both NaNs compare as largest
    sums_[s] += (Vec<T>)(bits << kShift);
  }

  // The result is invalid if a value is NaN or +inf, or if the reference is far from the maximum.
  LogSumExp<T> result() const {
    const Bits bits = reduce_max<Bits>(largest<Bits>(max_));
    T max;
    std::memcpy(&max, &bits, sizeof(max));
    const T sum = reduce_add<T>((sums_[0] + sums_[1]) + (sums_[2] + sums_[3]));
    // (1 + f) / 2^f ≤ 1.0615; the slack covers rounding.
    return {reference_, logarithm(sum * (T{16} / 17)), (max - offset_[0]) * static_cast<T>(1 / kLog2E),
            std::abs(max - (kOrigin + kBias)) <= 100};
  }

 private:
  using Bits = std::make_unsigned_t<Lane<T>>;
  static constexpr int kShift = sizeof(T) == 8 ? 12 : 9;  // sign and exponent
  static constexpr int kBias = sizeof(T) == 8 ? 1023 : 127;
  static constexpr T kOrigin = 1 << kShift;

  T reference_;
  Vec<T> offset_;
  Vec<T> sums_[kStreams] = {};
  Vec<Bits> max_[kStreams] = {};
};

template <class Terms, class S, class T = Compute<S>>
LogSumExp<T> sum_of(const S* values, int64_t count, const S* upcoming, T reference) {
  Terms terms(reference);
  for_each_vector(values, count, upcoming, [&](int s, Vec<T> v) { terms.take(s, v); });
  return terms.result();
}

// Uses the sum `Terms`, or SumAbout<T, true> for values far from 0. Returns −inf if all values are −inf.
template <template <class> class Terms, class S>
LogSumExp<Compute<S>> log_sum_exp_by(const S* values, int64_t count, const S* upcoming) {
  using T = Compute<S>;
  if (count == 0) return {-kInfinity<T>, 0, -kInfinity<T>, true};
  const T first = reduce_max<T>(load_or_minus_infinity(values, count));
  if (std::abs(first) < kFar<T>)
    if (const LogSumExp<T> found = sum_of<Terms<T>>(values, count, upcoming, first); found.valid) return found;
  const Extent<T> all = extent(values, count);
  if (!all.valid || all.max == -kInfinity<T>) return {all.max, 0, all.max, all.valid};
  return std::abs(all.max) < kFar<T> ? sum_of<Terms<T>>(values, count, upcoming, all.max)
                                     : sum_of<SumAbout<T, true>>(values, count, upcoming, all.max);
}

template <class S>
LogSumExp<Compute<S>> log_sum_exp(const S* values, int64_t count, const S* upcoming) {
  return log_sum_exp_by<Sum>(values, count, upcoming);
}

// Result in [log-sum-exp − 1/16, log-sum-exp], including rounding.
template <class S>
LogSumExp<Compute<S>> rough_log_sum_exp(const S* values, int64_t count, const S* upcoming) {
  return log_sum_exp_by<RoughSum>(values, count, upcoming);
}

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
