// Kernel of HPMN's forward pass: a block takes its users through all their events. Memories stay in shared memory, and
// the weights too if `resident`.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/device_values.h"
#include "memory/cuda.h"
#include "memory/cuda_block.h"
#include "memory/cuda_gru.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

// Sizes of a network, and positions of a user's values in shared memory.
struct HpmnLayout {
  int inputs, hidden, layers;
  int64_t periods[kMostLayers];

  __host__ explicit HpmnLayout(const Hpmn& hpmn)
      : inputs(static_cast<int>(hpmn.inputs)),
        hidden(static_cast<int>(hpmn.hidden)),
        layers(static_cast<int>(hpmn.layers)) {
    for (int j = 0; j < layers; ++j) periods[j] = hpmn.periods[j];
  }

  __host__ __device__ GruShape layer(int j) const {
    if (j == 0) return gru_shape(inputs, hidden, 0);
    const int64_t first = gru_shape(inputs, hidden, 0).matrix.values();
    return gru_shape(hidden, hidden, first + (j - 1) * gru_shape(hidden, hidden, 0).matrix.values());
  }
  __host__ __device__ int64_t num_weights() const {
    const MatrixShape last = layer(layers - 1).matrix;
    return last.offset + last.values();
  }

  // The input of a step, in one of two buffers; slot j; gates; r·h.
  __host__ __device__ int input(int t) const { return t % 2 * padded(inputs); }
  __host__ __device__ int slot(int j) const { return 2 * padded(inputs) + j * padded(hidden); }
  __host__ __device__ int gates() const { return slot(layers); }
  __host__ __device__ int reset() const { return gates() + padded(3 * hidden); }
  __host__ __device__ int values() const { return reset() + padded(hidden); }

  // Number of slots that event number `count`, counted from 1, updates.
  __device__ int num_updated(int64_t count) const {
    int j = 0;
    while (j < layers && count % periods[j] == 0) ++j;
    return j;
  }
};

struct HpmnArguments {
  HpmnLayout layout;
  Users users;
  DeviceValues x;                       // [inputs, I]
  DevicePointer<const float> packed;    // weights of all layers (cuda_matrix.h)
  DevicePointer<const float> bias;      // [layers, 3·hidden]
  DevicePointer<const float> from;      // [rows, layers, hidden]
  DevicePointer<float> to;              // the same layout; may be the same memory
  DevicePointer<const int64_t> counts;  // [rows]: number of earlier events
  DevicePointer<int64_t> new_counts;    // [rows], or null
  DevicePointer<float> kept;            // [checkpoints, rows, layers, hidden], or null
  int64_t every;
};

// Users of a block, and the number of slots that the event of each updates, in one of two buffers.
template <int users>
struct HpmnUsers : BlockUsers<users> {
  int64_t counts[users];
  int updated[2][users];

  __device__ int most_updated(int t) const {
    int most = 0;
    RECOPS_UNROLL
    for (int u = 0; u < users; ++u) most = updated[t % 2][u] > most ? updated[t % 2][u] : most;
    return most;
  }
};

template <int users>
class HpmnBlock {
 public:
  // `weights` in shared or global memory. `memory`: values of all users in shared memory, zeros at first.
  __device__ HpmnBlock(const HpmnArguments& a, HpmnUsers<users>& block, DevicePointer<const float> weights,
                       DevicePointer<float> memory)
      : a_(a), layout_(a.layout), block_(block), weights_(weights), values_{memory, a.layout.values()} {}

  // Called by all threads. `group`: number of the block's users.
  __device__ void run(int64_t group) {
    find_users(group);
    __syncthreads();
    load_states();
    load_input(0);
    find_updated(0);
    __syncthreads();
    end_users(0);
    const int steps = block_.longest();
    for (int t = 0; t < steps; ++t) {
      if (!(a_.kept == nullptr) && t > 0 && t % a_.every == 0) keep_states(t);
      step(t);
      end_users(t + 1);
    }
    __syncthreads();  // the users in shared memory may change
  }

