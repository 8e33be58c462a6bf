// Scores, loss and gradient of a few cells at once, while their values are in cache. The loss is a scalar, so its
// gradient can be computed right away, and hidden units need not be stored for a backward pass.
#pragma once

#include <cmath>

#include "next_event/net-inl.h"
#include "simd/lanes-inl.h"
#include "simd/sigmoid-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::next_event::RECOPS_ISA {
namespace {

template <class T>
[[gnu::noinline]] void to_sigmoids(T* values, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes<T>) store(values + i, sigmoid<T>(load(values + i)));
}

// Multiplies gradients by the derivative u(1 − u) of a layer's σ, and sums them over rows for the bias.
template <class T>
[[gnu::noinline]] void sigmoids_backward(const T* units, int64_t rows, int64_t stride, T* grad_units, T* bias) {
  const Vec<T> one = broadcast(T{1});
  for (int64_t c = 0; c < stride; c += kLanes<T>) {
    Vec<T> sum = load(bias + c);
    for (int64_t at = c; at < rows * stride; at += stride) {
      const Vec<T> u = load(units + at), of = load(grad_units + at) * (u * (one - u));
      store(grad_units + at, of);
      sum += of;
    }
    store(bias + c, sum);
  }
}

// Gradients of the last layer's units from those of the scores, and the sum for the score weights.
template <class T>
[[gnu::noinline]] void score_backward(const T* grad_scores, const T* score, const T* units, int64_t rows,
                                      int64_t stride, T* grad_units, T* grad_weights) {
  for (int64_t c = 0; c < stride; c += kLanes<T>) {
    const Vec<T> weight = load(score + c);
    Vec<T> sum = load(grad_weights + c);
    for (int64_t r = 0; r < rows; ++r) {
      const Vec<T> of = broadcast(grad_scores[r]);
      store(grad_units + r * stride + c, of * weight);
      sum = multiply_add<T>(sum, of, load(units + r * stride + c));
    }
    store(grad_weights + c, sum);
  }
}

template <class T>
inline T dot(const T* a, const T* b, int64_t padded_count) {
  Vec<T> sum{};
  for (int64_t c = 0; c < padded_count; c += kLanes<T>) sum = multiply_add<T>(sum, load(a + c), load(b + c));
  return reduce_add<T>(sum);
}

template <class S>
struct Pass {
  using T = Compute<S>;

  // With both terms of this many cells, a hidden layer of width 100 uses 28 KB.
  static constexpr int64_t kCells = 32;

  const Problem& problem;
  Arena arena;
  int64_t stride;     // distance between rows of states or events
  T *states, *pairs;  // [kCells] states, and [2 · kCells] events: first the following events, then the drawn ones
  T* units[kMostHidden];
  T *grad_units, *grad_below;  // gradients of a layer's units, and of the units of the layer below
  T *grad_first, *grad_rows;   // gradients of W_h h + b_1, and of states or events

  Pass(const Problem& problem, void* scratch) : problem(problem), arena(scratch), stride(padded<T>(problem.width)) {
    states = arena.take<T>(kCells * stride);
    pairs = arena.take<T>(2 * kCells * stride);
    int64_t widest = 0;
    for (int64_t l = 0; l < problem.num_hidden; ++l) {
      units[l] = arena.take<T>(2 * kCells * row_of(l));
      widest = std::max(widest, row_of(l));
    }
    grad_units = arena.take<T>(2 * kCells * widest);
    grad_below = arena.take<T>(2 * kCells * widest);
    grad_first = arena.take<T>(kCells * row_of(0));
    grad_rows = arena.take<T>(2 * kCells * stride);
  }

  int64_t row_of(int64_t l) const { return padded<T>(problem.hidden[l]); }

  double run(const Net<T>& net, int64_t begin, int64_t end, const Gradients* to, void* sums) {
    double loss = 0;
    for (int64_t at = begin; at < end; at += kCells) {
      const int64_t count = std::min(kCells, end - at);
      T grad_scores[2 * kCells];
      read(at, count);
      loss += score(net, count, grad_scores);
      if (to == nullptr) continue;
      const Sums<T> totals(problem, sums);
      differentiate(net, count, grad_scores, totals);
      write(net, at, count, *to, totals);
    }
    return loss;
  }

