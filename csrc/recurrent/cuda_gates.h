// Gate arithmetic of one unit of one row at one step. gates-inl.h is the CPU's.
#pragma once

#include "common/device.h"
#include "common/device_activations.h"
#include "common/device_math.h"
#include "recurrent/kernel.h"

namespace recops::recurrent::cuda {

// A Mix for one attention value: k = base + slope·z.
struct RowMix {
  float base, slope;
  __device__ float at(float z) const { return multiply_add(slope, z, base); }
};

struct GateMix {
  float base, base_attention, slope, slope_attention;

  __host__ explicit GateMix(const Mix& mix)
      : base(static_cast<float>(mix.base)),
        base_attention(static_cast<float>(mix.base_attention)),
        slope(static_cast<float>(mix.slope)),
        slope_attention(static_cast<float>(mix.slope_attention)) {}

  __device__ RowMix at(float attention) const {
    return {multiply_add(base_attention, attention, base), multiply_add(slope_attention, attention, slope)};
  }
};

// z = σ(z_sum) and n = tanh(n_sum), computed with a single division.
__device__ __forceinline__ void update_gates(float z_sum, float n_sum, float& z, float& n) {
  const float z_divisor = 1.0f + decay(z_sum, 1.0f), n_decay = decay(n_sum, 2.0f), n_divisor = 1.0f + n_decay;
  const float inverse = reciprocal(z_divisor * n_divisor);
  z = rounded_product(n_divisor, inverse);
  // Rounded so that n has the same value whether or not it is kept.
  n = rounded_product(rounded_product(1.0f - n_decay, z_divisor), inverse);
}

__device__ __forceinline__ float next_state(float h, float z, float n, RowMix mix) {
  return multiply_add(mix.at(z), n - h, h);
}

// ---- Backward. gates-inl.h has the formulas.

// From the gradient dh of the new state: gradients of the sums inside n and z, of the attention (this unit's part), and
// the part of dh that does not pass through a product.
struct UpdateGradients {
  float n_sum, z_sum, attention, h;

  __device__ UpdateGradients(float dh, float h_before, float z, float n, const GateMix& mix, float attention_value) {
    const RowMix row = mix.at(attention_value);
    const float dk = dh * (n - h_before), dn = dh * row.at(z);
    n_sum = dn * (1.0f - n * n);
    z_sum = row.slope * dk * (z * (1.0f - z));
    attention = dk * multiply_add(mix.slope_attention, z, mix.base_attention);
    h = dh - dn;
  }
};

}  // namespace recops::recurrent::cuda