 private:
  __device__ int width() const { return layout_.layers * layout_.hidden; }
  // Position of value i of a row of the state.
  __device__ int position(int i) const { return layout_.slot(i / layout_.hidden) + i % layout_.hidden; }

  __device__ void find_users(int64_t group) {
    const int u = threadIdx.x;
    if (u >= users) return;
    User user = a_.users.find(group * users + u);
    int64_t count = user.length < 0 ? 0 : a_.counts[user.from];
    if (count < 0) {
      user.length = User::kWrong;
      count = 0;
    }
    block_.of[u] = user;
    block_.counts[u] = count;
    if (user.length > 0 && !(a_.new_counts == nullptr)) a_.new_counts[user.from] = count + user.length;
  }

  __device__ void load_states() const {
    for_values<users>(width(), [&](int u, int i) {
      const User& user = block_.of[u];
      values_.at(u, position(i)) = user.length < 0 ? 0.0f : a_.from[user.from * width() + i];
    });
  }

  __device__ void load_input(int t) const {
    load_inputs(a_.x, layout_.inputs, a_.users, block_, t, values_.from(layout_.input(t)));
  }

  __device__ void find_updated(int t) {
    const int u = kThreads - 1 - static_cast<int>(threadIdx.x);
    if (u < users) block_.updated[t % 2][u] = block_.is_live(u, t) ? layout_.num_updated(block_.counts[u] + t + 1) : 0;
  }

  // Contains a barrier after each part.
  __device__ void step(int t) {
    const int updated = block_.most_updated(t);
    const Vectors gates = values_.from(layout_.gates()), reset = values_.from(layout_.reset());
    for (int j = 0; j < updated; ++j) {
      const GruShape shape = layout_.layer(j);
      const Gru gru{{weights_ + shape.matrix.offset, shape.matrix}, a_.bias + j * 3 * layout_.hidden, layout_.hidden};
      const Vectors x = values_.from(j == 0 ? layout_.input(t) : layout_.slot(j - 1)),
                    slot = values_.from(layout_.slot(j));
      gru.template find_gates<users>(x, slot, gates, reset);
      if (j == 0) {
        load_input(t + 1);
        find_updated(t + 1);
      }
      __syncthreads();
      gru.template find_states<users>(slot, gates, reset, [&](int u, int unit, float next) {
        if (j < block_.updated[t % 2][u]) slot.at(u, unit) = next;
      });
      __syncthreads();
    }
  }

  // Writes those of users that have ended too: the composite's backward pass reads them.
  __device__ void keep_states(int t) const {
    const int64_t first = (t / a_.every - 1) * a_.users.count;
    for_values<users>(width(), [&](int u, int i) {
      if (block_.of[u].length != User::kAbsent)
        a_.kept[(first + block_.of[u].to) * width() + i] = values_.at(u, position(i));
    });
  }

  // Writes the states of users that end before step t.
  __device__ void end_users(int t) const {
    for_values<users>(width(), [&](int u, int i) {
      const User& user = block_.of[u];
      if (user.length == t || (user.length == User::kWrong && t == 0))
        a_.to[user.to * width() + i] = user.length == t ? values_.at(u, position(i)) : kNan;
    });
  }

  const HpmnArguments& a_;
  const HpmnLayout& layout_;
  HpmnUsers<users>& block_;
  DevicePointer<const float> weights_;
  Vectors values_;
};

template <int users, bool resident>
__global__ void __launch_bounds__(kThreads, 2) hpmn_forward(const __grid_constant__ HpmnArguments a) {
  RECOPS_SHARED(HpmnUsers<users>, block);
  RECOPS_DYNAMIC_SHARED(memory);
  const BlockMemory<resident> own(memory, int64_t{users} * a.layout.values(), a.packed, a.layout.num_weights());
  __syncthreads();
  HpmnBlock<users> one(a, block, own.weights, own.values);
  const int64_t num_users = a.users.num_users();
  for (int64_t group = blockIdx.x; group * users < num_users; group += gridDim.x) one.run(group);
}

}  // namespace recops::memory::cuda
