// Gates of a block's rows at one step, for the forward pass and for backward passes that recompute them.
#pragma once

#include "common/device.h"
#include "recurrent/cuda_block.h"
#include "recurrent/cuda_gates.h"
#include "recurrent/cuda_products.h"

namespace recops::recurrent::cuda {

// Gates of one unit of a row. q = W_n h + b_n is 0 with reset_before.
struct Gates {
  float r, z, n, q;
};

template <int rows>
class Stepper {
 public:
  // `weights`: packed weights, in shared or global memory. `reset`: [kRows, padded(hidden)] in shared memory, used only
  // with reset_before.
  __device__ Stepper(const ScanArguments& a, DevicePointer<const float> weights, DevicePointer<float> reset)
      : a_(a),
        unit_(own_unit<rows>()),
        first_(own_rows<rows>()),
        padded_(padded(a.hidden)),
        weights_(weights + unit_ * kQuad),
        reset_(reset + first_ * padded_) {
    for (int gate = 0; gate < 3; ++gate)
      bias_[gate] = a.b_hh == nullptr || unit_ >= a.hidden ? 0.0f : a.b_hh[gate * a.hidden + unit_];
  }

  // Calls finish(row, gates) for each of the thread's rows. `inputs`: bits of the gates of the thread's unit. `states`:
  // all units of its rows, in shared memory; `own` is the thread's unit of them. Called by all threads. With
  // reset_before, contains a barrier.
  template <class F>
  __device__ __forceinline__ void find_gates(const uint32_t (&inputs)[3][rows], DevicePointer<const float> states,
                                             const float (&own)[rows], const F& finish) const {
    if (a_.reset_before)
      reset_before(inputs, states, own, finish);
    else
      reset_after(inputs, states, finish);
  }

 private:
  static constexpr int kGateStride = kUnits<rows> * kQuad, kQuadStride = 3 * kGateStride;

  template <class F>
  __device__ __forceinline__ void reset_after(const uint32_t (&inputs)[3][rows], DevicePointer<const float> states,
                                              const F& finish) const {
    float sums[3][rows];
    RECOPS_UNROLL
    for (int gate = 0; gate < 3; ++gate) {
      RECOPS_UNROLL
      for (int row = 0; row < rows; ++row) sums[gate][row] = bias_[gate];
    }
    add_products(weights_, kQuadStride, num_quads(a_.hidden), states, padded_, sums);
    RECOPS_UNROLL
    for (int row = 0; row < rows; ++row) {
      Gates gates;
      gates.r = sigmoid(a_.gates.value(inputs[0][row]) + sums[0][row]);
      gates.q = sums[2][row];
      update_gates(a_.gates.value(inputs[1][row]) + sums[1][row],
                   multiply_add(gates.r, gates.q, a_.gates.value(inputs[2][row])), gates.z, gates.n);
      finish(row, gates);
    }
  }

  template <class F>
  __device__ __forceinline__ void reset_before(const uint32_t (&inputs)[3][rows], DevicePointer<const float> states,
                                               const float (&own)[rows], const F& finish) const {
    float sums[2][rows], candidate[1][rows];
    RECOPS_UNROLL
    for (int row = 0; row < rows; ++row) {
      sums[0][row] = bias_[0];
      sums[1][row] = bias_[1];
      candidate[0][row] = bias_[2];
    }
    add_products(weights_, kQuadStride, num_quads(a_.hidden), states, padded_, sums);
    RECOPS_UNROLL
    for (int row = 0; row < rows; ++row) {
      sums[0][row] = sigmoid(a_.gates.value(inputs[0][row]) + sums[0][row]);
      if (unit_ < padded_) reset_[row * padded_ + unit_] = rounded_product(sums[0][row], own[row]);
    }
    __syncthreads();
    add_products(weights_ + 2 * kGateStride, kQuadStride, num_quads(a_.hidden), DevicePointer<const float>(reset_),
                 padded_, candidate);
    RECOPS_UNROLL
    for (int row = 0; row < rows; ++row) {
      Gates gates{sums[0][row], 0.0f, 0.0f, 0.0f};
      update_gates(a_.gates.value(inputs[1][row]) + sums[1][row], a_.gates.value(inputs[2][row]) + candidate[0][row],
                   gates.z, gates.n);
      finish(row, gates);
    }
  }

  const ScanArguments& a_;
  int unit_, first_, padded_;
  DevicePointer<const float> weights_;
  DevicePointer<float> reset_;
  float bias_[3];
};

}  // namespace recops::recurrent::cuda
