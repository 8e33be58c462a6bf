// The log-sum-exp of a row, in two sweeps over memory that is then in cache: its maximum, then the sum. Every row is
// summed in the same order, whatever the number of threads.
#pragma once

#include <cstdint>
#include <limits>

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

template <class T>
Extent<T> extent(const T* values, int64_t count) {
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
    for (int u = 0; u < kUnroll; ++u) take(u, load(values + i + u * kLanes<T>));
  for (; i < count; i += kLanes<T>) take(0, load_or_minus_infinity(values + i, count - i));
  for (int u = 1; u < kUnroll; ++u) {
    max[0] = max[u] > max[0] ? max[u] : max[0];
    valid[0] &= valid[u];
  }
  const auto all = reduce<Lane<T>>(valid[0], [](Vec<Lane<T>> a, Vec<Lane<T>> b) { return a & b; });
  return {reduce_max<T>(max[0]), all != 0};
}

// e^x for x ≤ 0: 2^n · 2^f with |f| ≤ ½, 2^f by a polynomial (relative error 8e-8). Below −87 it stays at e^−87, which
// is nothing beside the maximum's 1.
inline Vec<float> exp_nonpositive(Vec<float> x) {
  const Vec<float> lowest = broadcast(-87.0f);
  const Vec<float> t = (x > lowest ? x : lowest) * 0x1.715476p+0f;
  const Vec<float> rounder = broadcast(0x1.8p+23f);  // adding it rounds t to an integer n, in the low bits of the sum
  const Vec<float> shifted = t + rounder;
  const Vec<float> f = t - (shifted - rounder);
  Vec<float> p = f * 0x1.5c08e4p-10f + 0x1.3d0c52p-7f;
  p = p * f + 0x1.c6b6e4p-5f;
  p = p * f + 0x1.ebf918p-3f;
  p = p * f + 0x1.62e428p-1f;
  p = p * f + 0x1.000002p+0f;
  return (Vec<float>)((Vec<uint32_t>)p + ((Vec<uint32_t>)shifted << 23));
}

inline Vec<double> exp_nonpositive(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

inline float logarithm(float x) { return __builtin_logf(x); }
inline double logarithm(double x) { return __builtin_log(x); }

// log Σ e^values, `max` being the finite maximum. `upcoming`, if any, is what will be read next, as long as this row:
// it is fetched meanwhile, so that memory and the polynomial work side by side.
template <class T>
T log_sum_exp(const T* values, int64_t count, T max, const void* upcoming) {
  constexpr int kUnroll = 4;
  const Vec<T> offset = broadcast(max);
  Vec<T> sums[kUnroll] = {};
  int64_t i = 0;
  for (; i + kUnroll * kLanes<T> <= count; i += kUnroll * kLanes<T>)
#pragma GCC unroll 4
    for (int u = 0; u < kUnroll; ++u) {
      if (upcoming != nullptr && u * kVectorBytes % 64 == 0)
        __builtin_prefetch(static_cast<const char*>(upcoming) + (i + u * kLanes<T>)*int64_t{sizeof(T)});
      sums[u] += exp_nonpositive(load(values + i + u * kLanes<T>) - offset);
    }
  for (; i < count; i += kLanes<T>) {
    const Vec<T> terms = exp_nonpositive(load_or_minus_infinity(values + i, count - i) - offset);
    sums[0] += terms;
  }
  return max + logarithm(reduce_add<T>((sums[0] + sums[1]) + (sums[2] + sums[3])));
}

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
