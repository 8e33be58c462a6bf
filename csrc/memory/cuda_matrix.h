// Products of weights with vectors of a block's users, and the layout of weights for them.
//
// A packed matrix has groups of four consecutive columns, so that a thread reads four weights with one instruction, and
// a warp reads 512 consecutive bytes. Its columns come in two parts, each padded with zeros to whole groups:
//
//   packed[quad][row][4]    quads of the first part, then of the second
//
// A sum adds the columns in ascending order, independent of the number of users. The kernels are compiled without
// implicit fusion of products and sums, so all of them compute the same bits.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_math.h"
#include "common/device_quads.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

// Shape of a packed matrix, and its position among the packed weights.
struct MatrixShape {
  int64_t offset;
  int rows, first, second;  // columns of the two parts

  __host__ __device__ constexpr int quads() const { return num_quads(first) + num_quads(second); }
  __host__ __device__ constexpr int64_t values() const { return int64_t{quads()} * rows * kQuad; }
};

// Vectors of the block's users, `stride` apart.
struct Vectors {
  DevicePointer<float> data;
  int stride;

  __device__ DevicePointer<float> of(int user) const { return data + user * stride; }
  __device__ float& at(int user, int i) const { return data[user * stride + i]; }
  __device__ Vectors from(int i) const { return {data + i, stride}; }
};

// Users for which a thread computes a row of a product.
template <int users>
constexpr int kTaskUsers = users < 4 ? users : 4;

// Calls f(row, first user) for every row of a product and every group of kTaskUsers users.
template <int users, class F>
__device__ __forceinline__ void for_rows(int begin, int end, const F& f) {
  constexpr int kParts = users / kTaskUsers<users>;
  const int rows = end - begin;
  for (int task = threadIdx.x; task < rows * kParts; task += kThreads)
    f(begin + task % rows, task / rows * kTaskUsers<users>);
}

struct Matrix {
  DevicePointer<const float> weights;
  MatrixShape shape;

  // Adds the products of a row and the vectors, for columns of the first or second part.
  template <int count>
  __device__ __forceinline__ void add_first(int row, const Vectors& in, int user, float (&sums)[count]) const {
    add(row, 0, num_quads(shape.first), in, user, sums);
  }
  template <int count>
  __device__ __forceinline__ void add_second(int row, const Vectors& in, int user, float (&sums)[count]) const {
    add(row, num_quads(shape.first), num_quads(shape.second), in, user, sums);
  }

 private:
  template <int count>
  __device__ __forceinline__ void add(int row, int begin, int quads, const Vectors& in, int user,
                                      float (&sums)[count]) const {
    DevicePointer<const float> weight_at = weights + (begin * shape.rows + row) * kQuad;
    DevicePointer<const float> vector_at = in.of(user);
    RECOPS_KEEP_LOOP
    for (int quad = 0; quad < quads; ++quad) {
      float weight[kQuad];
      load_quad(weight_at + quad * shape.rows * kQuad, weight);
      RECOPS_UNROLL
      for (int u = 0; u < count; ++u) {
        float vector[kQuad];
        load_quad(vector_at + (u * in.stride + quad * kQuad), vector);
        RECOPS_UNROLL
        for (int i = 0; i < kQuad; ++i) sums[u] = multiply_add(weight[i], vector[i], sums[u]);
      }
    }
  }
};

// Columns of a matrix in memory that is not packed.
struct Columns {
  DevicePointer<const float> data;  // [rows, stride]
  int stride, count;
};

struct PackArguments {
  MatrixShape shape;
  Columns first, second;
  DevicePointer<float> packed;

  __host__ PackArguments(const MatrixShape& shape, const void* first, int first_stride, const void* second,
                         int second_stride, float* packed)
      : shape(shape),
        first(columns(shape, first, first_stride, shape.first)),
        second(columns(shape, second, second_stride, shape.second)),
        packed(device_pointer(packed + shape.offset, shape.values())) {}

  __device__ float weight(int row, int column) const {
    const bool is_first = column < padded(shape.first);
    const Columns& part = is_first ? first : second;
    const int i = is_first ? column : column - padded(shape.first);
    return i < part.count ? part.data[int64_t{row} * part.stride + i] : 0.0f;
  }

 private:
  __host__ static Columns columns(const MatrixShape& shape, const void* data, int stride, int count) {
    const int64_t size = shape.rows > 0 && count > 0 ? int64_t{shape.rows - 1} * stride + count : 0;
    return {device_pointer(static_cast<const float*>(data), size), stride, count};
  }
};

// Copies packed weights to shared memory. A barrier must follow.
__device__ inline void copy_weights(DevicePointer<const float> from, int64_t count, DevicePointer<float> to) {
  for (int64_t i = threadIdx.x; i < count / kQuad; i += kThreads)
    store16<float>(to + i * kQuad, load16<float>(from + i * kQuad));
}

}  // namespace recops::memory::cuda
