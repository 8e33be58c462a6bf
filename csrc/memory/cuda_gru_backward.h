// Backward pass of a GRU's step, and products with transposed weights. gru-inl.h has the formulas.
#pragma once

#include "common/device.h"
#include "common/device_math.h"
#include "common/device_quads.h"
#include "memory/cuda_gru.h"
#include "memory/cuda_warp.h"

namespace recops::memory::cuda {

// Products of the columns of quads [begin, end) and rows [begin_row, end_row) with vectors of the rows. A warp computes
// four columns and reads the rows of a packed matrix in order, so transposed weights need no copy.
template <int users, class F>
__device__ __forceinline__ void for_columns(const Matrix& matrix, int begin, int end, int begin_row, int end_row,
                                            const Vectors& vectors, const F& finish) {
  for_warps(end - begin, [&](int task, int lane) {
    float sums[users][kQuad] = {};
    const int quad = begin + task;
    for (int row = begin_row + lane; row < end_row; row += kWarpSize) {
      float weight[kQuad];
      load_quad(matrix.weights + (int64_t{quad} * matrix.shape.rows + row) * kQuad, weight);
      RECOPS_UNROLL
      for (int u = 0; u < users; ++u) {
        const float value = vectors.at(u, row);
        RECOPS_UNROLL
        for (int i = 0; i < kQuad; ++i) sums[u][i] = multiply_add(weight[i], value, sums[u][i]);
      }
    }
    RECOPS_UNROLL
    for (int u = 0; u < users; ++u) {
      RECOPS_UNROLL
      for (int i = 0; i < kQuad; ++i) {
        const float sum = sum_of_warp(sums[u][i]);
        if (lane == u * kQuad + i) finish(u, task * kQuad + i, sum);
      }
    }
  });
}

// Calls finish(user, column, sum) for the columns of the first or second part.
template <int users, class F>
__device__ __forceinline__ void for_first_columns(const Matrix& matrix, int begin_row, int end_row,
                                                  const Vectors& vectors, const F& finish) {
  for_columns<users>(matrix, 0, num_quads(matrix.shape.first), begin_row, end_row, vectors,
                     [&](int u, int column, float sum) {
                       if (column < matrix.shape.first) finish(u, column, sum);
                     });
}
template <int users, class F>
__device__ __forceinline__ void for_second_columns(const Matrix& matrix, int begin_row, int end_row,
                                                   const Vectors& vectors, const F& finish) {
  for_columns<users>(matrix, num_quads(matrix.shape.first), matrix.shape.quads(), begin_row, end_row, vectors,
                     [&](int u, int column, float sum) {
                       if (column < matrix.shape.second) finish(u, column, sum);
                     });
}

// A step: its state and gates, the gradients of the sums inside the gates, and that of the state.
struct GruBackward {
  Gru gru;
  Vectors h, gates, gate_grads, grad_h;

  // From the gradient of a unit's next state. A barrier must follow.
  __device__ void start(int u, int unit, float grad) const {
    const int size = gru.size;
    const float z = gates.at(u, size + unit), n = gates.at(u, 2 * size + unit);
    gate_grads.at(u, size + unit) = grad * (h.at(u, unit) - n) * z * (1.0f - z);
    gate_grads.at(u, 2 * size + unit) = grad * (1.0f - z) * (1.0f - n * n);
    grad_h.at(u, unit) = grad * z;
  }

  // The gradient of gate r. A barrier must follow.
  template <int users>
  __device__ void find_reset() const {
    for_second_columns<users>(gru.matrix, 2 * gru.size, 3 * gru.size, gate_grads, [&](int u, int unit, float grad) {
      const float r = gates.at(u, unit);
      gate_grads.at(u, unit) = grad * h.at(u, unit) * r * (1.0f - r);
      grad_h.at(u, unit) = multiply_add(grad, r, grad_h.at(u, unit));
    });
  }

  // Calls state(user, unit, gradient of h) and input(user, i, gradient of x).
  template <int users, class State, class Input>
  __device__ void find_gradients(const State& state, const Input& input) const {
    for_second_columns<users>(gru.matrix, 0, 2 * gru.size, gate_grads,
                              [&](int u, int unit, float grad) { state(u, unit, grad_h.at(u, unit) + grad); });
    for_first_columns<users>(gru.matrix, 0, 3 * gru.size, gate_grads, input);
  }
};

}  // namespace recops::memory::cuda
