// Arithmetic in CUDA kernels, for nvcc and for the emulation on the host.
#pragma once

#include <cmath>

#include "common/device.h"

namespace recops {

// a·b + c, rounded once on a GPU. The compiler chooses which other products and sums to fuse, and may choose
// differently in two kernels that must give the same bits.
__device__ __forceinline__ float multiply_add(float a, float b, float c) {
#if defined(__CUDACC__)
  return __fmaf_rn(a, b, c);
#else
  return a * b + c;
#endif
}

// a·b, rounded before any sum.
__device__ __forceinline__ float rounded_product(float a, float b) {
#if defined(__CUDACC__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

// 2^x, with a relative error of up to 2^-22. Results below 2^-126 are 0.
__device__ __forceinline__ float power_of_two(float x) {
#if defined(__CUDACC__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return exp2f(x);
#endif
}

// 1 / x, with a relative error of up to 2^-23.
__device__ __forceinline__ float reciprocal(float x) {
#if defined(__CUDACC__)
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return 1 / x;
#endif
}

}  // namespace recops
