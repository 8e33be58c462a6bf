// Kernel of MIMN's forward pass: a block takes its users through all their events. States stay in shared memory, and
// the weights too if `resident`.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/device_values.h"
#include "memory/cuda_block.h"
#include "memory/cuda_mimn_layout.h"
#include "memory/cuda_mimn_step.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

// States or their gradients, one row per user; null fields are left out. Calls of for_all() follow the order of
// MimnRows.
struct StateRows {
  DevicePointer<float> hidden, read, memory, usage, added, channels, pooled;

  __host__ StateRows(const MimnLayout& l, const MimnRows& rows, int64_t count)
      : hidden(device_pointer(static_cast<float*>(rows.hidden), count * l.h)),
        read(device_pointer(static_cast<float*>(rows.read), count * l.d)),
        memory(device_pointer(static_cast<float*>(rows.memory), count * l.m * l.d)),
        usage(device_pointer(static_cast<float*>(rows.usage), count * l.m)),
        added(device_pointer(static_cast<float*>(rows.added), count * l.d)),
        channels(device_pointer(static_cast<float*>(rows.channels), count * l.m * l.d)),
        pooled(device_pointer(static_cast<float*>(rows.pooled), count * l.d)) {}

  // Calls f(rows, field) for the fields that are not null.
  template <class F>
  __device__ __forceinline__ void for_all(const MimnLayout& l, const F& f) const {
    const auto call = [&](DevicePointer<float> rows, const StateField& field) {
      if (!(rows == nullptr)) f(rows, field);
    };
    call(hidden, l.vector(l.hidden, l.h));
    call(read, l.read());
    call(memory, l.slots(l.memory));
    call(usage, l.vector(l.usage, l.m));
    call(added, l.vector(l.added, l.d));
    call(channels, l.slots(l.channels));
    call(pooled, l.vector(l.pooled, l.d));
  }
};

// Kept states [checkpoints, rows, values of a row]: the fields of a row follow one another, in the order of kernel.h.
// The composites have this layout too.
struct DeviceCheckpoints {
  DevicePointer<float> states;  // null: none
  int64_t rows, every;

  // Calls f(position of the first value in a row, field) for every field.
  template <class F>
  __device__ __forceinline__ static void for_all(const MimnLayout& l, const F& f) {
    int at = 0;
    const auto call = [&](const StateField& field) {
      f(at, field);
      at += field.width;
    };
    call(l.vector(l.hidden, l.h));
    call(l.read());
    call(l.slots(l.memory));
    call(l.vector(l.usage, l.m));
    call(l.slots(l.channels));
  }

  __device__ float& value(const MimnLayout& l, int64_t number, int64_t row, int i) const {
    return states[(number * rows + row) * l.checkpoint_values() + i];
  }
};

struct MimnArguments {
  MimnLayout layout;
  MimnNet net;
  Users users;
  DeviceValues x;  // [inputs, D]
  StateRows from, to;
  DevicePointer<int64_t> counts;  // [pool]: numbers of events, which a stream increases; or null
  DeviceOutputs outputs;          // [inputs, H], or null
  bool has_outputs;
  DevicePointer<float> read_weights;  // [n, m] of the last step, or null
  DeviceCheckpoints kept;
};

template <int users>
class MimnBlock {
 public:
  // `weights` in shared or global memory. `memory`: values of all users in shared memory, zeros at first.
  __device__ MimnBlock(const MimnArguments& a, BlockUsers<users>& block, DevicePointer<const float> weights,
                       DevicePointer<float> memory)
      : a_(a), l_(a.layout), block_(block), values_{memory, a.layout.values}, step_(l_, a.net, weights, values_) {}

  // Called by all threads. `group`: number of the block's users.
  __device__ void run(int64_t group) {
    find_users(group);
    __syncthreads();
    load_states();
    load_input(0, l_.input);
    __syncthreads();
    end_users(0);
    const int steps = block_.longest();
    for (int t = 0; t < steps; ++t) {
      if (!(a_.kept.states == nullptr) && t > 0 && t % a_.kept.every == 0) keep_states(t);
      step_.run([&] { load_input(t + 1, l_.next_x); },
                [&](int u, int unit, float value) {
                  if (!a_.has_outputs || !block_.is_live(u, t)) return;
                  a_.outputs.store(a_.users.input(block_.of[u], t) * l_.h + unit, clipped(value));
                });
      end_users(t + 1);
    }
    fill_padding();
    __syncthreads();  // the users in shared memory may change
  }

 private:
  __device__ void find_users(int64_t group) {
    const int u = threadIdx.x;
    if (u >= users) return;
    const User user = a_.users.find(group * users + u);
    block_.of[u] = user;
    if (user.length > 0 && !(a_.counts == nullptr)) a_.counts[user.from] += user.length;
  }

  __device__ void load_states() const {
    a_.from.for_all(l_, [&](DevicePointer<float> rows, const StateField& field) {
      for_values<users>(field.width, [&](int u, int i) {
        const User& user = block_.of[u];
        values_.at(u, field.position(i)) = user.length < 0 ? 0.0f : rows[user.from * field.width + i];
      });
    });
    for_values<users>(l_.m, [&](int u, int j) { values_.at(u, l_.read_weights + j) = 0.0f; });  // without a step
  }

  __device__ void load_input(int t, int to) const { load_inputs(a_.x, l_.d, a_.users, block_, t, values_.from(to)); }

  // Writes those of users that have ended too: the composite's backward pass reads them.
  __device__ void keep_states(int t) const {
    a_.kept.for_all(l_, [&](int at, const StateField& field) {
      for_values<users>(field.width, [&](int u, int i) {
        const User& user = block_.of[u];
        if (user.length != User::kAbsent)
          a_.kept.value(l_, t / a_.kept.every - 1, user.to, at + i) = values_.at(u, field.position(i));
      });
    });
  }

  // Writes the states of users that end before step t.
  __device__ void end_users(int t) const {
    const auto write = [&](DevicePointer<float> rows, const StateField& field) {
      for_values<users>(field.width, [&](int u, int i) {
        const User& user = block_.of[u];
        if (user.length == t || (user.length == User::kWrong && t == 0))
          rows[user.to * field.width + i] = user.length == t ? values_.at(u, field.position(i)) : kNan;
      });
    };
    a_.to.for_all(l_, write);
    if (!(a_.read_weights == nullptr)) write(a_.read_weights, l_.vector(l_.read_weights, l_.m));
  }

  // Writes the outputs of a batch past the lengths: zeros, or NaN in rows with an error.
  __device__ void fill_padding() const {
    if (!a_.has_outputs) return;
    for_padding(l_.h, a_.users, block_, [&](int64_t at, float value) { a_.outputs.store(at, value); });
  }

  const MimnArguments& a_;
  const MimnLayout& l_;
  BlockUsers<users>& block_;
  Vectors values_;
  MimnStep<users> step_;
};

template <int users, bool resident>
__global__ void __launch_bounds__(kThreads, 1) mimn_forward(const __grid_constant__ MimnArguments a) {
  RECOPS_SHARED(BlockUsers<users>, block);
  RECOPS_DYNAMIC_SHARED(memory);
  const BlockMemory<resident> own(memory, int64_t{users} * a.layout.values, a.net.packed, a.layout.num_weights());
  __syncthreads();
  MimnBlock<users> one(a, block, own.weights, own.values);
  const int64_t num_users = a.users.num_users();
  for (int64_t group = blockIdx.x; group * users < num_users; group += gridDim.x) one.run(group);
}

}  // namespace recops::memory::cuda
