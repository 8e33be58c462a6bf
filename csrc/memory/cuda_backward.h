// What the backward passes of both networks share: the division of the work, and the order of the steps.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

constexpr int kBackwardUsers = 2;

// Takes the segments of steps between two checkpoints, from the last one on. For each it calls recompute(begin, end),
// then go_back(t, t − begin) from the last step on, and then add_products(end − begin). Contains a barrier after each.
template <class Recompute, class GoBack, class AddProducts>
__device__ __forceinline__ void go_back_in_segments(int64_t steps, int64_t every, const Recompute& recompute,
                                                    const GoBack& go_back, const AddProducts& add_products) {
  for (int64_t begin = steps == 0 ? -1 : (steps - 1) / every * every; begin >= 0; begin -= every) {
    const int64_t end = begin + every < steps ? begin + every : steps;
    recompute(static_cast<int>(begin), static_cast<int>(end));
    for (int64_t t = end; t-- > begin;) go_back(static_cast<int>(t), static_cast<int>(t - begin));
    add_products(end - begin);
    __syncthreads();
  }
}

// Clears the block's part of the gradients of weights. A barrier must follow.
__device__ inline void clear_part(DevicePointer<float> parts, int64_t count) {
  const DevicePointer<float> part = parts + int64_t{blockIdx.x} * count;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) part[i] = 0.0f;
}

}  // namespace recops::memory::cuda
