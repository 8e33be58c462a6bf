// One step of a block of rows, shared by forward and backward: packed weights, the input's gates, and the step itself.
#pragma once

#include "common/arena.h"
#include "recurrent/gates-inl.h"
#include "recurrent/kernel.h"
#include "simd/products-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::recurrent::RECOPS_ISA {
namespace {

using namespace ::recops::RECOPS_ISA;

// Weights in panels (simd/products-inl.h), one matrix per product of a pass. With hidden size H and `w` columns per
// panel, for example hidden [H, 3 H]:
//
//              columns of r (H)   columns of z (H)   columns of n (H)
//   bias       b_r                b_z                b_n
//   row 0      weights of h[0]    …                  …
//   …
//   row H−1    weights of h[H−1]  …                  …
//              └─ panel 0: w ─┘└─ panel 1: w ─┘ …    (each panel contiguous: bias row, then H rows)
template <class T>
struct Weights {
  Panels<T> input;      // x to the gates r, z, n
  Panels<T> hidden;     // h to r, z, n; with reset_before only to r and z
  Panels<T> candidate;  // with reset_before: r·h to n
  // Transposed matrices for the backward pass, whose inputs are the gradients of the sums inside the gates.
  Panels<T> hidden_backward, candidate_backward, input_backward;

  Weights(const Scan& scan, bool backward, Arena& arena) {
    const int64_t h = scan.hidden;
    const auto panels = [&](int64_t depth, int64_t width) {
      return Panels<T>{arena.take<T>(Panels<T>::size(depth, width)), depth, width};
    };
    if (scan.projected) input = panels(scan.inputs, 3 * h);
    hidden = panels(h, scan.reset_before ? 2 * h : 3 * h);
    if (scan.reset_before) candidate = panels(h, h);
    if (!backward) return;
    hidden_backward = panels(hidden.width, h);
    if (scan.reset_before) candidate_backward = panels(h, h);
    if (scan.projected) input_backward = panels(3 * h, scan.inputs);
  }
};

// Fills the panels. Their memory must belong to the caller.
template <class T>
void pack_weights(const Scan& scan, const Weights<T>& weights) {
  const int64_t h = scan.hidden, inputs = scan.inputs;
  const T* w_ih = static_cast<const T*>(scan.w_ih);
  const T* w_hh = static_cast<const T*>(scan.w_hh);
  const auto fill = [](const Panels<T>& to, const auto& value, const T* bias) {
    if (to.data == nullptr) return;
    pack_panels<T>(to.depth, to.width, const_cast<T*>(to.data), value,
                   [=](int64_t c) { return bias == nullptr ? T{0} : bias[c]; });
  };
  const T* b_hh = static_cast<const T*>(scan.b_hh);
  fill(weights.input, [=](int64_t k, int64_t c) { return w_ih[c * inputs + k]; }, static_cast<const T*>(scan.b_ih));
  fill(weights.hidden, [=](int64_t k, int64_t c) { return w_hh[c * h + k]; }, b_hh);
  fill(
      weights.candidate, [=](int64_t k, int64_t c) { return w_hh[(2 * h + c) * h + k]; },
      b_hh == nullptr ? nullptr : b_hh + 2 * h);
  fill(weights.hidden_backward, [=](int64_t k, int64_t c) { return w_hh[k * h + c]; }, nullptr);
  fill(weights.candidate_backward, [=](int64_t k, int64_t c) { return w_hh[(2 * h + k) * h + c]; }, nullptr);
  // Rows in the order of the gradient sums: n, r, z.
  fill(
      weights.input_backward, [=](int64_t k, int64_t c) { return w_ih[((k + 2 * h) % (3 * h)) * inputs + c]; },
      nullptr);
}

inline int64_t num_gates(const Scan& scan) { return scan.reset_before ? 3 : 4; }

// Offset of the kept values of a row of the block at step t; `values` are kept per row and step.
inline int64_t kept_at(const Scan& scan, const Block& block, int64_t t, int64_t row, int64_t values) {
  return (block.first * scan.steps + t * block.count + row) * values;
}

// Number of rows of the block that have a step t; these are the first rows.
inline int64_t count_active(const Block& block, int64_t t, int64_t count) {
  while (count > 0 && block.lengths[count - 1] <= t) --count;
  return count;
}

template <class S>
void widen_row(const S* from, int64_t count, Compute<S>* to) {
  for (int64_t i = 0; i < count; i += kLanes<Compute<S>>) store(to + i, load_as_compute(from + i, count - i));
}

template <class T>
void copy_row(const T* from, int64_t count, T* to) {
  for (int64_t i = 0; i < count; i += kLanes<T>) store_as(to + i, load_as_compute(from + i, count - i), count - i);
}

// Prefetches a row for a later step. Rows are far apart, so hardware prefetchers follow too few of them.
template <class S>
void prefetch_row(const S* row, int64_t count) {
  for (int64_t i = 0; i < count; i += kCacheLine / int64_t{sizeof(S)}) __builtin_prefetch(row + i);
}

// Steps of one block of rows, with separate scratch.
template <class S>
class Stepper {
 public:
  using T = Compute<S>;

