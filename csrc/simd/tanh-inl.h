// tanh of whole vectors. The relative error is 4e-7 in float, also near 0.
#pragma once

#include "simd/vector-inl.h"

namespace recops {
namespace {

// x · P(x²) / Q(x²), a minimax fit of the relative error up to |x| = 9.02, where float tanh is 1. A formula with e^2x
// would cancel near 0: for example, the cube of a small embedding is 1e-6, and its gradient must stay accurate.
inline Vec<float> tanh(Vec<float> x) {
  x = at_most(at_least(x, -9.02f), 9.02f);
  const Vec<float> z = x * x;
  Vec<float> p = z * 1.33186391577235e-08f + 2.0583161405448698e-05f;
  p = p * z + 0.0034940150651010947f;
  p = p * z + 0.13379701607974262f;
  p = p * z + 0.9999999790544769f;
  Vec<float> q = z * 7.761839682706497e-07f + 0.0003283060937513212f;
  q = q * z + 0.02587099922995393f;
  q = q * z + 0.46713016861500856f;
  q = q * z + 1.0f;
  return x * p / q;
}

inline Vec<double> tanh(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_tanh(x[i]);
  return x;
}

}  // namespace
}  // namespace recops
