// Gradients before a step of MIMN from those after it, in parts with barriers between them. mimn-backward-inl.h is the
// CPU's.
#pragma once

#include "common/device.h"
#include "common/device_activations.h"
#include "common/device_math.h"
#include "memory/cuda_gru_backward.h"
#include "memory/cuda_mimn_backward_layout.h"
#include "memory/cuda_mimn_step.h"
#include "memory/cuda_warp.h"

namespace recops::memory::cuda {

// The gradient, or 0 if x was clipped.
__device__ __forceinline__ float unclipped(float grad, float x) { return x < -20.0f || x > 20.0f ? 0.0f : grad; }

template <int users>
class MimnStepBackward {
 public:
  __device__ MimnStepBackward(const MimnBackwardLayout& layout, const MimnNet& net, DevicePointer<const float> weights,
                              const Vectors& values)
      : b_(layout), l_(layout.forward), net_(net), weights_(weights), values_(values) {}

  // Called by all threads after a barrier, when the values of the step and the gradients of states, outputs and read
  // weights are in shared memory. grad_x(user, i, value) receives the gradient of the input. No barrier follows.
  template <class F>
  __device__ void run(const F& grad_x) const {
    output_back();
    __syncthreads();
    weights_back();
    start_units();
    __syncthreads();
    memory_back();
    address_back();
    for (int k = 0; k < l_.topk; ++k) unit(k).template find_reset<users>();
    __syncthreads();
    keys_back();
    usage_back();
    units_back();
    __syncthreads();
    head_back();
    __syncthreads();
    controller().template find_reset<users>();
    __syncthreads();
    controller().template find_gradients<users>([&](int u, int i, float grad) { at(u, b_.hidden + i) = grad; },
                                                [&](int u, int i, float grad) {
                                                  if (i < l_.d)
                                                    grad_x(u, i, at(u, b_.x + i) + grad);
                                                  else
                                                    at(u, b_.read + i - l_.d) = grad;
                                                });
  }

 private:
  __device__ float& at(int u, int i) const { return values_.at(u, i); }
  __device__ Matrix matrix(const MatrixShape& shape) const { return {weights_ + shape.offset, shape}; }
  __device__ int chosen(int u, int k) const { return static_cast<int>(at(u, l_.chosen + k)); }
  __device__ bool has_static() const { return !(net_.key_memory == nullptr); }
  __device__ void to_head(int u, int row, float grad) const {
    at(u, b_.head + row) = unclipped(grad, at(u, l_.head + row));
  }

  __device__ GruBackward controller() const {
    return {{matrix(l_.controller().matrix), net_.controller_bias, l_.h},
            values_.from(l_.hidden),
            values_.from(l_.gates),
            values_.from(b_.controller_gates),
            values_.from(b_.controller_h)};
  }
  __device__ GruBackward unit(int k) const {
    return {{matrix(l_.induction().matrix), net_.induction_bias, l_.d},
            values_.from(l_.unit_channel + k * l_.unit_size),
            values_.from(l_.unit_gates + k * l_.unit_size),
            values_.from(b_.unit_gates + k * padded(3 * l_.d)),
            values_.from(b_.unit_h + k * padded(l_.d))};
  }

  __device__ void output_back() const {
    const Matrix out = matrix(l_.out_matrix());
    const Vectors grads = values_.from(b_.out);
    for_first_columns<users>(out, 0, l_.h, grads, [&](int u, int i, float grad) { at(u, b_.hidden + i) += grad; });
    for_second_columns<users>(out, 0, l_.h, grads, [&](int u, int i, float grad) { at(u, b_.read + i) += grad; });
  }

  // Gradients of the weights of reading and writing.
  __device__ void weights_back() const {
    for_groups(users * l_.m, [&](int task, bool is_task, int lane) {
      const int u = is_task ? task / l_.m : 0, j = is_task ? task % l_.m : 0;
      float write = 0.0f, read = 0.0f;
      for (int i = lane; i < l_.d; i += kGroup) {
        const float slot = at(u, l_.memory + j * l_.slot_stride + i);
        const float erase = at(u, l_.activated + l_.erase + i), add = at(u, l_.activated + l_.add + i);
        write = multiply_add(at(u, b_.memory + j * l_.slot_stride + i), add - rounded_product(slot, erase), write);
        read = multiply_add(at(u, b_.read + i), slot, read);
      }
      write = sum_of_group(write);
      read = sum_of_group(read);
      if (!is_task || lane != 0) return;
      at(u, b_.writing + j) = write;
      at(u, b_.reading + j) += read;
    });
  }

