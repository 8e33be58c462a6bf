// Kernels that derive the gradients of weights and of shared gates from the gradients of the sums inside the gates.
//
// Weight gradients are sums over all cells (steps of rows). Rows are divided into groups; a block computes a tile of
// one gate for one group, and another kernel adds the groups in order. Cells past a row's length are skipped.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "recurrent/cuda_block.h"
#include "recurrent/cuda_tiles.h"

namespace recops::recurrent::cuda {

// A cell of the batch: its index row · steps + step, or −1 past the row's length. `first_row` is the row of a step 0,
// otherwise −1.
struct Cell {
  int64_t index, first_row;
};

// The right operand: the state before each cell, or for gate n with reset_before r·h.
struct HiddenOperand {
  int width;  // hidden
  bool reset_before;
  DevicePointer<const float> states, candidates, h0;

  __device__ float at(int gate, const Cell& cell, int column) const {
    if (gate == 2 && reset_before) return candidates[cell.index * width + column];
    if (cell.first_row < 0) return states[(cell.index - 1) * width + column];
    return h0 == nullptr ? 0.0f : h0[cell.first_row * width + column];
  }
};

// The right operand: the input x of each cell.
struct InputOperand {
  int width;
  DeviceValues x;  // [rows, steps, width]

  __device__ float at(int, const Cell& cell, int column) const { return x[cell.index * width + column]; }
};

struct WeightGradientArguments {
  DeviceRows rows;
  int hidden;
  int64_t rows_per_group;
  DevicePointer<const float> gate_grads;  // [rows, steps, 3·hidden]
  DevicePointer<const float> candidates;  // [rows, steps, hidden]: left operand of gate n; null: gate_grads
  DevicePointer<float> weight_parts;      // [groups, 3·hidden, width]
  DevicePointer<float> bias_parts;        // [groups, 3·hidden]

  __device__ float left(int gate, const Cell& cell, int unit) const {
    if (gate == 2 && !(candidates == nullptr)) return candidates[cell.index * hidden + unit];
    return gate_grads[(cell.index * 3 + gate) * hidden + unit];
  }

  __device__ Cell find_cell(int64_t index) const {
    const int64_t row = index / rows.steps, step = index % rows.steps;
    int64_t source;
    if (step >= rows.find(row, source)) return {-1, -1};
    return {index, step == 0 ? row : -1};
  }
};

// Grid: tiles of the width (at least 1), tiles of the hidden units times 3 gates, groups.
template <class Operand>
__global__ void __launch_bounds__(kThreads, 2)
    sum_weight_gradients(const __grid_constant__ WeightGradientArguments a, const __grid_constant__ Operand operand) {
  struct alignas(16) Memory : TileMemory {
    Cell cells[kTileDepth];
  };
  RECOPS_SHARED(Memory, memory);
  const int gate = static_cast<int>(blockIdx.y % 3), first_unit = static_cast<int>(blockIdx.y / 3) * kTile,
            first_column = static_cast<int>(blockIdx.x) * kTile;
  const int64_t begin_row = int64_t{blockIdx.z} * a.rows_per_group, next_row = begin_row + a.rows_per_group,
                end_row = next_row < a.rows.count ? next_row : a.rows.count;
  TileSums sums = {};
  float bias[kQuad] = {};
  for (int64_t begin = begin_row * a.rows.steps; begin < end_row * a.rows.steps; begin += kTileDepth) {
    bool is_live = false;
    if (threadIdx.x < kTileDepth) {
      const int64_t index = begin + threadIdx.x;
      const Cell cell = index < end_row * a.rows.steps ? a.find_cell(index) : Cell{-1, -1};
      memory.cells[threadIdx.x] = cell;
      is_live = cell.index >= 0;
    }
    if (!__syncthreads_or(is_live)) continue;
    copy_operand<false>(
        [&](int row, int depth) {
          const Cell& cell = memory.cells[depth];
          const int unit = first_unit + row;
          return cell.index >= 0 && unit < a.hidden ? a.left(gate, cell, unit) : 0.0f;
        },
        memory.left);
    copy_operand<false>(
        [&](int row, int depth) {
          const Cell& cell = memory.cells[depth];
          const int column = first_column + row;
          return cell.index >= 0 && column < operand.width ? operand.at(gate, cell, column) : 0.0f;
        },
        memory.right);
    __syncthreads();
    add_tile(memory, sums);
    if (blockIdx.x == 0)
      for (int depth = 0; depth < kTileDepth; ++depth) {
        RECOPS_UNROLL
        for (int i = 0; i < kQuad; ++i) bias[i] += memory.left[depth * TileMemory::kStride + tile_row() + i];
      }
  }
  RECOPS_UNROLL
  for (int i = 0; i < kQuad; ++i) {
    const int unit = first_unit + tile_row() + i;
    if (unit >= a.hidden) break;
    const int64_t to = (int64_t{blockIdx.z} * 3 + gate) * a.hidden + unit;
    if (blockIdx.x == 0 && tile_column() == 0) a.bias_parts[to] = bias[i];
    RECOPS_UNROLL
    for (int j = 0; j < kQuad; ++j) {
      const int column = first_column + tile_column() + j;
      if (column < operand.width) a.weight_parts[to * operand.width + column] = sums.of[i][j];
    }
  }
}

struct SumGroupsArguments {
  int groups;
  int64_t count;
  DevicePointer<const float> parts;  // [groups, count]
  DevicePointer<float> sums;         // [count]
};

__global__ void __launch_bounds__(kThreads) sum_groups(const __grid_constant__ SumGroupsArguments a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= a.count) return;
  float sum = 0;
  for (int group = 0; group < a.groups; ++group) sum += a.parts[group * a.count + i];
  a.sums[i] = sum;
}

// Gradients of shared gates: sums of those of the rows that have a source, in the order of the rows.
struct SharedGatesArguments {
  int64_t rows, width;                          // width: steps · 3·hidden
  DevicePointer<const int64_t> sorted_sources;  // [rows], ascending
  DevicePointer<const int64_t> order;           // [rows]: the row of each
  DevicePointer<const float> gate_grads;        // [rows, width]
  DevicePointer<float> grad_gates;              // [sources, width]

  // Index of the first row with a source of at least `source`.
  __device__ int64_t first_of(int64_t source) const {
    int64_t begin = 0, end = rows;
    while (begin < end) {
      const int64_t middle = begin + (end - begin) / 2;
      if (sorted_sources[middle] < source)
        begin = middle + 1;
      else
        end = middle;
    }
    return begin;
  }
};

// Grid: sources, parts of the width.
__global__ void __launch_bounds__(kThreads) sum_shared_gates(const __grid_constant__ SharedGatesArguments a) {
  const int64_t source = blockIdx.x, begin = a.first_of(source), end = a.first_of(source + 1);
  for (int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x; i < a.width; i += int64_t{gridDim.y} * kThreads) {
    float sum = 0;
    for (int64_t at = begin; at < end; ++at) sum += a.gate_grads[a.order[at] * a.width + i];
    a.grad_gates[source * a.width + i] = sum;
  }
}

}  // namespace recops::recurrent::cuda
