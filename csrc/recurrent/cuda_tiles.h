// Matrix products by tiles of 64 × 64 results. A block computes a tile, a thread 4 × 4 results of it. Each result adds
// its terms in ascending order.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/device_math.h"
#include "recurrent/cuda_block.h"
#include "recurrent/cuda_products.h"

namespace recops::recurrent::cuda {

constexpr int kTile = 64, kTileDepth = 16;
constexpr int kTileThreads = kTile / kQuad;  // in each of the two directions
static_assert(kTileThreads * kTileThreads == kThreads);

// Operands of one part of the sum. Rows have a gap, so that stores along the depth meet fewer equal banks.
struct TileMemory {
  static constexpr int kStride = kTile + kQuad;
  float left[kTileDepth * kStride], right[kTileDepth * kStride];
};

// Results of a thread: rows tile_row() … + 3 of the left operand and columns tile_column() … + 3, the rows of the
// right.
struct TileSums {
  float of[kQuad][kQuad];
};
__device__ __forceinline__ int tile_row() { return static_cast<int>(threadIdx.x) / kTileThreads * kQuad; }
__device__ __forceinline__ int tile_column() { return static_cast<int>(threadIdx.x) % kTileThreads * kQuad; }

// Copies operand(row, depth) of a tile to shared memory, with neighbouring threads along the depth or along the rows.
template <bool along_depth, class Operand>
__device__ __forceinline__ void copy_operand(const Operand& operand, float (&to)[kTileDepth * TileMemory::kStride]) {
  RECOPS_UNROLL
  for (int part = 0; part < kTile * kTileDepth / kThreads; ++part) {
    const int i = part * kThreads + static_cast<int>(threadIdx.x);
    const int row = along_depth ? i / kTileDepth : i % kTile, depth = along_depth ? i % kTileDepth : i / kTile;
    to[depth * TileMemory::kStride + row] = operand(row, depth);
  }
}

// Adds the products of the operands in shared memory.
__device__ __forceinline__ void add_tile(TileMemory& memory, TileSums& sums) {
  const auto left = device_pointer<const float>(memory.left, kTileDepth * TileMemory::kStride);
  const auto right = device_pointer<const float>(memory.right, kTileDepth * TileMemory::kStride);
  RECOPS_UNROLL
  for (int depth = 0; depth < kTileDepth; ++depth) {
    float rows[kQuad], columns[kQuad];
    load_quad(left + (depth * TileMemory::kStride + tile_row()), rows);
    load_quad(right + (depth * TileMemory::kStride + tile_column()), columns);
    RECOPS_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      RECOPS_UNROLL
      for (int j = 0; j < kQuad; ++j) sums.of[i][j] = multiply_add(rows[i], columns[j], sums.of[i][j]);
    }
  }
}

// out[row][column] = bias[column] + Σ_k left[row][k] · right(column, k). The right operand is [columns, depth], or
// [depth, columns] if it is transposed.
struct MatrixArguments {
  int64_t rows;
  int columns, depth;
  DeviceValues left;  // [rows, depth]
  DevicePointer<const float> right;
  DevicePointer<const float> bias;  // [columns], or null for zeros
  DevicePointer<float> out;         // [rows, columns]
};

template <bool is_transposed>
__global__ void __launch_bounds__(kThreads) multiply_matrices(const __grid_constant__ MatrixArguments a) {
  struct alignas(16) Memory : TileMemory {};
  RECOPS_SHARED(Memory, memory);
  const int64_t first_row = int64_t{blockIdx.x} * kTile;
  const int first_column = static_cast<int>(blockIdx.y) * kTile;
  TileSums sums;
  RECOPS_UNROLL
  for (int j = 0; j < kQuad; ++j) {
    const int column = first_column + tile_column() + j;
    const float start = column < a.columns && !(a.bias == nullptr) ? a.bias[column] : 0.0f;
    RECOPS_UNROLL
    for (int i = 0; i < kQuad; ++i) sums.of[i][j] = start;
  }
  for (int begin = 0; begin < a.depth; begin += kTileDepth) {
    copy_operand<true>(
        [&](int row, int depth) {
          const int64_t at = first_row + row;
          return at < a.rows && begin + depth < a.depth ? a.left[at * a.depth + begin + depth] : 0.0f;
        },
        memory.left);
    copy_operand<!is_transposed>(
        [&](int row, int depth) {
          const int64_t column = first_column + row, k = begin + depth;
          if (column >= a.columns || k >= a.depth) return 0.0f;
          return a.right[is_transposed ? k * a.columns + column : column * a.depth + k];
        },
        memory.right);
    __syncthreads();
    add_tile(memory, sums);
    __syncthreads();
  }
  RECOPS_UNROLL
  for (int i = 0; i < kQuad; ++i) {
    const int64_t row = first_row + tile_row() + i;
    RECOPS_UNROLL
    for (int j = 0; j < kQuad; ++j) {
      const int column = first_column + tile_column() + j;
      if (row < a.rows && column < a.columns) a.out[row * a.columns + column] = sums.of[i][j];
    }
  }
}

}  // namespace recops::recurrent::cuda
