// Content addressing of a memory, per lane: w = softmax_j(β · s_j). s_j is the cosine of the key and slot j, or the
// mean of that cosine and the cosine with static slot j.
#pragma once

#include "memory/product-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

template <class T>
constexpr T kCosineEps = T{1e-8};

// Static slots, the same for all users.
template <class T>
struct StaticSlots {
  Matrix<T> slots;  // [m, D]; null data means no static slots
  const T* norms;   // [m]
  Matrix<T> back;   // [D, m] transposed slots
};

// Address of a memory [m, D], and its results.
template <class T>
struct Head {
  T *key = nullptr, *beta, *key_norm;  // [D], [], []
  T *near, *near_static;               // [m] cosines
  T* weights;                          // [m]

  void take(Arena& arena, int64_t size, int64_t slots) {
    arena.take(key, size * kUsers<T>);
    arena.take(beta, kUsers<T>);
    arena.take(key_norm, kUsers<T>);
    arena.take(near, slots * kUsers<T>);
    arena.take(near_static, slots * kUsers<T>);
    arena.take(weights, slots * kUsers<T>);
  }
};

template <class T>
Vec<T> norm_of(const T* values, int64_t size, int64_t lane) {
  Vec<T> sum{};
  for (int64_t d = 0; d < size; ++d) {
    const Vec<T> value = load(values + d * kUsers<T> + lane);
    sum = multiply_add<T>(sum, value, value);
  }
  return square_root(sum);
}

template <class T>
[[gnu::noinline]] void norms_of_slots(const T* memory, int64_t slots, int64_t size, T* norms) {
  for (int64_t j = 0; j < slots; ++j)
    for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>)
      store(norms + j * kUsers<T> + lane, norm_of(memory + j * size * kUsers<T>, size, lane));
}

// Replaces y by its softmax over slots.
template <class T>
[[gnu::noinline]] void softmax(int64_t slots, T* y) {
  for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
    T* const at = y + lane;
    Vec<T> most = load(at), sum{};
    for (int64_t j = 1; j < slots; ++j) {
      const Vec<T> value = load(at + j * kUsers<T>);
      most = value > most ? value : most;
    }
    for (int64_t j = 0; j < slots; ++j) {
      const Vec<T> power = exponential<T>(load(at + j * kUsers<T>) - most);
      store(at + j * kUsers<T>, power);
      sum += power;
    }
    const Vec<T> scale = broadcast(T{1}) / sum;
    for (int64_t j = 0; j < slots; ++j) store(at + j * kUsers<T>, load(at + j * kUsers<T>) * scale);
  }
}

// Gradient of softmax: grad = y · (grad − Σ y·grad).
template <class T>
[[gnu::noinline]] void softmax_back(int64_t slots, const T* y, T* grad) {
  for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
    Vec<T> mean{};
    for (int64_t j = 0; j < slots; ++j)
      mean = multiply_add<T>(mean, load(y + j * kUsers<T> + lane), load(grad + j * kUsers<T> + lane));
    for (int64_t j = 0; j < slots; ++j) {
      T* const at = grad + j * kUsers<T> + lane;
      store(at, load(y + j * kUsers<T> + lane) * (load(at) - mean));
    }
  }
}

// Computes the weights from head.key and head.beta.
template <class T>
[[gnu::noinline]] void address(const T* memory, const T* norms, int64_t slots, int64_t size,
                               const StaticSlots<T>& fixed, const Head<T>& head) {
  const Vec<T> eps = broadcast(kCosineEps<T>), half = broadcast(T{0.5});
  for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>)
    store(head.key_norm + lane, norm_of(head.key, size, lane));
  if (fixed.slots.data != nullptr) multiply<T>(fixed.slots, head.key, nullptr, head.near_static);
  for (int64_t j = 0; j < slots; ++j) {
    const T* const slot = memory + j * size * kUsers<T>;
    Vec<T> low{}, high{};
    for (int64_t i = 0; i < size * kUsers<T>; i += kUsers<T>) {
      low = multiply_add<T>(low, load(head.key + i), load(slot + i));
      high = multiply_add<T>(high, load(head.key + i + kLanes<T>), load(slot + i + kLanes<T>));
    }
    for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
      const int64_t at = j * kUsers<T> + lane;
      const Vec<T> key_norm = load(head.key_norm + lane);
      const Vec<T> near = (lane == 0 ? low : high) / (key_norm * load(norms + at) + eps);
      Vec<T> score = near;
      store(head.near + at, near);
      if (fixed.slots.data != nullptr) {
        const Vec<T> other = load(head.near_static + at) / (key_norm * broadcast(fixed.norms[j]) + eps);
        store(head.near_static + at, other);
        score = half * (near + other);
      }
      store(head.weights + at, load(head.beta + lane) * score);
    }
  }
  softmax(slots, head.weights);
}

