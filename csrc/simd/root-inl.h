// Square roots of whole vectors.
#pragma once

#include "simd/vector-inl.h"

namespace recops {
namespace {

inline Vec<float> square_root(Vec<float> v) {
  for (int i = 0; i < kLanes<float>; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
}
inline Vec<double> square_root(Vec<double> v) {
  for (int i = 0; i < kLanes<double>; ++i) v[i] = __builtin_sqrt(v[i]);
  return v;
}

}  // namespace
}  // namespace recops
