// Kernel of MIMN's backward pass: a block recomputes the steps between two checkpoints of its users, then goes back
// through them, and adds their part of the gradients of weights.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "memory/cuda_backward.h"
#include "memory/cuda_block.h"
#include "memory/cuda_mimn.h"
#include "memory/cuda_mimn_step_backward.h"

namespace recops::memory::cuda {

struct MimnBackwardArguments {
  MimnBackwardLayout layout;
  MimnNet net;
  Users users;
  DeviceValues x;
  StateRows from;
  DeviceCheckpoints kept;
  int64_t every;
  DeviceValues grad_outputs;                // [inputs, H]
  DevicePointer<const float> grad_weights;  // [rows, m], of the read weights
  StateRows grad_to, grad_from;
  DevicePointer<float> grad_x;  // [inputs, D]
  DevicePointer<float> frames;  // [blocks, every, users, frame]
  DevicePointer<float> parts;   // [blocks, part values]
};

class MimnBackwardBlock {
 public:
  static constexpr int kUsers = kBackwardUsers;

  // `memory`: values of all users in shared memory, zeros at first.
  __device__ MimnBackwardBlock(const MimnBackwardArguments& a, BlockUsers<kUsers>& block,
                               DevicePointer<const float> weights, DevicePointer<float> memory)
      : a_(a),
        b_(a.layout),
        l_(a.layout.forward),
        block_(block),
        values_{memory, a.layout.values},
        step_(l_, a.net, weights, values_),
        back_(b_, a.net, weights, values_),
        frames_(a.frames + int64_t{blockIdx.x} * a.every * kUsers * a.layout.frame()),
        part_(a.parts + int64_t{blockIdx.x} * a.layout.part_values()) {}

  // Called by all threads after a barrier. `group`: number of the block's users.
  __device__ __forceinline__ void run(int64_t group) {
    if (threadIdx.x < kUsers) block_.of[threadIdx.x] = a_.users.find(group * kUsers + threadIdx.x);
    __syncthreads();
    for_values<kUsers>(b_.x - b_.hidden, [&](int u, int i) { values_.at(u, b_.hidden + i) = 0.0f; });
    __syncthreads();
    go_back_in_segments(
        block_.longest(), a_.every, [&](int begin, int end) { recompute(begin, end); },
        [&](int t, int step) { go_back(t, step); }, [&](int64_t steps) { add_products(steps * kUsers); });
    start_users(0);
    __syncthreads();
    finish();
    __syncthreads();
  }

 private:
  // Frames of the users at a step since the checkpoint.
  __device__ Vectors frames(int step) const { return {frames_ + int64_t{step} * kUsers * b_.frame(), b_.frame()}; }

  // The field of the gradient that belongs to a field of the state. Both have the same strides.
  template <class F>
  __device__ void for_grads(const StateRows& rows, const F& f) const {
    const auto call = [&](DevicePointer<float> of, const StateField& field) {
      if (!(of == nullptr)) f(of, field);
    };
    call(rows.hidden, l_.vector(b_.hidden, l_.h));
    call(rows.read, l_.vector(b_.read, l_.d));
    call(rows.memory, l_.slots(b_.memory));
    call(rows.usage, l_.vector(b_.usage, l_.m));
    call(rows.added, l_.vector(b_.added, l_.d));
    call(rows.channels, l_.slots(b_.channels));
    call(rows.pooled, l_.vector(b_.pooled, l_.d));
  }

  __device__ void load_input(int t, int to) const { load_inputs(a_.x, l_.d, a_.users, block_, t, values_.from(to)); }

  __device__ void load_states(int begin) const {
    const auto load = [&](const StateField& field, const auto& value) {
      for_values<kUsers>(field.width, [&](int u, int i) {
        values_.at(u, field.position(i)) = block_.is_live(u, begin) ? value(block_.of[u], i) : 0.0f;
      });
    };
    if (begin == 0)
      a_.from.for_all(l_, [&](DevicePointer<float> rows, const StateField& field) {
        load(field, [&](const User& user, int i) { return rows[user.from * field.width + i]; });
      });
    else
      DeviceCheckpoints::for_all(l_, [&](int at, const StateField& field) {
        load(field, [&](const User& user, int i) { return a_.kept.value(l_, begin / a_.every - 1, user.to, at + i); });
      });
  }

  // Stores the values of steps [begin, end) in frames.
  __device__ void recompute(int begin, int end) const {
    load_states(begin);
    load_input(begin, l_.input);
    __syncthreads();
    for (int t = begin; t < end; ++t) {
      const Vectors frame = frames(t - begin);
      // The state before the step changes only after a barrier.
      for_values<kUsers>(l_.next_hidden, [&](int u, int i) { frame.at(u, i) = values_.at(u, i); });
      step_.run([&] { load_input(t + 1, l_.next_x); },
                [&](int u, int unit, float value) { values_.at(u, l_.out + unit) = value; });
      for_values<kUsers>(l_.frame - l_.next_hidden,
                         [&](int u, int i) { frame.at(u, l_.next_hidden + i) = values_.at(u, l_.next_hidden + i); });
      __syncthreads();
    }
  }