  __device__ void start_units() const {
    for (int k = 0; k < l_.topk; ++k)
      for_values_from_last<users>(
          l_.d, [&](int u, int i) { unit(k).start(u, i, at(u, b_.channels + chosen(u, k) * l_.slot_stride + i)); });
  }

  // Backward through reading and writing the memory, for its gradient and those of the erased and added vectors.
  __device__ void memory_back() const {
    for_values<users>(l_.d, [&](int u, int i) {
      const float erase = at(u, l_.activated + l_.erase + i), add = at(u, l_.activated + l_.add + i);
      const float read = at(u, b_.read + i);
      float total = 0.0f, grad_erase = 0.0f, grad_add = 0.0f;
      for (int j = 0; j < l_.m; ++j) {
        const float write = at(u, l_.write + j), slot = at(u, l_.memory + j * l_.slot_stride + i);
        float& grad = at(u, b_.memory + j * l_.slot_stride + i);
        const float weighed = grad * write;
        total += write;
        grad_erase = multiply_add(-weighed, slot, grad_erase);
        grad_add += weighed;
        grad = multiply_add(at(u, l_.read_weights + j), read, grad * (1.0f - rounded_product(write, erase)));
      }
      grad_add = multiply_add(at(u, b_.added + i), total / static_cast<float>(l_.m), grad_add);
      to_head(u, l_.erase + i, grad_erase * erase * (1.0f - erase));
      to_head(u, l_.add + i, grad_add * (1.0f - add * add));
      at(u, b_.x + i) = at(u, b_.pooled + i);
    });
  }

  // A warp goes back through the weights of a user for reading or writing, a lane through those of a slot.
  __device__ void address_back() const {
    for_warps(2 * users, [&](int task, int lane) {
      const int u = task / 2, head = task % 2, j = lane;
      const bool is_slot = j < l_.m;
      float grad = 0.0f;
      if (head == 0)
        grad = is_slot ? at(u, b_.reading + j) : 0.0f;
      else
        grad = content_grad(u, j, is_slot);
      const float weight = is_slot ? at(u, (head == 0 ? l_.read_weights : l_.content) + j) : 0.0f;
      score_back(u, head, j, is_slot, weight * (grad - sum_of_warp(weight * grad)));
    });
  }

  // Gradient of the content weights, from those of the write weights and the usage.
  __device__ float content_grad(int u, int j, bool is_slot) const {
    const float write = is_slot ? at(u, b_.writing + j) : 0.0f, used = is_slot ? at(u, b_.usage + j) : 0.0f;
    if (l_.utilization == Utilization::code) return sharpening_back(u, j, is_slot, write, used);
    if (j < 4) at(u, b_.head + l_.shift + j) = 0.0f;  // shift and gamma
    const float both = write + used;
    if (l_.utilization == Utilization::none) return both;
    const float share = is_slot ? at(u, l_.share + j) : 0.0f, content = is_slot ? at(u, l_.content + j) : 0.0f;
    const float grad = both * content, grad_share = share * (grad - sum_of_warp(share * grad));
    if (is_slot) at(u, b_.share + j) = grad_share;
    return both * share;
  }

  // Only the gradient of the write weights reaches the content weights; that of the usage reaches shift and gamma.
  __device__ float sharpening_back(int u, int j, bool is_slot, float write, float used) const {
    const float y = is_slot ? at(u, l_.write + j) : 0.0f, content = is_slot ? at(u, l_.content + j) : 0.0f;
    const float moved = is_slot ? at(u, l_.moved + j) : 0.0f, log = is_slot ? at(u, l_.logs + j) : 0.0f;
    const float mean = sum_of_warp(y * write), both = sum_of_warp(y * (write + used));
    const float slope = is_slot && moved >= kTiny ? at(u, l_.activated + l_.gamma) * y / moved : 0.0f;
    const float total = write + used - both, of_moved = slope * total, by_write = slope * (write - mean);
    const int m = l_.m, before = (j + m - 1) % m, after = (j + 1) % m;
    const float grads[] = {sum_of_warp(of_moved * content),
                           sum_of_warp(of_moved * __shfl_sync(kFullWarp, content, before)),
                           sum_of_warp(of_moved * __shfl_sync(kFullWarp, content, after))};
    const float gamma = sum_of_warp(y * total * log);
    const float stay = at(u, l_.shift_weights), forth = at(u, l_.shift_weights + 1), back = at(u, l_.shift_weights + 2);
    if (j == 0) {
      const float shifts[] = {stay, forth, back};
      const float of_all = stay * grads[0] + forth * grads[1] + back * grads[2];
      for (int i = 0; i < 3; ++i) to_head(u, l_.shift + i, shifts[i] * (grads[i] - of_all));
      to_head(u, l_.gamma, gamma * sigmoid(clipped(at(u, l_.head + l_.gamma))) * 4.0f);
    }
    const float by_after = __shfl_sync(kFullWarp, by_write, after),
                by_before = __shfl_sync(kFullWarp, by_write, before);
    return stay * by_write + forth * by_after + back * by_before;
  }

