// One step of a GRU for the users of a block. gru-inl.h has the formulas.
#pragma once

#include "common/device.h"
#include "common/device_activations.h"
#include "common/device_math.h"
#include "memory/cuda_matrix.h"

namespace recops::memory::cuda {

struct GruShape {
  int inputs, size;
  MatrixShape matrix;  // [3·size, inputs | size]: W of r, z and n, and after them U
};

__host__ __device__ constexpr GruShape gru_shape(int inputs, int size, int64_t offset) {
  return {inputs, size, {offset, 3 * size, inputs, size}};
}

struct Gru {
  Matrix matrix;
  DevicePointer<const float> bias;  // [3·size]
  int size;

  // Computes r, z and W_n x + b_n (gates), and r·h (reset). A barrier must follow.
  template <int users>
  __device__ __forceinline__ void find_gates(const Vectors& x, const Vectors& h, const Vectors& gates,
                                             const Vectors& reset) const {
    for_rows<users>(0, 3 * size, [&](int row, int first) {
      float sums[kTaskUsers<users>];
      const float start = bias[row];
      RECOPS_UNROLL
      for (float& sum : sums) sum = start;
      matrix.add_first(row, x, first, sums);
      if (row < 2 * size) matrix.add_second(row, h, first, sums);
      RECOPS_UNROLL
      for (int i = 0; i < kTaskUsers<users>; ++i) {
        const int user = first + i;
        if (row >= 2 * size) {
          gates.at(user, row) = sums[i];
          continue;
        }
        const float gate = sigmoid(sums[i]);
        gates.at(user, row) = gate;
        if (row < size) reset.at(user, row) = rounded_product(gate, h.at(user, row));
      }
    });
  }

  // Completes gate n, and calls finish(user, unit, next state).
  template <int users, class F>
  __device__ __forceinline__ void find_states(const Vectors& h, const Vectors& gates, const Vectors& reset,
                                              const F& finish) const {
    for_rows<users>(2 * size, 3 * size, [&](int row, int first) {
      float sums[kTaskUsers<users>];
      RECOPS_UNROLL
      for (int i = 0; i < kTaskUsers<users>; ++i) sums[i] = gates.at(first + i, row);
      matrix.add_second(row, reset, first, sums);
      RECOPS_UNROLL
      for (int i = 0; i < kTaskUsers<users>; ++i) {
        const int user = first + i, unit = row - 2 * size;
        const float n = hyperbolic_tangent(sums[i]);
        gates.at(user, row) = n;
        finish(user, unit, multiply_add(gates.at(user, size + unit), h.at(user, unit) - n, n));
      }
    });
  }
};

}  // namespace recops::memory::cuda
