// Kernel of the sums of embedding rows: a few lanes take a bag, and each of them some of its columns.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "embedding/cuda.h"
#include "embedding/cuda_columns.h"

namespace recops::embedding::cuda {

constexpr int kBagThreads = 256;

template <class S>
struct DeviceFeature {
  DeviceIntegers ids;  // [count, each]
  DevicePointer<const S> table;
  int64_t num_rows, padding;
  int each, width, column, lanes;
  bool is_aligned;  // whether all rows and values are multiples of 16 bytes
};

template <class S>
struct BagsArguments {
  DeviceFeature<S> features[kMostFeatures];
  DevicePointer<S> values;
  int64_t count, stride;
};

// The table row of an id, −1 for padding.
template <class S>
__device__ __forceinline__ int64_t row_of(const DeviceFeature<S>& feature, int64_t position, bool& is_wrong) {
  const int64_t id = feature.ids[position];
  is_wrong |= id < 0 || id >= feature.num_rows;
  return is_wrong || id == feature.padding ? -1 : id;
}

template <class S, int count>
__device__ void write_bag(const DeviceFeature<S>& feature, int64_t bag, int lane, DevicePointer<S> values) {
  using Stored = StoredColumns<S, count>;
  constexpr int kAhead = 4;  // rows that a lane reads at once
  const int64_t first = bag * feature.each;
  for (int column = lane * count; column < feature.width; column += feature.lanes * count) {
    const auto read = [&](int64_t row) {
      return row < 0 ? Stored::zeros() : Stored::read(feature.table + (row * feature.width + column));
    };
    bool is_wrong = false;
    Stored result = Stored::zeros();
    if (feature.each == 1) {
      result = read(row_of(feature, first, is_wrong));
    } else {
      Columns<count> sum;
      sum.clear();
      for (int begin = 0; begin < feature.each; begin += kAhead) {
        Stored rows[kAhead];
        RECOPS_UNROLL
        for (int i = 0; i < kAhead; ++i)
          rows[i] = read(begin + i < feature.each ? row_of(feature, first + begin + i, is_wrong) : -1);
        RECOPS_UNROLL
        for (int i = 0; i < kAhead; ++i) sum.add(rows[i].widened());
      }
      result = Stored::rounded(sum);
    }
    if (is_wrong) {
      Columns<count> nan;
      RECOPS_UNROLL
      for (int i = 0; i < count; ++i) nan.values[i] = __uint_as_float(0x7fc00000u);
      result = Stored::rounded(nan);
    }
    result.write(values + column);
  }
}

template <class S>
__global__ void __launch_bounds__(kBagThreads) sum_bags_kernel(const __grid_constant__ BagsArguments<S> a) {
  const DeviceFeature<S>& feature = a.features[blockIdx.y];
  const int64_t thread = int64_t{blockIdx.x} * kBagThreads + threadIdx.x, bag = thread / feature.lanes;
  if (bag >= a.count) return;
  const int lane = static_cast<int>(thread % feature.lanes);
  const DevicePointer<S> values = a.values + (bag * a.stride + feature.column);
  if (feature.is_aligned)
    write_bag<S, kPerWords16<S>>(feature, bag, lane, values);
  else
    write_bag<S, 1>(feature, bag, lane, values);
}

}  // namespace recops::embedding::cuda
