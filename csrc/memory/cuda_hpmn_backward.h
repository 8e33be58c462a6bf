// Kernel of HPMN's backward pass: a block recomputes the steps between two checkpoints of its users, then goes back
// through them, and adds their part of the gradients of weights.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "memory/cuda_backward.h"
#include "memory/cuda_block.h"
#include "memory/cuda_gradients.h"
#include "memory/cuda_gru_backward.h"
#include "memory/cuda_hpmn.h"

namespace recops::memory::cuda {

// Positions of the values of a backward pass: in shared memory behind those of HpmnLayout, and in frames.
struct HpmnBackwardLayout {
  HpmnLayout forward;
  int input_size, grad, gate_grads, grad_h, values;
  // A frame has the number of updated slots, then the values of each slot's update.
  int frame_input, frame_h, frame_gates, frame_reset, frame_grads, update_size;

  __host__ explicit HpmnBackwardLayout(const HpmnLayout& l) : forward(l) {
    const int h = padded(l.hidden), gates_size = padded(3 * l.hidden);
    input_size = padded(l.inputs) > h ? padded(l.inputs) : h;
    grad = l.values();
    gate_grads = grad + l.layers * h;
    grad_h = gate_grads + gates_size;
    values = grad_h + h;
    frame_input = kQuad;
    frame_h = frame_input + input_size;
    frame_gates = frame_h + h;
    frame_reset = frame_gates + gates_size;
    frame_grads = frame_reset + h;
    update_size = frame_grads + gates_size - kQuad;
  }

  __host__ __device__ int frame() const { return kQuad + forward.layers * update_size; }
  __host__ __device__ int grad_of(int j) const { return grad + j * padded(forward.hidden); }

  // Gradients of biases follow those of the weights.
  __host__ __device__ MatrixShape bias(int j) const {
    const MatrixShape one{0, 3 * forward.hidden, 1, 0};
    return {forward.num_weights() + j * one.values(), one.rows, 1, 0};
  }
  __host__ __device__ int64_t part_values() const { return bias(forward.layers).offset; }
};

struct HpmnBackwardArguments {
  HpmnBackwardLayout layout;
  Users users;
  DeviceValues x;
  DevicePointer<const float> packed, bias;
  DevicePointer<const float> from, kept;  // as in HpmnArguments
  DevicePointer<const int64_t> counts;
  int64_t every;
  DevicePointer<const float> grad_to;  // [rows, layers, hidden]
  DevicePointer<float> grad_x;         // [inputs, I]
  DevicePointer<float> grad_from;      // [rows, layers, hidden]
  DevicePointer<float> frames;         // [blocks, every, users, frame]
  DevicePointer<float> parts;          // [blocks, part values]
};

class HpmnBackwardBlock {
 public:
  static constexpr int kUsers = kBackwardUsers;

  // `memory`: values of all users in shared memory, zeros at first.
  __device__ HpmnBackwardBlock(const HpmnBackwardArguments& a, HpmnUsers<kUsers>& block,
                               DevicePointer<const float> weights, DevicePointer<float> memory)
      : a_(a),
        layout_(a.layout),
        l_(a.layout.forward),
        block_(block),
        weights_(weights),
        values_{memory, a.layout.values},
        frames_(a.frames + int64_t{blockIdx.x} * a.every * kUsers * a.layout.frame()),
        part_(a.parts + int64_t{blockIdx.x} * a.layout.part_values()) {}

