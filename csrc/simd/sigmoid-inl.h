// Logistic function of whole vectors.
#pragma once

#include "simd/exp2-inl.h"
#include "simd/vector-inl.h"

namespace recops {
namespace {

// sum + e^(−scale·x), where the exponential is at most 2^60 (float) or 2^500 (double): the product of two such sums is
// finite.
template <class T>
inline Vec<T> add_decay(Vec<T> sum, Vec<T> x, double scale) {
  constexpr T kLeast = sizeof(T) == 4 ? T{-60} : T{-500};
  return add_exp2(sum, -at_least<T>(x * static_cast<T>(scale * kLog2E), kLeast));
}

template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> one = broadcast(T{1});
  return one / add_decay<T>(one, x, 1);
}

}  // namespace
}  // namespace recops