// Scratch of the backward pass.
template <class T>
struct HeadBack {
  T *key = nullptr, *beta;      // [D] and []: gradients
  T *dot_static, *norm_static;  // [m]: gradients of key · static slot, and of |static slot|

  void take(Arena& arena, int64_t size, int64_t slots) {
    arena.take(key, size * kUsers<T>);
    arena.take(beta, kUsers<T>);
    arena.take(dot_static, slots * kUsers<T>);
    arena.take(norm_static, slots * kUsers<T>);
  }
};

// Computes the gradients of key and beta from grad_weights (which it overwrites), and adds to the gradient of the
// memory. The norm of a zero key or slot has derivative zero.
template <class T>
[[gnu::noinline]] void address_back(const T* memory, const T* norms, int64_t slots, int64_t size,
                                    const StaticSlots<T>& fixed, const Head<T>& head, T* grad_weights,
                                    const HeadBack<T>& grad, T* grad_memory) {
  const Vec<T> eps = broadcast(kCosineEps<T>), zero{};
  const bool has_static = fixed.slots.data != nullptr;
  softmax_back(slots, head.weights, grad_weights);
  for (int64_t i = 0; i < size * kUsers<T>; i += kLanes<T>) store(grad.key + i, zero);
  for (int64_t lane = 0; lane < kUsers<T>; lane += kLanes<T>) {
    const Vec<T> key_norm = load(head.key_norm + lane);
    const Vec<T> beta = load(head.beta + lane) * (has_static ? T{0.5} : T{1});
    Vec<T> grad_beta{}, grad_key_norm{};
    for (int64_t j = 0; j < slots; ++j) {
      const int64_t at = j * kUsers<T> + lane, slot = j * size * kUsers<T> + lane;
      const Vec<T> score = load(grad_weights + at), norm = load(norms + at), near = load(head.near + at);
      const Vec<T> grad_dot = score * beta / (key_norm * norm + eps);
      const Vec<T> grad_product = -near * grad_dot;  // gradient of |key| · |slot|
      grad_key_norm += grad_product * norm;
      const Vec<T> grad_slot = norm > zero ? grad_product * key_norm / norm : zero;
      for (int64_t i = 0; i < size * kUsers<T>; i += kUsers<T>) {
        const Vec<T> value = load(memory + slot + i);
        Vec<T> sum = multiply_add<T>(load(grad_memory + slot + i), grad_dot, load(head.key + i + lane));
        store(grad_memory + slot + i, multiply_add<T>(sum, grad_slot, value));
        store(grad.key + i + lane, multiply_add<T>(load(grad.key + i + lane), grad_dot, value));
      }
      if (has_static) {
        const Vec<T> fixed_norm = broadcast(fixed.norms[j]), other = load(head.near_static + at);
        const Vec<T> dot = score * beta / (key_norm * fixed_norm + eps), product = -other * dot;
        grad_key_norm += product * fixed_norm;
        store(grad.dot_static + at, dot);
        store(grad.norm_static + at, product * key_norm);
        grad_beta += score * (near + other) * T{0.5};
      } else {
        grad_beta += score * near;
      }
    }
    store(grad.beta + lane, grad_beta);
    const Vec<T> along = key_norm > zero ? grad_key_norm / key_norm : zero;
    for (int64_t i = 0; i < size * kUsers<T>; i += kUsers<T>)
      store(grad.key + i + lane, multiply_add<T>(load(grad.key + i + lane), along, load(head.key + i + lane)));
  }
  if (has_static) multiply_into(fixed.back, grad.dot_static, grad.key);
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
