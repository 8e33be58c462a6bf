// 2^x of whole vectors.
#pragma once

#include <cstdint>

#include "simd/vector-inl.h"

namespace recops {
namespace {

constexpr double kLog2E = 0x1.71547652b82fep+0;

// sum + 2^t for t < 128: 2^t = 2^n · 2^f with |f| ≤ ½, and 2^f is a polynomial (relative error 8e-8). For t < −126, 2^t
// counts as 2^−126. NaN in t gives NaN.
inline Vec<float> add_exp2(Vec<float> sum, Vec<float> t) {
  t = at_least(t, -126.0f);
  // Adding `rounder` rounds t to an integer n and leaves n + 127, the exponent of 2^n, in the low bits.
  const Vec<float> rounder = broadcast(0x1.8p+23f + 127);
  const Vec<float> shifted = t + rounder;
  const Vec<float> f = t - (shifted - rounder);
  Vec<float> p = f * 0x1.5c08e4p-10f + 0x1.3d0c52p-7f;
  p = p * f + 0x1.c6b6e4p-5f;
  p = p * f + 0x1.ebf918p-3f;
  p = p * f + 0x1.62e428p-1f;
  p = p * f + 0x1.000002p+0f;
  return p * (Vec<float>)((Vec<uint32_t>)shifted << 23) + sum;
}

// The same with two AVX-512 instructions: one computes t − floor(t), the other scales by 2^floor(t), down to 0. 2^f
// with 0 ≤ f < 1 is a polynomial (relative error 1.5e-7).
inline Vec<float> add_exp2_scaled(Vec<float> sum, Vec<float> t) {
#if defined(__AVX512DQ__)
  const Vec<float> f = (Vec<float>)_mm512_reduce_ps((__m512)t, _MM_FROUND_FLOOR | _MM_FROUND_NO_EXC);
  Vec<float> p = f * 0x1.ec320ap-10f + 0x1.26900cp-7f;
  p = p * f + 0x1.c95446p-5f;
  p = p * f + 0x1.ebd5a8p-3f;
  p = p * f + 0x1.62e4f6p-1f;
  p = p * f + 0x1.fffffep-1f;
  return sum + (Vec<float>)_mm512_scalef_ps((__m512)p, (__m512)t);
#else
  return add_exp2(sum, t);
#endif
}

inline Vec<double> add_exp2(Vec<double> sum, Vec<double> t) {
  for (int i = 0; i < kLanes<double>; ++i) sum[i] += __builtin_exp2(t[i]);
  return sum;
}

inline Vec<double> add_exp2_scaled(Vec<double> sum, Vec<double> t) { return add_exp2(sum, t); }

}  // namespace
}  // namespace recops