 private:
  void read(int64_t at, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t place = problem.cells[at + i];
      read_row(problem.states, place, states + i * stride);
      read_row(problem.events, place + 1, pairs + i * stride);
      read_row(problem.events, problem.drawn[at + i], pairs + (count + i) * stride);
    }
  }

  void read_row(const void* rows, int64_t place, T* to) const {
    const S* from = static_cast<const S*>(rows) + place * problem.width;
    for (int64_t k = 0; k < problem.width; k += kLanes<T>) store(to + k, load_as_compute(from + k, problem.width - k));
  }

  // Returns the loss, and writes its derivative with respect to each score.
  double score(const Net<T>& net, int64_t count, T* grad_scores) {
    const int64_t rows = 2 * count, first = row_of(0), last = problem.num_hidden - 1;
    multiply(states, stride, count, net.state.forward, units[0], first);
    std::copy_n(units[0], count * first, units[0] + count * first);
    multiply<Into::add>(pairs, stride, rows, net.layers[0].forward, units[0], first);
    to_sigmoids(units[0], rows * first);
    for (int64_t l = 1; l <= last; ++l) {
      multiply(units[l - 1], row_of(l - 1), rows, net.layers[l].forward, units[l], row_of(l));
      to_sigmoids(units[l], rows * row_of(l));
    }
    const T bias = *static_cast<const T*>(problem.biases[problem.num_hidden]);
    double loss = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const T sign = i < count ? T{-1} : T{1};
      const T x = sign * (dot(units[last] + i * row_of(last), net.score, row_of(last)) + bias);
      const T decay = std::exp(-std::abs(x));
      const bool counts = i < count || differ(i - count, i);
      if (counts) loss += std::max(x, T{0}) + std::log1p(decay);
      grad_scores[i] = counts ? sign * (x > 0 ? T{1} : decay) / (1 + decay) : T{0};
    }
    return loss;
  }

  bool differ(int64_t one, int64_t other) const {
    bool found = false;
    for (int64_t k = 0; k < problem.width; ++k) found |= pairs[one * stride + k] != pairs[other * stride + k];
    return found;
  }

  // Backpropagates to the first layer's sums, in grad_units; grad_first adds both terms of a cell.
  void differentiate(const Net<T>& net, int64_t count, const T* grad_scores, const Sums<T>& totals) {
    const int64_t rows = 2 * count, last = problem.num_hidden - 1, first = row_of(0);
    score_backward(grad_scores, net.score, units[last], rows, row_of(last), grad_units, totals.score);
    for (int64_t i = 0; i < rows; ++i) *totals.score_bias += grad_scores[i];
    for (int64_t l = last;; --l) {
      sigmoids_backward(units[l], rows, row_of(l), grad_units, totals.biases[l]);
      if (l == 0) break;
      add_outer_products<T>({units[l - 1], row_of(l - 1), problem.hidden[l - 1]},
                            {grad_units, row_of(l), problem.hidden[l]}, rows, totals.weights[l]);
      multiply(grad_units, row_of(l), rows, net.layers[l].backward, grad_below, row_of(l - 1));
      std::swap(grad_units, grad_below);
    }
    for (int64_t i = 0; i < count * first; i += kLanes<T>)
      store(grad_first + i, load(grad_units + i) + load(grad_units + count * first + i));
  }

  void write(const Net<T>& net, int64_t at, int64_t count, const Gradients& to, const Sums<T>& totals) {
    const int64_t first = row_of(0), hidden = problem.hidden[0];
    add_outer_products<T>({states, stride, problem.width}, {grad_first, first, hidden}, count, totals.state);
    add_outer_products<T>({pairs, stride, problem.width}, {grad_units, first, hidden}, 2 * count, totals.weights[0]);
    multiply(grad_first, first, count, net.state.backward, grad_rows, stride);
    for (int64_t i = 0; i < count; ++i) write_row(i, to.states, problem.cells[at + i]);
    multiply(grad_units, first, 2 * count, net.layers[0].backward, grad_rows, stride);
    for (int64_t i = 0; i < count; ++i) {
      write_row(i, to.events, problem.cells[at + i] + 1);
      write_row(count + i, to.drawn, at + i);
    }
  }

  void write_row(int64_t row, void* rows, int64_t place) const {
    T* to = static_cast<T*>(rows) + place * problem.width;
    for (int64_t k = 0; k < problem.width; k += kLanes<T>)
      store_as(to + k, load(grad_rows + row * stride + k), problem.width - k);
  }
};

}  // namespace
}  // namespace recops::next_event::RECOPS_ISA
