// One step of MIMN for the users of a block, in seven parts with barriers between them.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/device.h"
#include "common/device_activations.h"
#include "common/device_floats.h"
#include "common/device_math.h"
#include "memory/cuda_gru.h"
#include "memory/cuda_mimn_layout.h"
#include "memory/cuda_users.h"
#include "memory/cuda_warp.h"

namespace recops::memory::cuda {

constexpr float kCosineEps = 1e-8f;
constexpr float kTiny = 1e-37f;  // lower bound on shifted weights before the logarithm

__device__ __forceinline__ float clipped(float x) { return x < -20.0f ? -20.0f : (x > 20.0f ? 20.0f : x); }

// Weights of MIMN.
struct MimnNet {
  DevicePointer<const float> packed;  // all matrices (cuda_matrix.h)
  DevicePointer<const float> controller_bias, head_b, induction_bias, out_b;
  DevicePointer<const float> key_memory;  // [m, D], or null
  float usage_scale;
};

template <int users>
class MimnStep {
 public:
  // `weights`: packed weights, in shared or global memory. `values`: those of all users, in shared memory.
  __device__ MimnStep(const MimnLayout& layout, const MimnNet& net, DevicePointer<const float> weights,
                      const Vectors& values)
      : l_(layout), net_(net), weights_(weights), values_(values) {}

  // Advances the states. Called by all threads after a barrier; ends with a barrier.
  //
  // load_input() writes the input of the next step to next_x. output(user, unit, value) receives the outputs, before
  // clipping.
  template <class Load, class Output>
  __device__ void run(const Load& load_input, const Output& output) const {
    find_controller_gates();
    load_input();
    __syncthreads();
    controller().template find_states<users>(
        at(l_.hidden), at(l_.gates), at(l_.reset),
        [&](int u, int unit, float next) { values_.at(u, l_.next_hidden + unit) = next; });
    __syncthreads();
    find_head();
    __syncthreads();
    find_cosines();
    __syncthreads();
    find_weights();
    __syncthreads();
    update_memory();
    for (int k = 0; k < l_.topk; ++k)
      induction().template find_gates<users>(unit(k, l_.unit_input), unit(k, l_.unit_channel), unit(k, l_.unit_gates),
                                             unit(k, l_.unit_reset));
    __syncthreads();
    update_channels();
    find_output(output);
    for_values<users>(l_.h, [&](int u, int i) { values_.at(u, l_.hidden + i) = values_.at(u, l_.next_hidden + i); });
    for_values_from_last<users>(l_.d,
                                [&](int u, int i) { values_.at(u, l_.input + i) = values_.at(u, l_.next_x + i); });
    __syncthreads();
  }

 private:
  __device__ Vectors at(int offset) const { return values_.from(offset); }
  __device__ Vectors unit(int k, int offset) const { return values_.from(offset + k * l_.unit_size); }
  __device__ Matrix matrix(const MatrixShape& shape) const { return {weights_ + shape.offset, shape}; }
  __device__ Gru controller() const { return {matrix(l_.controller().matrix), net_.controller_bias, l_.h}; }
  __device__ Gru induction() const { return {matrix(l_.induction().matrix), net_.induction_bias, l_.d}; }

  __device__ void find_controller_gates() const {
    controller().template find_gates<users>(at(l_.input), at(l_.hidden), at(l_.gates), at(l_.reset));
    for_values_from_last<users>(l_.m, [&](int u, int j) {
      values_.at(u, l_.next_hidden + l_.h + j) = values_.at(u, l_.usage + j) / net_.usage_scale;
    });
  }

  __device__ float activation(int row, float value) const {
    value = clipped(value);
    if (row >= l_.add) return hyperbolic_tangent(value);
    if (row >= l_.erase) return sigmoid(value);
    if (row == l_.gamma) return (softplus(value) + 1.0f) * 4.0f;
    if (row >= l_.shift) return value;
    if (row == l_.read_beta || row == l_.write_beta) return (softplus(value) + 1.0f) * 2.0f;
    return hyperbolic_tangent(value);
  }