  // Called by all threads after a barrier. `group`: number of the block's users.
  __device__ void run(int64_t group) {
    find_users(group);
    __syncthreads();
    for_values<kUsers>(width(), [&](int u, int i) { values_.at(u, grad_position(i)) = 0.0f; });
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
  __device__ int width() const { return l_.layers * l_.hidden; }
  __device__ int position(int i) const { return l_.slot(i / l_.hidden) + i % l_.hidden; }
  __device__ int grad_position(int i) const { return layout_.grad_of(i / l_.hidden) + i % l_.hidden; }

  __device__ Gru gru(int j) const {
    const GruShape shape = l_.layer(j);
    return {{weights_ + shape.matrix.offset, shape.matrix}, a_.bias + j * 3 * l_.hidden, l_.hidden};
  }

  // Frames of the users at a step since the checkpoint, from the update of slot j on.
  __device__ Vectors frames(int step, int j) const {
    return {frames_ + (int64_t{step} * kUsers * layout_.frame() + j * layout_.update_size), layout_.frame()};
  }

  __device__ void find_users(int64_t group) {
    const int u = threadIdx.x;
    if (u >= kUsers) return;
    User user = a_.users.find(group * kUsers + u);
    block_.counts[u] = user.length < 0 ? 0 : a_.counts[user.from];
    if (block_.counts[u] < 0) user.length = User::kWrong;
    block_.of[u] = user;
  }

  __device__ void find_updated(int t) {
    const int u = threadIdx.x;
    if (u < kUsers) block_.updated[t % 2][u] = block_.is_live(u, t) ? l_.num_updated(block_.counts[u] + t + 1) : 0;
  }

  // Stores the updates of steps [begin, end) in frames.
  __device__ void recompute(int begin, int end) {
    for_values<kUsers>(width(), [&](int u, int i) {
      const User& user = block_.of[u];
      float value = 0.0f;
      if (block_.is_live(u, begin))
        value = begin == 0 ? a_.from[user.from * width() + i]
                           : a_.kept[((begin / a_.every - 1) * a_.users.count + user.to) * width() + i];
      values_.at(u, position(i)) = value;
    });
    for (int t = begin; t < end; ++t) {
      load_inputs(a_.x, l_.inputs, a_.users, block_, t, values_.from(l_.input(t)));
      find_updated(t);
      __syncthreads();
      const int updated = block_.most_updated(t);
      if (threadIdx.x == 0) frames(t - begin, 0).at(0, 0) = static_cast<float>(updated);
      for (int j = 0; j < updated; ++j) update(t, j, frames(t - begin, j));
    }
  }

  __device__ void update(int t, int j, const Vectors& frame) const {
    const Vectors x = values_.from(j == 0 ? l_.input(t) : l_.slot(j - 1)), slot = values_.from(l_.slot(j));
    const Vectors gates = values_.from(l_.gates()), reset = values_.from(l_.reset());
    const auto copy = [&](const Vectors& from, int count, int to) {
      for_values<kUsers>(count, [&](int u, int i) { frame.at(u, to + i) = from.at(u, i); });
    };
    copy(x, padded(j == 0 ? l_.inputs : l_.hidden), layout_.frame_input);
    copy(slot, padded(l_.hidden), layout_.frame_h);
    gru(j).template find_gates<kUsers>(x, slot, gates, reset);
    __syncthreads();
    gru(j).template find_states<kUsers>(slot, gates, reset, [&](int u, int unit, float next) {
      if (j < block_.updated[t % 2][u]) slot.at(u, unit) = next;
    });
    __syncthreads();
    copy(gates, 3 * l_.hidden, layout_.frame_gates);
    copy(reset, padded(l_.hidden), layout_.frame_reset);
    __syncthreads();
  }

  // Takes over the gradients of the final states of users that have ended before step t.
  __device__ void start_users(int t) const {
    for_values<kUsers>(width(), [&](int u, int i) {
      const User& user = block_.of[u];
      if (user.length == t) values_.at(u, grad_position(i)) = a_.grad_to[user.to * width() + i];
    });
  }

  // Computes the gradients before step t from those after it.
  __device__ void go_back(int t, int step) {
    start_users(t + 1);
    find_updated(t);
    __syncthreads();
    for (int j = block_.most_updated(t); j-- > 0;) {
      const Vectors frame = frames(step, j), grad = values_.from(layout_.grad_of(j));
      const GruBackward back{gru(j), frame.from(layout_.frame_h), frame.from(layout_.frame_gates),
                             values_.from(layout_.gate_grads), values_.from(layout_.grad_h)};
      const auto is_updated = [&](int u) { return j < block_.updated[t % 2][u]; };
      for_values<kUsers>(l_.hidden,
                         [&](int u, int unit) { back.start(u, unit, is_updated(u) ? grad.at(u, unit) : 0.0f); });
      __syncthreads();
      back.template find_reset<kUsers>();
      __syncthreads();
      for_values<kUsers>(3 * l_.hidden,
                         [&](int u, int row) { frame.at(u, layout_.frame_grads + row) = back.gate_grads.at(u, row); });
      back.template find_gradients<kUsers>(
          [&](int u, int unit, float value) {
            if (is_updated(u)) grad.at(u, unit) = value;
          },
          [&](int u, int i, float value) {
            if (j > 0)
              values_.at(u, layout_.grad_of(j - 1) + i) += value;
            else if (block_.is_live(u, t))
              a_.grad_x[a_.users.input(block_.of[u], t) * l_.inputs + i] = value;
          });
      __syncthreads();
    }
  }

  __device__ void add_products(int64_t samples) const {
    const DevicePointer<const float> frames = frames_;
    for (int j = 0; j < l_.layers; ++j) {
      const int at = j * layout_.update_size;
      const auto is_used = [&](int64_t sample) {
        return j < static_cast<int>(frames[sample / kUsers * kUsers * layout_.frame()]);
      };
      add_product(gru_product(l_.layer(j), at + layout_.frame_grads, at + layout_.frame_input, at + layout_.frame_h,
                              at + layout_.frame_reset),
                  frames, layout_.frame(), samples, part_, is_used);
      add_product(Product::simple(layout_.bias(j), at + layout_.frame_grads, Product::kOne), frames, layout_.frame(),
                  samples, part_, is_used);
    }
  }

  // Writes the gradients of the first states, and those of inputs past the lengths.
  __device__ void finish() const {
    for_values<kUsers>(width(), [&](int u, int i) {
      const User& user = block_.of[u];
      if (user.length != User::kAbsent)
        a_.grad_from[user.to * width() + i] = user.length == User::kWrong ? kNan : values_.at(u, grad_position(i));
    });
    for_padding(l_.inputs, a_.users, block_, [&](int64_t at, float value) { a_.grad_x[at] = value; });
  }

  const HpmnBackwardArguments& a_;
  const HpmnBackwardLayout& layout_;
  const HpmnLayout& l_;
  HpmnUsers<kUsers>& block_;
  DevicePointer<const float> weights_;
  Vectors values_;
  DevicePointer<float> frames_, part_;
};

template <bool resident>
__global__ void __launch_bounds__(kThreads, 1) hpmn_backward(const __grid_constant__ HpmnBackwardArguments a) {
  RECOPS_SHARED(HpmnUsers<kBackwardUsers>, block);
  RECOPS_DYNAMIC_SHARED(memory);
  const BlockMemory<resident> own(memory, int64_t{kBackwardUsers} * a.layout.values, a.packed,
                                  a.layout.forward.num_weights());
  clear_part(a.parts, a.layout.part_values());
  __syncthreads();
  HpmnBackwardBlock one(a, block, own.weights, own.values);
  for (int64_t group = blockIdx.x; group * kBackwardUsers < a.users.count; group += gridDim.x) one.run(group);
}

}  // namespace recops::memory::cuda