  static constexpr int64_t kAhead = 2;  // number of steps by which rows are prefetched

  Stepper(const Scan& scan, Arena& arena)
      : scan_(scan), mix_(scan.mix), hidden_stride_(padded<T>(scan.hidden)), gates_stride_(padded<T>(3 * scan.hidden)) {
    x_ = arena.take<T>(scan.projected ? kBlockRows * x_stride() : 0);
    gates_ = arena.take<T>(kBlockRows * gates_stride_);
    products_ = arena.take<T>(kBlockRows * gates_stride_);
    if (scan.reset_before) {
      reset_ = arena.take<T>(kBlockRows * hidden_stride_);
      candidate_ = arena.take<T>(kBlockRows * hidden_stride_);
    }
  }

  int64_t x_stride() const { return padded<T>(scan_.inputs); }

  // Input of a row of the block at step t.
  const S* input(const Block& block, int64_t row, int64_t t) const {
    const int64_t width = scan_.projected ? scan_.inputs : 3 * scan_.hidden;
    return static_cast<const S*>(scan_.input) + (block.sources[row] * scan_.steps + t) * width;
  }

  const MixOf<T>& coefficients() const { return mix_; }

  RowMix<T> mix(const Block& block, int64_t row, int64_t t) const {
    const T* attention = static_cast<const T*>(scan_.attention);
    return mix_.at(attention == nullptr ? T{1} : attention[block.rows[row] * scan_.steps + t]);
  }

  // Advances the first `count` rows from `state` to `next`, which may be the same memory. kept(row) is the destination
  // of the row's gates (null for all rows or none), outputs(row) that of its state, or null.
  template <class Kept, class Outputs>
  void step(const Weights<T>& weights, const Block& block, int64_t t, int64_t count, const T* state, T* next,
            const Kept& kept, const Outputs& outputs) {
    StepRows<S> rows;
    rows.count = count;
    rows.hidden = scan_.hidden;
    rows.products = products_;
    rows.products_stride = gates_stride_;
    rows.state = state;
    rows.next = next;
    rows.reset = reset_;
    rows.candidate = candidate_;
    rows.stride = hidden_stride_;
    find_gates(weights, block, t, count, rows.gates);
    for (int64_t i = 0; i < count; ++i) {
      rows.mix[i] = mix(block, i, t);
      rows.kept[i] = kept(i);
      rows.outputs[i] = outputs(i);
    }
    multiply(state, hidden_stride_, count, weights.hidden, products_, gates_stride_);
    if (count > 0 && rows.kept[0] != nullptr)
      finish<true>(weights, rows);
    else
      finish<false>(weights, rows);
  }

 private:
  template <bool keep>
  void finish(const Weights<T>& weights, const StepRows<S>& rows) {
    if (!scan_.reset_before) return step_rows<false, keep>(rows);
    reset_rows<keep>(rows);
    multiply(reset_, hidden_stride_, rows.count, weights.candidate, candidate_, hidden_stride_);
    step_rows<true, keep>(rows);
  }

  // Finds each row's gates: in the input itself, converted to the compute type, or projected from the input.
  void find_gates(const Weights<T>& weights, const Block& block, int64_t t, int64_t count,
                  const T* (&gates)[kBlockRows]) {
    for (int64_t i = 0; i < count; ++i) {
      if (t + kAhead < scan_.steps)
        prefetch_row(input(block, i, t + kAhead), scan_.projected ? scan_.inputs : 3 * scan_.hidden);
      gates[i] = gates_ + i * gates_stride_;
      if (scan_.projected)
        widen_row(input(block, i, t), scan_.inputs, x_ + i * x_stride());
      else if constexpr (std::is_same_v<S, T>)
        gates[i] = input(block, i, t);
      else
        widen_row(input(block, i, t), 3 * scan_.hidden, gates_ + i * gates_stride_);
    }
    if (scan_.projected) multiply(x_, x_stride(), count, weights.input, gates_, gates_stride_);
  }

  const Scan& scan_;
  MixOf<T> mix_;
  int64_t hidden_stride_, gates_stride_;
  T *x_, *gates_, *products_, *reset_ = nullptr, *candidate_ = nullptr;
};

}  // namespace
}  // namespace recops::recurrent::RECOPS_ISA
