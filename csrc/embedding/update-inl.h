// Updates of table rows from sorted gradients. See kernel.h for what they compute.
#pragma once

#include <algorithm>
#include <type_traits>

#include "embedding/kernel.h"
#include "embedding/parts-inl.h"

namespace recops::embedding::RECOPS_ISA {
namespace {

// The rule in the compute type of a table.
template <class T>
struct Rule {
  explicit Rule(const UpdateRule& rule)
      : optimizer(rule.optimizer),
        lr(static_cast<T>(rule.lr)),
        eps(static_cast<T>(rule.eps)),
        weight_decay(static_cast<T>(rule.weight_decay)) {}

  Optimizer optimizer;
  T lr, eps, weight_decay;
};

inline float square_root(float v) { return __builtin_sqrtf(v); }
inline double square_root(double v) { return __builtin_sqrt(v); }

// By reference: vectors wider than those of the instruction set are no parameters.
template <class V>
void take_square_root(V& v) {
  for (size_t i = 0; i < sizeof(V) / sizeof(v[0]); ++i) v[i] = square_root(v[i]);
}

// sums = Σ of the gradients at positions begin to end - 1, in order.
template <class S, int N, int L>
void sum_gradients(Part<S, N, L> part, const SortedGradients& gradients, int64_t before, int64_t begin, int64_t end,
                   Compute<S>* sums) {
  const S* values = static_cast<const S*>(gradients.values) + before;
  typename Part<S, N, L>::V sum[N] = {}, value[N];
  for (int64_t i = begin; i < end; ++i) {
    part.load(values + gradients.offsets[gradients.order[i]], value);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) sum[v] += value[v];
  }
  Part<Compute<S>, N, L>{part.width}.store(sums, sum);
}

template <class S, int N, int L>
void add_decay(Part<S, N, L> part, Compute<S> decay, const S* row, Compute<S>* sums) {
  const Part<Compute<S>, N, L> of_sums{part.width};
  typename Part<S, N, L>::V sum[N], weight[N];
  of_sums.load(sums, sum);
  part.load(row, weight);
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) sum[v] += decay * weight[v];
  of_sums.store(sums, sum);
}

// The mean square has kSquares partial sums, so its bits are those of every instruction set.
template <class T>
T mean_square(const T* values, int64_t width) {
  constexpr int kSquares = 16;
  T partial[kSquares] = {}, total = 0;
  int64_t i = 0;
  for (; i + kSquares <= width; i += kSquares)
    for (int k = 0; k < kSquares; ++k) partial[k] += values[i + k] * values[i + k];
  for (int k = 0; i + k < width; ++k) partial[k] += values[i + k] * values[i + k];
  for (const T each : partial) total += each;
  return total / static_cast<T>(width);
}

// Subtracts factor · sums.
template <class S, int N, int L>
void subtract(Part<S, N, L> part, Compute<S> factor, const Compute<S>* sums, S* row) {
  typename Part<S, N, L>::V sum[N], weight[N];
  Part<Compute<S>, N, L>{part.width}.load(sums, sum);
  part.load(row, weight);
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) weight[v] -= factor * sum[v];
  part.store(row, weight);
}

template <class S, int N, int L>
void update_adagrad(Part<S, N, L> part, const Rule<Compute<S>>& rule, const Compute<S>* sums, S* row,
                    Compute<S>* state) {
  const Part<Compute<S>, N, L> of_sums{part.width};
  typename Part<S, N, L>::V sum[N], square[N], weight[N];
  of_sums.load(sums, sum);
  of_sums.load(state, square);
  part.load(row, weight);
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) {
    square[v] += sum[v] * sum[v];
    auto root = square[v];
    take_square_root(root);
    weight[v] -= rule.lr * sum[v] / (root + rule.eps);
  }
  of_sums.store(state, square);
  part.store(row, weight);
}

template <class S>
void update_row(const SortedGradients& gradients, const Rule<Compute<S>>& rule, int64_t begin, int64_t end,
                Compute<S>* sums, S* table, Compute<S>* state) {
  const int64_t width = gradients.width, row = gradients.rows[begin];
  S* weights = table + row * width;
  for_parts<S>(width, [&](int64_t before, auto part) {
    sum_gradients(part, gradients, before, begin, end, sums + before);
    if (rule.weight_decay != 0) add_decay(part, rule.weight_decay, weights + before, sums + before);
  });
  Compute<S> factor = rule.lr;
  if (rule.optimizer == Optimizer::adagrad)
    return for_parts<S>(width, [&](int64_t before, auto part) {
      update_adagrad(part, rule, sums + before, weights + before, state + row * width + before);
    });
  if (rule.optimizer == Optimizer::rowwise_adagrad) {
    state[row] += mean_square(sums, width);
    factor /= square_root(state[row]) + rule.eps;
  }
  for_parts<S>(width, [&](int64_t before, auto part) { subtract(part, factor, sums + before, weights + before); });
}

void update_rows(const SortedGradients& gradients, const UpdateRule& with, int64_t begin, int64_t end, void* sums,
                 void* table, void* state) {
  const int64_t* rows = gradients.rows;
  // A run of equal rows belongs to the range in which it begins.
  while (begin > 0 && begin < end && rows[begin] == rows[begin - 1]) ++begin;
  with_stored_type(gradients.dtype, [&]<class S>(S) {
    using T = Compute<S>;
    const Rule<T> rule(with);
    for (int64_t last = begin; begin < end; begin = last) {
      while (last < gradients.count && rows[last] == rows[begin]) ++last;
      update_row(gradients, rule, begin, last, static_cast<T*>(sums), static_cast<S*>(table), static_cast<T*>(state));
    }
  });
}

}  // namespace
}  // namespace recops::embedding::RECOPS_ISA