  __device__ void find_head() const {
    const Matrix head = matrix(l_.head_matrix()), usage = matrix(l_.usage_matrix());
    for_rows<users>(0, l_.heads, [&](int row, int first) {
      float sums[kTaskUsers<users>];
      const float start = net_.head_b[row];
      RECOPS_UNROLL
      for (float& sum : sums) sum = start;
      head.add_first(row, at(l_.next_hidden), first, sums);
      RECOPS_UNROLL
      for (int i = 0; i < kTaskUsers<users>; ++i) {
        values_.at(first + i, l_.head + row) = sums[i];
        values_.at(first + i, l_.activated + row) = activation(row, sums[i]);
      }
    });
    for_rows<users>(0, usage.shape.rows, [&](int row, int first) {
      float sums[kTaskUsers<users>] = {};
      usage.add_first(row, at(l_.usage), first, sums);
      RECOPS_UNROLL
      for (int i = 0; i < kTaskUsers<users>; ++i) values_.at(first + i, l_.share + row) = sums[i];
    });
  }

  // Sums of a slot j of a user over the dimensions.
  struct SlotSums {
    float slot, fixed, key[2], dot[2], fixed_dot[2];
  };

  __device__ SlotSums sums_of_slot(int u, int j, int lane) const {
    SlotSums sums = {};
    const bool has_static = !(net_.key_memory == nullptr);
    for (int i = lane; i < l_.d; i += kGroup) {
      const float slot = values_.at(u, l_.memory + j * l_.slot_stride + i);
      const float fixed = has_static ? net_.key_memory[j * l_.d + i] : 0.0f;
      sums.slot = multiply_add(slot, slot, sums.slot);
      sums.fixed = multiply_add(fixed, fixed, sums.fixed);
      RECOPS_UNROLL
      for (int head = 0; head < 2; ++head) {
        const float key = values_.at(u, l_.activated + (head == 0 ? l_.read_key : l_.write_key) + i);
        sums.key[head] = multiply_add(key, key, sums.key[head]);
        sums.dot[head] = multiply_add(key, slot, sums.dot[head]);
        sums.fixed_dot[head] = multiply_add(key, fixed, sums.fixed_dot[head]);
      }
    }
    sums.slot = sum_of_group(sums.slot);
    sums.fixed = sum_of_group(sums.fixed);
    RECOPS_UNROLL
    for (int head = 0; head < 2; ++head) {
      sums.key[head] = sum_of_group(sums.key[head]);
      sums.dot[head] = sum_of_group(sums.dot[head]);
      sums.fixed_dot[head] = sum_of_group(sums.fixed_dot[head]);
    }
    return sums;
  }

  __device__ void find_cosines() const {
    for_groups(users * l_.m, [&](int task, bool is_task, int lane) {
      const int u = is_task ? task / l_.m : 0, j = is_task ? task % l_.m : 0;
      const SlotSums sums = sums_of_slot(u, j, lane);
      if (!is_task || lane != 0) return;
      const float norm = sqrtf(sums.slot), fixed_norm = sqrtf(sums.fixed);
      values_.at(u, l_.norms + j) = norm;
      values_.at(u, l_.static_norms + j) = fixed_norm;
      RECOPS_UNROLL
      for (int head = 0; head < 2; ++head) {
        const float key_norm = sqrtf(sums.key[head]);
        values_.at(u, l_.near + head * l_.m + j) = sums.dot[head] / (key_norm * norm + kCosineEps);
        values_.at(u, l_.near_static + head * l_.m + j) = sums.fixed_dot[head] / (key_norm * fixed_norm + kCosineEps);
        if (j == 0) values_.at(u, l_.key_norm + head) = key_norm;
      }
    });
  }

  // A warp finds the weights of a user for reading or writing, a lane those of a slot.
  __device__ void find_weights() const {
    for_warps(2 * users, [&](int task, int lane) {
      const int u = task / 2, head = task % 2;
      const float beta = values_.at(u, l_.activated + (head == 0 ? l_.read_beta : l_.write_beta));
      float score = 0.0f;
      if (lane < l_.m) {
        score = values_.at(u, l_.near + head * l_.m + lane);
        if (!(net_.key_memory == nullptr)) score = 0.5f * (score + values_.at(u, l_.near_static + head * l_.m + lane));
        score = rounded_product(beta, score);
      }
      const float weight = softmax_of_warp(score, lane < l_.m);
      if (lane < l_.m) values_.at(u, (head == 0 ? l_.read_weights : l_.content) + lane) = weight;
      if (head == 0)
        choose_channels(u, weight, lane);
      else
        find_write_weights(u, weight, lane);
    });
  }