  // From the gradient of a slot's score β · cosine.
  __device__ void score_back(int u, int head, int j, bool is_slot, float score) const {
    const int beta_row = head == 0 ? l_.read_beta : l_.write_beta;
    const float beta = at(u, l_.activated + beta_row) * (has_static() ? 0.5f : 1.0f);
    const float key_norm = at(u, l_.key_norm + head);
    float of_key_norm = 0.0f, of_beta = 0.0f;
    if (is_slot) {
      const float norm = at(u, l_.norms + j), near = at(u, l_.near + head * l_.m + j);
      const float dot = score * beta / (key_norm * norm + kCosineEps), product = -near * dot;
      at(u, b_.dot + head * padded(l_.m) + j) = dot;
      at(u, b_.slot + head * padded(l_.m) + j) = norm > 0.0f ? product * key_norm / norm : 0.0f;
      of_key_norm = product * norm;
      of_beta = score * near;
      if (has_static()) {
        const float fixed = at(u, l_.static_norms + j), other = at(u, l_.near_static + head * l_.m + j);
        const float of_dot = score * beta / (key_norm * fixed + kCosineEps), of_product = -other * of_dot;
        at(u, b_.dot_static + head * padded(l_.m) + j) = of_dot;
        at(u, b_.norm_static + head * padded(l_.m) + j) = of_product * key_norm;
        of_key_norm += of_product * fixed;
        of_beta = score * (near + other) * 0.5f;
      }
    }
    of_key_norm = sum_of_warp(of_key_norm);
    of_beta = sum_of_warp(of_beta);
    if (j != 0) return;
    at(u, b_.key_along + head) = key_norm > 0.0f ? of_key_norm / key_norm : 0.0f;
    to_head(u, beta_row, of_beta * sigmoid(clipped(at(u, l_.head + beta_row))) * 2.0f);
  }

  __device__ void keys_back() const {
    for_values<users>(l_.d, [&](int u, int i) {
      for (int head = 0; head < 2; ++head) {
        const int row = (head == 0 ? l_.read_key : l_.write_key) + i;
        const float key = at(u, l_.activated + row);
        float grad = at(u, b_.key_along + head) * key;
        for (int j = 0; j < l_.m; ++j) {
          const float slot = at(u, l_.memory + j * l_.slot_stride + i);
          const float dot = at(u, b_.dot + head * padded(l_.m) + j);
          float& of_slot = at(u, b_.memory + j * l_.slot_stride + i);
          of_slot = multiply_add(at(u, b_.slot + head * padded(l_.m) + j), slot, multiply_add(dot, key, of_slot));
          grad = multiply_add(dot, slot, grad);
          if (has_static())
            grad = multiply_add(at(u, b_.dot_static + head * padded(l_.m) + j), net_.key_memory[j * l_.d + i], grad);
        }
        to_head(u, row, grad * (1.0f - key * key));
        at(u, b_.keys + head * padded(l_.d) + i) = key;
      }
    });
  }

  __device__ void usage_back() const {
    const Matrix usage = matrix(l_.usage_matrix());
    if (usage.shape.rows == 0) return;
    for_first_columns<users>(usage, 0, l_.m, values_.from(b_.share),
                             [&](int u, int j, float grad) { at(u, b_.usage + j) += grad; });
  }

  // The memory gets no gradient by the channels. A lane adds to the same values of x for every k.
  __device__ void units_back() const {
    for (int k = 0; k < l_.topk; ++k)
      unit(k).template find_gradients<users>(
          [&](int u, int i, float grad) { at(u, b_.channels + chosen(u, k) * l_.slot_stride + i) = grad; },
          [&](int u, int i, float grad) {
            if (i < l_.d) at(u, b_.x + i) += grad;
          });
  }

  __device__ void head_back() const {
    for_first_columns<users>(matrix(l_.head_matrix()), 0, l_.heads, values_.from(b_.head),
                             [&](int u, int i, float grad) {
                               if (i < l_.h) controller().start(u, i, at(u, b_.hidden + i) + grad);
                             });
  }

  const MimnBackwardLayout& b_;
  const MimnLayout& l_;
  const MimnNet& net_;
  DevicePointer<const float> weights_;
  Vectors values_;
};

}  // namespace recops::memory::cuda
