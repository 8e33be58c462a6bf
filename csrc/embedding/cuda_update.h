// Kernels that update table rows by their gradients, which are summed as in cuda_gradient.h and never stored.
//
// update_chunks and update_joins apply the rule. For row-wise Adagrad, square_chunks and square_joins come first: they
// sum the gradients once before and add the mean of their squares to the state of the row.
#pragma once

#include <cstdint>

#include "embedding/cuda_gradient.h"
#include "embedding/update.h"

namespace recops::embedding::cuda {

template <class S>
struct UpdateArguments : RunArguments<S> {
  DevicePointer<S> table;      // [num_rows, width]
  DevicePointer<float> state;  // adagrad: [num_rows, width]; rowwise_adagrad: [num_rows]
  Optimizer optimizer;
  float lr, eps, weight_decay;
};

template <class S, int count>
__device__ Columns<count> decayed(const UpdateArguments<S>& a, Columns<count> gradient, const Columns<count>& weights) {
  if (a.weight_decay == 0.0f) return gradient;
  RECOPS_UNROLL
  for (int i = 0; i < count; ++i) gradient.values[i] += a.weight_decay * weights.values[i];
  return gradient;
}

template <class S, int count>
struct UpdateWriter {
  static constexpr bool kNeedsAllLanes = false;
  const UpdateArguments<S>& a;

  __device__ void write(const Columns<count>& sum, int key, int column) const {
    const int64_t at = int64_t{key} * a.width + column;
    Columns<count> weights = StoredColumns<S, count>::read(a.table + at).widened();
    const Columns<count> gradient = decayed(a, sum, weights);
    const float factor = a.optimizer == Optimizer::rowwise_adagrad ? a.lr / (sqrtf(a.state[key]) + a.eps) : a.lr;
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) {
      const float g = gradient.values[i];
      float divisor = 1.0f;
      if (a.optimizer == Optimizer::adagrad) {
        const float square = a.state[at + i] + g * g;
        a.state[at + i] = square;
        divisor = sqrtf(square) + a.eps;
      }
      weights.values[i] -= factor * g / divisor;
    }
    StoredColumns<S, count>::rounded(weights).write(a.table + at);
  }
};

// Adds the mean square of a row's gradient to the state. The lanes of the row add their squares.
template <class S, int count>
struct SquaresWriter {
  static constexpr bool kNeedsAllLanes = true;
  const UpdateArguments<S>& a;

  __device__ void write(const Columns<count>& sum, int key, int column) const {
    float squares = 0.0f;
    if (column < a.width) {
      Columns<count> gradient = sum;
      if (a.weight_decay != 0.0f) {
        const auto weights = StoredColumns<S, count>::read(a.table + (int64_t{key} * a.width + column)).widened();
        gradient = decayed(a, sum, weights);
      }
      RECOPS_UNROLL
      for (int i = 0; i < count; ++i) squares += gradient.values[i] * gradient.values[i];
    }
    // Other lanes of the warp may be at another row.
    const int lane = threadIdx.x % kWarpSize, first = lane / a.lanes * a.lanes;
    const unsigned lanes = kFullWarp >> (kWarpSize - a.lanes) << first;
    for (int bits = a.lanes / 2; bits > 0; bits /= 2) squares += __shfl_xor_sync(lanes, squares, bits);
    if (lane == first) a.state[key] += squares / static_cast<float>(a.width);
  }
};

template <class S, int count>
__global__ void __launch_bounds__(kChunkThreads) square_chunks(const __grid_constant__ UpdateArguments<S> a) {
  sum_columns<S, count>(a, SquaresWriter<S, count>{a});
}

template <class S, int count>
__global__ void __launch_bounds__(kChunkThreads) square_joins(const __grid_constant__ UpdateArguments<S> a) {
  join_columns<S, count>(a, SquaresWriter<S, count>{a});
}

template <class S, int count>
__global__ void __launch_bounds__(kChunkThreads) update_chunks(const __grid_constant__ UpdateArguments<S> a) {
  sum_columns<S, count>(a, UpdateWriter<S, count>{a});
}

template <class S, int count>
__global__ void __launch_bounds__(kChunkThreads) update_joins(const __grid_constant__ UpdateArguments<S> a) {
  join_columns<S, count>(a, UpdateWriter<S, count>{a});
}

}  // namespace recops::embedding::cuda