  // Takes over the gradients of the final states of users that have ended before step t.
  __device__ void start_users(int t) const {
    for_grads(a_.grad_to, [&](DevicePointer<float> rows, const StateField& field) {
      for_values<kUsers>(field.width, [&](int u, int i) {
        const User& user = block_.of[u];
        if (user.length == t) values_.at(u, field.position(i)) = rows[user.to * field.width + i];
      });
    });
    for_values<kUsers>(l_.m, [&](int u, int j) {
      const User& user = block_.of[u];
      values_.at(u, b_.reading + j) = user.length == t ? a_.grad_weights[user.to * l_.m + j] : 0.0f;
    });
  }

  // Computes the gradients before step t from those after it.
  __device__ void go_back(int t, int step) const {
    const Vectors frame = frames(step);
    start_users(t + 1);
    for_values<kUsers>(l_.frame, [&](int u, int i) { values_.at(u, i) = frame.at(u, i); });
    for_values_from_last<kUsers>(l_.h, [&](int u, int i) {
      const bool is_live = block_.is_live(u, t);
      const float grad = is_live ? a_.grad_outputs[a_.users.input(block_.of[u], t) * l_.h + i] : 0.0f;
      values_.at(u, b_.out + i) = unclipped(grad, frame.at(u, l_.out + i));
    });
    __syncthreads();
    back_.run([&](int u, int i, float grad) {
      if (block_.is_live(u, t)) a_.grad_x[a_.users.input(block_.of[u], t) * l_.d + i] = grad;
    });
    for_values<kUsers>(b_.sample_end - b_.sample,
                       [&](int u, int i) { frame.at(u, l_.frame + i) = values_.at(u, b_.sample + i); });
    __syncthreads();
  }

  __device__ void add_products(int64_t samples) const {
    const int count = b_.num_products(!(a_.net.key_memory == nullptr));
    RECOPS_KEEP_LOOP
    for (int i = 0; i < count; ++i)
      add_product(b_.product(i), DevicePointer<const float>(frames_), b_.frame(), samples, part_,
                  [](int64_t) { return true; });
  }

  // Writes the gradients of the first states, and those of inputs past the lengths.
  __device__ void finish() const {
    for_grads(a_.grad_from, [&](DevicePointer<float> rows, const StateField& field) {
      for_values<kUsers>(field.width, [&](int u, int i) {
        const User& user = block_.of[u];
        if (user.length != User::kAbsent)
          rows[user.to * field.width + i] = user.length == User::kWrong ? kNan : values_.at(u, field.position(i));
      });
    });
    for_padding(l_.d, a_.users, block_, [&](int64_t at, float value) { a_.grad_x[at] = value; });
  }

  const MimnBackwardArguments& a_;
  const MimnBackwardLayout& b_;
  const MimnLayout& l_;
  BlockUsers<kUsers>& block_;
  Vectors values_;
  MimnStep<kUsers> step_;
  MimnStepBackward<kUsers> back_;
  DevicePointer<float> frames_, part_;
};

template <bool resident>
__global__ void __launch_bounds__(kThreads, 1) mimn_backward(const __grid_constant__ MimnBackwardArguments a) {
  RECOPS_SHARED(BlockUsers<kBackwardUsers>, block);
  RECOPS_DYNAMIC_SHARED(memory);
  const BlockMemory<resident> own(memory, int64_t{kBackwardUsers} * a.layout.values, a.net.packed,
                                  a.layout.forward.num_weights());
  clear_part(a.parts, a.layout.part_values());
  __syncthreads();
  MimnBackwardBlock one(a, block, own.weights, own.values);
  for (int64_t group = blockIdx.x; group * kBackwardUsers < a.users.count; group += gridDim.x) one.run(group);
}

struct StaticSlotsArguments {
  MatrixShape slots, norms;
  int64_t parts, part_values;
  DevicePointer<const float> from;        // [parts, part_values]
  DevicePointer<const float> key_memory;  // [m, D]
  DevicePointer<float> grad;              // [m, D]

  __device__ float sum(int64_t at) const {
    float sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += from[part * part_values + at];
    return sum;
  }
};

// Adds the parts of the gradient of the static slots, by products with keys and by norms.
__global__ void __launch_bounds__(kThreads) sum_static_slots(const __grid_constant__ StaticSlotsArguments a) {
  const int at = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x), d = a.slots.first;
  if (at >= a.slots.rows * d) return;
  const int j = at / d, i = at % d;
  float square = 0;
  for (int k = 0; k < d; ++k) square = multiply_add(a.key_memory[j * d + k], a.key_memory[j * d + k], square);
  const float norm = sqrtf(square), along = norm > 0.0f ? a.sum(a.norms.offset + j * kQuad) / norm : 0.0f;
  const float dot = a.sum(a.slots.offset + (int64_t{i / kQuad} * a.slots.rows + j) * kQuad + i % kQuad);
  a.grad[at] = multiply_add(along, a.key_memory[at], dot);
}

}  // namespace recops::memory::cuda
