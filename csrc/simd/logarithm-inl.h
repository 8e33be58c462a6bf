// Natural logarithm of whole vectors.
#pragma once

#include "simd/vector-inl.h"

namespace recops {
namespace {

// For positive normal numbers. The error is at most 1e-7 · max(|result|, 1). x = 2^e · m with m from √½ to √2; log m is
// the atanh series at s = (m − 1) / (m + 1), where s² < 0.0295.
inline Vec<float> logarithm(Vec<float> x) {
  const Vec<uint32_t> shifted = (Vec<uint32_t>)x - 0x3f3504f3u;
  const Vec<int32_t> e = (Vec<int32_t>)shifted >> 23;
  const Vec<float> m = (Vec<float>)((shifted & 0x7fffffu) + 0x3f3504f3u);
  const Vec<float> s = (m - 1.0f) / (m + 1.0f), z = s * s;
  Vec<float> p = z * 0x1.c71c72p-4f + 0x1.24924ap-3f;
  p = p * z + 0x1.99999ap-3f;
  p = p * z + 0x1.555556p-2f;
  const Vec<float> twice = s + s;
  const Vec<float> result = __builtin_convertvector(e, Vec<float>) * 0x1.62e430p-1f + (twice + twice * (p * z));
  return x == x ? result : x;
}

inline Vec<double> logarithm(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_log(x[i]);
  return x;
}

}  // namespace
}  // namespace recops
