// Consecutive columns of a row in CUDA kernels: 16 bytes of them, or one.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"

namespace recops::embedding::cuda {

// `count` columns as floats.
template <int count>
struct Columns {
  float values[count];

  __device__ void clear() {
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) values[i] = 0.0f;
  }
  __device__ void add(const Columns& other) {
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) values[i] += other.values[i];
  }
};

// Columns as they are stored: no arithmetic, so a read keeps a row's bits.
template <class S, int count>
struct StoredColumns {
  static_assert(count == 1 || count == kPerWords16<S>);
  S values[count];

  __device__ static StoredColumns read(DevicePointer<const S> from) {
    StoredColumns columns;
    if constexpr (count == 1) {
      columns.values[0] = from[0];
    } else {
      const Words16 words = load16<S>(from);
      RECOPS_UNROLL
      for (int i = 0; i < count; ++i) columns.values[i] = stored_element<S>(words, i);
    }
    return columns;
  }

  __device__ static StoredColumns rounded(const Columns<count>& from) {
    StoredColumns columns;
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) columns.values[i] = from_float<S>(from.values[i]);
    return columns;
  }

  __device__ static StoredColumns zeros() {
    Columns<count> zeros;
    zeros.clear();
    return rounded(zeros);
  }

  __device__ Columns<count> widened() const {
    Columns<count> columns;
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) columns.values[i] = to_float(values[i]);
    return columns;
  }

  __device__ void write(DevicePointer<S> to) const {
    if constexpr (count == 1)
      to[0] = values[0];
    else
      store16<S>(to, words_of<S>(values));
  }
};

// Threads that share the columns of a row: a power of two, so that they are lanes of one warp.
inline int lanes_of(int64_t width, int columns_at_once) {
  int lanes = 1;
  while (lanes < kWarpSize && lanes * columns_at_once < width) lanes *= 2;
  return lanes;
}

}  // namespace recops::embedding::cuda
