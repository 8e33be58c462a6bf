// Gradients of weights: products of gradients and inputs, which are summed over the steps of a block's users and then
// over the blocks.
//
// The backward pass of a block stores frames [samples, frame values] in its workspace. A sample is a step of a user.
// For each matrix it adds left · rightᵀ of all samples to its part [packed weights]. Another kernel adds the parts in
// order, so the bits depend only on the number of users.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_math.h"
#include "common/device_quads.h"
#include "memory/cuda_gru.h"
#include "memory/cuda_matrix.h"
#include "memory/cuda_warp.h"

namespace recops::memory::cuda {

// Positions in a frame of the two operands of a gradient. Rows from `last_row` on have another second part.
struct Product {
  static constexpr int kOne = -1;  // the right operand of a bias

  MatrixShape shape;
  int left, first, second, second_last, last_row;

  __host__ __device__ static Product simple(const MatrixShape& shape, int left, int first, int second = 0) {
    return {shape, left, first, second, second, shape.rows};
  }
};

// Adds a product of `samples` frames to the part of the block. Called by all threads; barriers are the caller's.
// `is_used(sample)` leaves samples out.
template <class IsUsed>
__device__ void add_product(const Product& product, DevicePointer<const float> frames, int64_t frame_stride,
                            int64_t samples, DevicePointer<float> part, const IsUsed& is_used) {
  const MatrixShape& shape = product.shape;
  const int first_quads = num_quads(shape.first);
  for (int at = threadIdx.x; at < shape.quads() * shape.rows; at += kThreads) {
    const int row = at % shape.rows, quad = at / shape.rows;
    const int second = row < product.last_row ? product.second : product.second_last;
    const int right = quad < first_quads ? product.first + quad * kQuad : second + (quad - first_quads) * kQuad;
    const DevicePointer<float> to = part + (shape.offset + int64_t{at} * kQuad);
    float sums[kQuad];
    load_quad(DevicePointer<const float>(to), sums);
    for (int64_t sample = 0; sample < samples; ++sample) {
      if (!is_used(sample)) continue;
      const DevicePointer<const float> frame = frames + sample * frame_stride;
      const float left = frame[product.left + row];
      if (product.first == Product::kOne) {
        sums[0] += left;
        continue;
      }
      float values[kQuad];
      load_quad(frame + right, values);
      RECOPS_UNROLL
      for (int i = 0; i < kQuad; ++i) sums[i] = multiply_add(left, values[i], sums[i]);
    }
    store_quad(sums, to);
  }
}

// Products of a GRU's gate gradients with its input, state and r·h.
__host__ __device__ inline Product gru_product(const GruShape& gru, int gate_grads, int input, int h, int reset) {
  return {gru.matrix, gate_grads, input, h, reset, 2 * gru.size};
}

}  // namespace recops::memory::cuda
