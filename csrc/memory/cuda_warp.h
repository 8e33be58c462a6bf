// Sums, maxima and softmax over the lanes of a warp or of a group of lanes. Each lane receives the same bits.
#pragma once

#include "common/device.h"
#include "common/device_activations.h"
#include "common/device_floats.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

constexpr int kGroup = 8;  // lanes that sum together

__device__ __forceinline__ float sum_of_group(float value) {
  RECOPS_UNROLL
  for (int distance = kGroup / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kFullWarp, value, distance);
  return value;
}

__device__ __forceinline__ float sum_of_warp(float value) {
  RECOPS_UNROLL
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kFullWarp, value, distance);
  return value;
}

__device__ __forceinline__ float largest_of_warp(float value) {
  RECOPS_UNROLL
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    const float other = __shfl_xor_sync(kFullWarp, value, distance);
    value = other > value ? other : value;
  }
  return value;
}

// The lowest lane with the largest value.
__device__ __forceinline__ int largest_lane(float value) {
  const uint32_t lanes = __ballot_sync(kFullWarp, value == largest_of_warp(value));
  return lanes == 0 ? 0 : __ffs(static_cast<int>(lanes)) - 1;  // no lane if a value is NaN
}

// Softmax over the lanes that take part. It is 0 in the others.
__device__ __forceinline__ float softmax_of_warp(float value, bool takes_part) {
  const float most = largest_of_warp(takes_part ? value : -kInfinity);
  const float power = takes_part ? exponential(value - most) : 0.0f;
  return power * (1.0f / sum_of_warp(power));
}

// Calls f(task, is_task, lane) for tasks [0, count) and groups of lanes. All lanes of a warp call it together; is_task
// is false in groups without a task.
template <class F>
__device__ __forceinline__ void for_groups(int count, const F& f) {
  constexpr int kGroups = kThreads / kGroup;
  const int group = static_cast<int>(threadIdx.x) / kGroup, lane = static_cast<int>(threadIdx.x) % kGroup;
  for (int begin = 0; begin < count; begin += kGroups) f(begin + group, begin + group < count, lane);
}

// Calls f(task, lane) for tasks [0, count), one per warp.
template <class F>
__device__ __forceinline__ void for_warps(int count, const F& f) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize, lane = static_cast<int>(threadIdx.x) % kWarpSize;
  for (int task = warp; task < count; task += kThreads / kWarpSize) f(task, lane);
}

}  // namespace recops::memory::cuda