  // Takes the slots with the largest weights; the lowest slot wins ties.
  __device__ void choose_channels(int u, float weight, int lane) const {
    float rest = lane < l_.m ? weight : -2.0f;
    for (int k = 0; k < l_.topk; ++k) {
      const int slot = largest_lane(rest);
      if (lane == slot) rest = -1.0f;
      if (lane == 0) values_.at(u, l_.chosen + k) = static_cast<float>(slot);
      for (int i = lane; i < l_.d; i += kWarpSize) {
        const Vectors input = unit(k, l_.unit_input);
        input.at(u, i) = values_.at(u, l_.input + i);
        input.at(u, l_.d + i) = values_.at(u, l_.memory + slot * l_.slot_stride + i);
        unit(k, l_.unit_channel).at(u, i) = values_.at(u, l_.channels + slot * l_.slot_stride + i);
      }
    }
  }

  __device__ void find_write_weights(int u, float content, int lane) const {
    const bool is_slot = lane < l_.m;
    float write = content;
    if (l_.utilization == Utilization::paper) {
      const float share = softmax_of_warp(is_slot ? values_.at(u, l_.share + lane) : 0.0f, is_slot);
      write = rounded_product(content, share);
      if (is_slot) values_.at(u, l_.share + lane) = share;
    } else if (l_.utilization == Utilization::code) {
      const bool is_shift = lane < 3;
      const float shift = softmax_of_warp(is_shift ? values_.at(u, l_.activated + l_.shift + lane) : 0.0f, is_shift);
      if (is_shift) values_.at(u, l_.shift_weights + lane) = shift;
      const float stay = __shfl_sync(kFullWarp, shift, 0), forth = __shfl_sync(kFullWarp, shift, 1),
                  back = __shfl_sync(kFullWarp, shift, 2);
      const float before = __shfl_sync(kFullWarp, content, (lane + l_.m - 1) % l_.m),
                  after = __shfl_sync(kFullWarp, content, (lane + 1) % l_.m);
      const float moved = multiply_add(back, after, multiply_add(forth, before, rounded_product(stay, content)));
      const float log = logf(moved > kTiny ? moved : kTiny);
      const float most = largest_of_warp(is_slot ? log : -kInfinity);
      if (is_slot) {
        values_.at(u, l_.moved + lane) = moved;
        values_.at(u, l_.logs + lane) = log;
      }
      write = softmax_of_warp(values_.at(u, l_.activated + l_.gamma) * (log - most), is_slot);
    }
    if (is_slot) values_.at(u, l_.write + lane) = write;
  }

  __device__ void update_memory() const {
    for_values<users>(l_.d, [&](int u, int i) {
      const float erase = values_.at(u, l_.activated + l_.erase + i), add = values_.at(u, l_.activated + l_.add + i);
      float read = 0.0f, total = 0.0f;
      for (int j = 0; j < l_.m; ++j) {
        float& slot = values_.at(u, l_.memory + j * l_.slot_stride + i);
        const float write = values_.at(u, l_.write + j);
        read = multiply_add(values_.at(u, l_.read_weights + j), slot, read);
        slot = multiply_add(write, add, rounded_product(slot, 1.0f - rounded_product(write, erase)));
        total += write;
      }
      values_.at(u, l_.next_read + i) = read;
      values_.at(u, l_.input + l_.d + i) = read;
      float& added = values_.at(u, l_.added + i);
      added = multiply_add(total / static_cast<float>(l_.m), add, added);
      values_.at(u, l_.pooled + i) += values_.at(u, l_.input + i);
    });
    for_values_from_last<users>(l_.m,
                                [&](int u, int j) { values_.at(u, l_.usage + j) += values_.at(u, l_.write + j); });
  }

  __device__ void update_channels() const {
    for (int k = 0; k < l_.topk; ++k)
      induction().template find_states<users>(unit(k, l_.unit_channel), unit(k, l_.unit_gates), unit(k, l_.unit_reset),
                                              [&](int u, int i, float next) {
                                                const int slot = static_cast<int>(values_.at(u, l_.chosen + k));
                                                values_.at(u, l_.channels + slot * l_.slot_stride + i) = next;
                                              });
  }

  template <class Output>
  __device__ void find_output(const Output& output) const {
    const Matrix out = matrix(l_.out_matrix());
    for_rows<users>(0, l_.h, [&](int row, int first) {
      float sums[kTaskUsers<users>];
      const float start = net_.out_b[row];
      RECOPS_UNROLL
      for (float& sum : sums) sum = start;
      out.add_first(row, at(l_.next_hidden), first, sums);
      out.add_second(row, at(l_.next_read), first, sums);
      RECOPS_UNROLL
      for (int i = 0; i < kTaskUsers<users>; ++i) output(first + i, row, sums[i]);
    });
  }

  const MimnLayout& l_;
  const MimnNet& net_;
  DevicePointer<const float> weights_;
  Vectors values_;
};

}  // namespace recops::memory::cuda
