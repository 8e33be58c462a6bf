// GRU of memory networks: one step of a block, forward and backward.
//
//   r, z = σ(W x + U h + b),  n = tanh(W_n x + U_n (r·h) + b_n),  h' = z·h + (1−z)·n
#pragma once

#include "memory/product-inl.h"
#include "memory/sums-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

template <class T>
struct Gru {
  int64_t inputs, size;
  Matrix<T> input;             // [3·size, inputs]
  Matrix<T> gates, candidate;  // of the state: r and z [2·size, size], n [size, size]
  const T* bias;

  Gru(int64_t inputs, int64_t size, const void* w_ih, const void* w_hh, const void* bias)
      : inputs(inputs),
        size(size),
        input{static_cast<const T*>(w_ih), inputs, 3 * size, inputs},
        gates{static_cast<const T*>(w_hh), size, 2 * size, size},
        candidate{static_cast<const T*>(w_hh) + 2 * size * size, size, size, size},
        bias(static_cast<const T*>(bias)) {}
  Gru(const GruWeights& weights, int64_t inputs, int64_t size)
      : Gru(inputs, size, weights.w_ih, weights.w_hh, weights.bias) {}
};

// Results of a step: gates r, z, n, and r·h.
template <class T>
struct GruStep {
  T *gates = nullptr, *reset = nullptr;

  void take(Arena& arena, int64_t size) {
    arena.take(gates, 3 * size * kUsers<T>);
    arena.take(reset, size * kUsers<T>);
  }
};

// Advances h to `next`, which may be h. On entry step.gates holds W x + b.
template <class T>
[[gnu::noinline]] void advance(const Gru<T>& gru, const T* h, const GruStep<T>& step, T* next) {
  const int64_t z = gru.size * kUsers<T>, n = 2 * z;
  multiply_into(gru.gates, h, step.gates);
  for_vectors<T>(gru.size, [&](int64_t i) {
    const Vec<T> r = sigmoid<T>(load(step.gates + i));
    store(step.gates + i, r);
    store(step.gates + z + i, sigmoid<T>(load(step.gates + z + i)));
    store(step.reset + i, r * load(h + i));
  });
  multiply_into(gru.candidate, step.reset, step.gates + n);
  for_vectors<T>(gru.size, [&](int64_t i) {
    const Vec<T> candidate = tanh(load(step.gates + n + i));
    store(step.gates + n + i, candidate);
    store(next + i, multiply_add<T>(candidate, load(step.gates + z + i), load(h + i) - candidate));
  });
}

// Transposed weights for the backward pass.
template <class T>
struct GruBack {
  Matrix<T> input, gates, candidate;

  // Uses the first `inputs` columns of the input weights.
  void take(const Gru<T>& gru, int64_t inputs, Arena& arena, bool pack) {
    input = transposed(gru.input.columns_from(0, inputs), arena, pack);
    gates = transposed(gru.gates, arena, pack);
    candidate = transposed(gru.candidate, arena, pack);
  }
};

// Computes the gradients of W x + b (grad_gates) and of h (grad_h) from that of h' (grad_next). `grad_next` may be
// grad_h; `grad_reset` is scratch.
template <class T>
[[gnu::noinline]] void go_back(const Gru<T>& gru, const GruBack<T>& back, const T* h, const GruStep<T>& step,
                               const T* grad_next, T* grad_gates, T* grad_reset, T* grad_h) {
  const int64_t z_at = gru.size * kUsers<T>, n_at = 2 * z_at;
  const Vec<T> one = broadcast(T{1});
  for_vectors<T>(gru.size, [&](int64_t i) {
    const Vec<T> z = load(step.gates + z_at + i), n = load(step.gates + n_at + i), grad = load(grad_next + i);
    store(grad_gates + z_at + i, grad * (load(h + i) - n) * z * (one - z));
    store(grad_gates + n_at + i, grad * (one - z) * (one - n * n));
    store(grad_h + i, grad * z);
  });
  multiply<T>(back.candidate, grad_gates + n_at, nullptr, grad_reset);
  for_vectors<T>(gru.size, [&](int64_t i) {
    const Vec<T> r = load(step.gates + i), grad = load(grad_reset + i);
    store(grad_gates + i, grad * load(h + i) * r * (one - r));
    store(grad_h + i, load(grad_h + i) + grad * r);
  });
  multiply_into(back.gates, grad_gates, grad_h);
}

// Sums of the weight gradients.
template <class T>
struct GruSums {
  T* input;      // [3·size, inputs]; these three have rows of padded width
  T* gates;      // [2·size, size]
  T* candidate;  // [size, size]
  T* bias;       // [3·size] for each user

  void take(const Gru<T>& gru, Arena& arena) {
    arena.take(input, 3 * gru.size * padded<T>(gru.inputs));
    arena.take(gates, 2 * gru.size * padded<T>(gru.size));
    arena.take(candidate, gru.size * padded<T>(gru.size));
    arena.take(bias, 3 * gru.size * kUsers<T>);
  }

  // Adds the gradients of one step, except for the input weights. The returned samples of grad_gates serve for those.
  Samples<T> add(const Gru<T>& gru, const T* h, const GruStep<T>& step, const T* grad_gates, int64_t live,
                 SampleRows<T>& left, SampleRows<T>& right) const {
    const Samples<T> grads = left.of(grad_gates, 3 * gru.size, live);
    add_outer_products(part(grads, 0, 2 * gru.size), right.of(h, gru.size, live), live, gates);
    add_outer_products(part(grads, 2 * gru.size, gru.size), right.of(step.reset, gru.size, live), live, candidate);
    add_values(grad_gates, 3 * gru.size, bias);
    return grads;
  }

  void unpack(const Gru<T>& gru, void* w_ih, void* w_hh, void* bias_to) const {
    T* const state = static_cast<T*>(w_hh);
    unpad(input, 3 * gru.size, gru.inputs, gru.inputs, static_cast<T*>(w_ih));
    unpad(gates, 2 * gru.size, gru.size, gru.size, state);
    unpad(candidate, gru.size, gru.size, gru.size, state + 2 * gru.size * gru.size);
    sum_lanes(bias, 3 * gru.size, static_cast<T*>(bias_to));
  }
};

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
