// Prefix sums in CUDA kernels: over the threads of a block, and over the blocks of a launch.
//
// A sum over blocks takes three launches: a kernel writes the sum of each block (a tile) to counts [rows, tiles],
// sum_tiles replaces them by the sums of the tiles before, and a second kernel adds these to the sums within its tile.
// Integers only, so the order of additions does not matter.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/launch.h"

namespace recops {

// Shared memory of exclusive_sum.
template <class T, int kThreads>
struct WarpSums {
  T sums[kThreads / kWarpSize];
};

// The sum of `value` over the earlier threads of the block, and over all. All threads of the block call it.
template <class T, int kThreads>
__device__ T exclusive_sum(T value, WarpSums<T, kThreads>& shared, T& total) {
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  T through = value;
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const T other = __shfl_up_sync(kFullWarp, through, static_cast<unsigned>(distance));
    if (lane >= distance) through += other;
  }
  if (lane == kWarpSize - 1) shared.sums[warp] = through;
  __syncthreads();
  T before = 0;
  total = 0;
  for (int w = 0; w < kThreads / kWarpSize; ++w) {
    if (w < warp) before += shared.sums[w];
    total += shared.sums[w];
  }
  __syncthreads();  // the next call may write the shared memory
  return before + through - value;
}

constexpr int kSumsPerThread = 4;

// counts[row, t] = the sum of the row's tiles before t, and totals[row] the sum of all. A block per row.
template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads) sum_row(DevicePointer<T> counts, int64_t tiles, DevicePointer<T> totals) {
  using Sums = WarpSums<T, kThreads>;
  RECOPS_SHARED(Sums, shared);
  const DevicePointer<T> row = counts + blockIdx.x * tiles;
  T before = 0;
  for (int64_t first = 0; first < tiles; first += kThreads * kSumsPerThread) {
    const int64_t begin = first + threadIdx.x * kSumsPerThread;
    T values[kSumsPerThread], sum = 0, total;
    RECOPS_UNROLL
    for (int i = 0; i < kSumsPerThread; ++i) {
      values[i] = begin + i < tiles ? row[begin + i] : 0;
      sum += values[i];
    }
    T next = before + exclusive_sum<T, kThreads>(sum, shared, total);
    RECOPS_UNROLL
    for (int i = 0; i < kSumsPerThread; ++i) {
      if (begin + i < tiles) row[begin + i] = next;
      next += values[i];
    }
    before += total;
  }
  if (threadIdx.x == 0) totals[blockIdx.x] = before;
}

// Launches sum_row for each of the rows.
template <class T>
cudaError_t sum_tiles(DevicePointer<T> counts, int64_t rows, int64_t tiles, DevicePointer<T> totals,
                      cudaStream_t stream) {
  constexpr int kFew = kWarpSize, kMany = 512;
  constexpr int64_t kMostForFew = 4 * kFew * kSumsPerThread;
  const auto blocks = static_cast<unsigned>(rows);
  return tiles <= kMostForFew ? launch(sum_row<T, kFew>, blocks, kFew, 0, stream, counts, tiles, totals)
                              : launch(sum_row<T, kMany>, blocks, kMany, 0, stream, counts, tiles, totals);
}

}  // namespace recops
