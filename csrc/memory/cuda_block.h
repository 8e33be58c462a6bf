// A block's shared memory, and the inputs of its users.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/device_values.h"
#include "memory/cuda_matrix.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

// Values of a block's users in shared memory, zeros at first. Behind them are the weights if they are `resident`; other
// weights stay in global memory. A barrier must follow the constructor.
template <bool resident>
struct BlockMemory {
  DevicePointer<float> values;
  DevicePointer<const float> weights;

  __device__ BlockMemory(DevicePointer<unsigned char> memory, int64_t count, DevicePointer<const float> packed,
                         int64_t num_weights)
      : values(shared_array<float>(memory, 0, count + (resident ? num_weights : 0))), weights(packed) {
    for (int64_t i = threadIdx.x; i < count; i += kThreads) values[i] = 0.0f;
    if constexpr (resident) {
      copy_weights(packed, num_weights, values + count);
      weights = values + count;
    }
  }
};

// Loads the inputs of step t, or zeros for users that have ended.
template <int users>
__device__ __forceinline__ void load_inputs(const DeviceValues& x, int width, const Users& all,
                                            const BlockUsers<users>& block, int t, const Vectors& to) {
  for_values_from_last<users>(width, [&](int u, int i) {
    to.at(u, i) = block.is_live(u, t) ? x[all.input(block.of[u], t) * width + i] : 0.0f;
  });
}

// Calls f(position, value) for the values of a batch past the lengths: zeros, or NaN in rows with an error.
template <int users, class F>
__device__ __forceinline__ void for_padding(int width, const Users& all, const BlockUsers<users>& block, const F& f) {
  for_values<users>(width, [&](int u, int i) {
    const User& user = block.of[u];
    if (user.length == User::kAbsent) return;
    const bool is_wrong = user.length == User::kWrong;
    for (int64_t t = is_wrong ? 0 : user.length; t < all.steps; ++t)
      f((user.first + t) * width + i, is_wrong ? kNan : 0.0f);
  });
}

}  // namespace recops::memory::cuda
