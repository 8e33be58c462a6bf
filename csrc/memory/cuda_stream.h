// Kernels that find the users of a stream: runs of equal rows among its sorted events.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

struct RunsArguments {
  int64_t events, blocks;
  DevicePointer<const int64_t> rows;  // [events], ascending
  DevicePointer<int> counts;          // [blocks]: number of runs that start in the events of a block
  DevicePointer<int64_t> starts;      // [runs + 1]
  DevicePointer<int64_t> num_starts;  // [1]

  __device__ bool starts_at(int64_t event) const {
    return event < events && (event == 0 || rows[event] != rows[event - 1]);
  }

  // Runs that start in the events of the calling thread.
  __device__ int count_own() const {
    int count = 0;
    for (int i = 0; i < kEventsOfThread; ++i) count += starts_at(first_own() + i);
    return count;
  }
  __device__ static int64_t first_own() { return (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kEventsOfThread; }
};

struct WarpCounts {
  int of_warp[kThreads / kWarpSize];
};

// The sum over the threads of the block, and over those before the calling thread. Contains a barrier.
__device__ inline int sum_of_block(int value, WarpCounts& counts, int& before) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  int sum = value;
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const int other = __shfl_up_sync(kFullWarp, sum, distance);
    if (lane >= distance) sum += other;
  }
  if (lane == kWarpSize - 1) counts.of_warp[warp] = sum;
  __syncthreads();
  int total = 0;
  before = sum - value;
  for (int w = 0; w < kThreads / kWarpSize; ++w) {
    if (w < warp) before += counts.of_warp[w];
    total += counts.of_warp[w];
  }
  return total;
}

__global__ void __launch_bounds__(kThreads) count_runs(const __grid_constant__ RunsArguments a) {
  RECOPS_SHARED(WarpCounts, counts);
  int before;
  const int total = sum_of_block(a.count_own(), counts, before);
  if (threadIdx.x == 0) a.counts[blockIdx.x] = total;
}

__global__ void __launch_bounds__(kThreads) write_runs(const __grid_constant__ RunsArguments a) {
  RECOPS_SHARED(WarpCounts, counts);
  RECOPS_SHARED(WarpCounts, earlier_counts);
  int earlier = 0, before, ignored;
  for (int64_t block = threadIdx.x; block < blockIdx.x; block += kThreads) earlier += a.counts[block];
  const int64_t first = sum_of_block(earlier, earlier_counts, ignored);
  const int total = sum_of_block(a.count_own(), counts, before);
  int64_t to = first + before;
  for (int i = 0; i < kEventsOfThread; ++i)
    if (a.starts_at(a.first_own() + i)) a.starts[to++] = a.first_own() + i;
  if (threadIdx.x == 0 && int64_t{blockIdx.x} == a.blocks - 1) {
    a.starts[first + total] = a.events;
    a.num_starts[0] = first + total;
  }
}

}  // namespace recops::memory::cuda
