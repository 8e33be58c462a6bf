// Kernels that pack the matrices of a network, and that add the parts of their gradients into matrices that are not
// packed. Only cuda.cu includes them.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_quads.h"
#include "memory/cuda_matrix.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

__global__ void __launch_bounds__(kThreads) pack_matrix(const __grid_constant__ PackArguments a) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= a.shape.values()) return;
  const int64_t group = at / kQuad;
  const int row = static_cast<int>(group % a.shape.rows), quad = static_cast<int>(group / a.shape.rows);
  a.packed[at] = a.weight(row, quad * kQuad + static_cast<int>(at % kQuad));
}

// Sums of a matrix, from its parts to memory that is not packed.
struct UnpackArguments {
  MatrixShape shape;
  int64_t parts, part_values;
  DevicePointer<const float> from;  // [parts, part_values]
  DevicePointer<float> first, second;
  int first_stride, second_stride, first_count, second_count;

  __device__ DevicePointer<float> to(int row, int column) const {
    const bool is_first = column < padded(shape.first);
    const int i = is_first ? column : column - padded(shape.first);
    if (i >= (is_first ? first_count : second_count)) return nullptr;
    return is_first ? first + (int64_t{row} * first_stride + i) : second + (int64_t{row} * second_stride + i);
  }
};

__global__ void __launch_bounds__(kThreads) sum_parts(const __grid_constant__ UnpackArguments a) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= a.shape.values()) return;
  const int64_t group = at / kQuad;
  const int row = static_cast<int>(group % a.shape.rows), quad = static_cast<int>(group / a.shape.rows);
  const DevicePointer<float> to = a.to(row, quad * kQuad + static_cast<int>(at % kQuad));
  if (to == nullptr) return;
  float sum = 0;
  for (int64_t part = 0; part < a.parts; ++part) sum += a.from[part * a.part_values + a.shape.offset + at];
  *to = sum;
}

}  // namespace recops::memory::cuda
