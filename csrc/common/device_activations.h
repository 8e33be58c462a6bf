// Exponentials, and activations that are made of them, in CUDA kernels.
#pragma once

#include <cmath>

#include "common/device.h"
#include "common/device_math.h"

namespace recops {

__device__ __forceinline__ float exponential(float x) { return power_of_two(x * 1.4426950408889634f); }

// e^(−scale·x), at most 2^60: the product of two is finite. NaN stays NaN.
__device__ __forceinline__ float decay(float x, float scale) {
  const float exponent = x * (scale * 1.4426950408889634f);
  return power_of_two(exponent < -60.0f ? 60.0f : -exponent);
}

__device__ __forceinline__ float sigmoid(float x) { return reciprocal(1.0f + decay(x, 1.0f)); }

__device__ __forceinline__ float hyperbolic_tangent(float x) {
  const float e = decay(x, 2.0f);
  return rounded_product(1.0f - e, reciprocal(1.0f + e));
}

// log(1 + e^x)
__device__ __forceinline__ float softplus(float x) {
  return (x > 0.0f ? x : 0.0f) + log1pf(exponential(x > 0.0f ? -x : x));
}

}  // namespace recops
