// Products of weights with the states of a block's rows, and the layout of weights for them.
//
// Packed weights are groups of four consecutive inputs, so that a thread reads four weights with one instruction, and a
// warp reads 512 consecutive bytes:
//
//   packed[quad][gate][unit][4]   W_hh: weights of the states 4·quad … 4·quad + 3 for a unit; zero past the matrix
//   packed[gate][quad][unit][4]   its transpose, for the backward pass: weights of the units 4·quad … 4·quad + 3 of a
//                                 gate for the state `unit`
//
// Sums add the inputs in ascending order, whether the weights are in shared memory or not.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/device_math.h"
#include "common/device_quads.h"
#include "recurrent/cuda_block.h"

namespace recops::recurrent::cuda {

// Values of packed weights [3·hidden, hidden], also of the transposed ones.
__host__ __device__ constexpr int64_t packed_values(int hidden, int units) {
  return int64_t{3} * padded(hidden) * units;
}

// Adds the products of `gates` matrices with the vectors of the thread's rows. `weights` is at the thread's unit.
template <int gates, int rows>
__device__ __forceinline__ void add_products(DevicePointer<const float> weights, int quad_stride, int quads,
                                             DevicePointer<const float> vectors, int vector_stride,
                                             float (&sums)[gates][rows]) {
  RECOPS_KEEP_LOOP
  for (int quad = 0; quad < quads; ++quad) {
    float weight[gates][kQuad];
    RECOPS_UNROLL
    for (int gate = 0; gate < gates; ++gate)
      load_quad(weights + (quad * quad_stride + gate * kUnits<rows> * kQuad), weight[gate]);
    RECOPS_UNROLL
    for (int row = 0; row < rows; ++row) {
      float vector[kQuad];
      load_quad(vectors + (row * vector_stride + quad * kQuad), vector);
      RECOPS_UNROLL
      for (int gate = 0; gate < gates; ++gate) {
        RECOPS_UNROLL
        for (int i = 0; i < kQuad; ++i) sums[gate][row] = multiply_add(weight[gate][i], vector[i], sums[gate][row]);
      }
    }
  }
}

// Copies packed weights to shared memory. A barrier must follow.
__device__ inline void copy_weights(DevicePointer<const float> from, int64_t count, DevicePointer<float> to) {
  for (int64_t i = threadIdx.x; i < count / kQuad; i += kThreads)
    store16<float>(to + i * kQuad, load16<float>(from + i * kQuad));
}

struct PackArguments {
  int hidden, units;
  bool is_transposed;
  DevicePointer<const float> w_hh;  // [3·hidden, hidden]
  DevicePointer<float> packed;

  // Index in w_hh of a weight of gate `gate`: input `input` of unit `unit`.
  __device__ int64_t index(int gate, int input, int unit) const {
    const int row = is_transposed ? input : unit, column = is_transposed ? unit : input;
    return (int64_t{gate} * hidden + row) * hidden + column;
  }
};

__global__ void __launch_bounds__(kThreads) pack_weights(const __grid_constant__ PackArguments a) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= packed_values(a.hidden, a.units)) return;
  const int64_t row = at / kQuad / a.units;
  const int unit = static_cast<int>(at / kQuad % a.units), quads = num_quads(a.hidden);
  const int gate = static_cast<int>(a.is_transposed ? row / quads : row % 3);
  const int input = static_cast<int>((a.is_transposed ? row % quads : row / 3) * kQuad + at % kQuad);
  const bool is_inside = unit < a.hidden && input < a.hidden;
  a.packed[at] = is_inside ? a.w_hh[a.index(gate, input, unit)] : 0.0f;
}

}  // namespace recops::recurrent::cuda
