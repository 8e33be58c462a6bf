// Backward scan of a block, from its last step to its first, and sums of its parameter gradients.
#pragma once

#include "recurrent/step-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::recurrent::RECOPS_ISA {
namespace {

// Sums of a group: transposed weight gradients in rows of padded width, and bias gradients.
template <class T>
struct Sums {
  T* input;      // [inputs, 3·hidden] in the order n, r, z
  T* hidden;     // [hidden, 3·hidden] in the order r, z, n; with reset_before only r and z
  T* candidate;  // [hidden, hidden], only with reset_before
  T* bias;       // [gates · hidden], in the order of the gradient sums: n, r, z, q
  int64_t values;

  Sums(const Scan& scan, void* memory) {
    Arena arena(memory);
    const int64_t h = scan.hidden;
    input = arena.take<T>(scan.projected ? scan.inputs * padded<T>(3 * h) : 0);
    hidden = arena.take<T>(h * padded<T>(scan.reset_before ? 2 * h : 3 * h));
    candidate = arena.take<T>(scan.reset_before ? h * padded<T>(h) : 0);
    bias = arena.take<T>(padded<T>(num_gates(scan) * h));
    values = arena.used() / int64_t{sizeof(T)};
  }
};

template <class S>
struct BackwardScan {
  using T = Compute<S>;

  // Cells per call of add_outer_products, whose sums stay in registers meanwhile.
  static constexpr int64_t kSamples = 4 * kBlockRows;

  const Scan& scan;
  Arena arena;
  int64_t stride, sums_stride;
  Stepper<S> stepper;
  T* grad;    // [kBlockRows] rows of `stride`
  T* kept;    // [kBlockRows, gates · hidden], for recomputed gates
  T* unused;  // [kBlockRows] rows of `stride`
  T* reset_grad;
  T* grad_x;  // one row
  // Inputs of the outer products, [kSamples] rows each.
  T *sums, *x, *state, *reset_state;
  int64_t samples = 0;

  BackwardScan(const Scan& scan, void* scratch)
      : scan(scan),
        arena(scratch),
        stride(padded<T>(scan.hidden)),
        sums_stride(padded<T>(num_gates(scan) * scan.hidden)),
        stepper(scan, arena),
        grad(arena.take<T>(kBlockRows * stride)),
        kept(arena.take<T>(kBlockRows * num_gates(scan) * scan.hidden)),
        unused(arena.take<T>(kBlockRows * stride)),
        reset_grad(arena.take<T>(scan.reset_before ? kBlockRows * stride : 0)),
        grad_x(arena.take<T>(kBlockRows * stepper.x_stride())),
        sums(arena.take<T>(kSamples * sums_stride)),
        x(arena.take<T>(kSamples * stepper.x_stride())),
        state(arena.take<T>(kSamples * stride)),
        reset_state(arena.take<T>(scan.reset_before ? kSamples * stride : 0)) {}

  void run(const Weights<T>& weights, const Block& block, const Backward& from, const Sums<T>& totals) {
    const int64_t hidden = scan.hidden;
    const T* grad_h_last = static_cast<const T*>(from.grad_h_last);
    std::fill_n(grad, kBlockRows * stride, T{0});
    for (int64_t i = 0; grad_h_last != nullptr && i < block.count; ++i)
      std::copy_n(grad_h_last + block.rows[i] * hidden, hidden, grad + i * stride);
    int64_t count = 0;
    for (int64_t t = block.count == 0 ? 0 : block.lengths[0]; t-- > 0;) {
      while (count < block.count && block.lengths[count] > t) ++count;
      if (samples + count > kSamples) add_samples(totals);
      step(weights, block, from, t, count);
      samples += count;
    }
    add_samples(totals);
    for (int64_t i = 0; i < block.count; ++i)
      std::copy_n(grad + i * stride, hidden, static_cast<T*>(from.grad_h0) + block.rows[i] * hidden);
    zero_rest(block, from);
  }

 private:
  // Runs step t backward; its samples start at index `samples`.
  void step(const Weights<T>& weights, const Block& block, const Backward& from, int64_t t, int64_t count) {
    const int64_t hidden = scan.hidden, steps = scan.steps, kept_size = num_gates(scan) * hidden;
    T* const states = state + samples * stride;
    T* const step_sums = sums + samples * sums_stride;
    const auto cell = [&](int64_t i) { return block.rows[i] * steps + t; };
    for (int64_t i = 0; t > Stepper<S>::kAhead && i < count; ++i) prefetch(block, from, i, t - Stepper<S>::kAhead);
    for (int64_t i = 0; i < count; ++i) load_state(block, from, i, t, states + i * stride);
    if (from.keep != Keep::gates)
      stepper.step(
          weights, block, t, count, states, unused, [&](int64_t i) { return kept + i * kept_size; },
          [](int64_t) -> S* { return nullptr; });

    BackwardRows<T> rows{count, hidden,     stepper.coefficients(),         {},     {},        {},         states,
                         grad,  reset_grad, reset_state + samples * stride, stride, step_sums, sums_stride};
    for (int64_t i = 0; i < count; ++i) {
      rows.mix[i] = stepper.mix(block, i, t);
      rows.kept[i] = from.keep == Keep::gates ? static_cast<const T*>(from.kept) + kept_at(scan, block, t, i, kept_size)
                                              : kept + i * kept_size;
      rows.grad_attention[i] =
          from.grad_attention == nullptr ? nullptr : static_cast<T*>(from.grad_attention) + cell(i);
      if (from.grad_outputs != nullptr)
        add_row(static_cast<const S*>(from.grad_outputs) + cell(i) * hidden, grad + i * stride);
    }
    if (scan.reset_before) {
      step_backward<true>(rows);
      multiply(step_sums, sums_stride, count, weights.candidate_backward, reset_grad, stride);
      reset_backward(rows);
    } else {
      step_backward<false>(rows);
    }
    multiply<Into::add>(step_sums + hidden, sums_stride, count, weights.hidden_backward, grad, stride);
    write_input_gradients(weights, block, from, t, count, step_sums);
  }

  // State before step t.
  const T* state_before(const Block& block, const Backward& from, int64_t i, int64_t t) const {
    const int64_t row = block.rows[i], hidden = scan.hidden;
    if (t == 0) return scan.h0 == nullptr ? nullptr : static_cast<const T*>(scan.h0) + row * hidden;
    if (from.keep == Keep::states) return static_cast<const T*>(from.kept) + kept_at(scan, block, t - 1, i, hidden);
    return static_cast<const T*>(from.outputs) + (row * scan.steps + t - 1) * hidden;
  }

  void load_state(const Block& block, const Backward& from, int64_t i, int64_t t, T* to) const {
    const T* before = state_before(block, from, i, t);
    if (before == nullptr)
      std::fill_n(to, scan.hidden, T{0});
    else
      copy_row(before, scan.hidden, to);
  }

  // Prefetches the inputs of step t of a row.
  void prefetch(const Block& block, const Backward& from, int64_t i, int64_t t) const {
    const int64_t cell = block.rows[i] * scan.steps + t;
    if (from.keep != Keep::states) prefetch_row(state_before(block, from, i, t), scan.hidden);
    if (from.grad_outputs != nullptr)
      prefetch_row(static_cast<const S*>(from.grad_outputs) + cell * scan.hidden, scan.hidden);
    if (scan.projected) prefetch_row(stepper.input(block, i, t), scan.inputs);
  }

  void add_row(const S* from, T* to) const {
    for (int64_t j = 0; j < scan.hidden; j += kLanes<T>)
      store(to + j, load(to + j) + load_as_compute(from + j, scan.hidden - j));
  }

  void write_input_gradients(const Weights<T>& weights, const Block& block, const Backward& from, int64_t t,
                             int64_t count, const T* step_sums) {
    const int64_t hidden = scan.hidden;
    const int64_t width = scan.projected ? scan.inputs : 3 * hidden;
    const auto to = [&](int64_t i) {
      return static_cast<T*>(from.grad_input) + (block.sources[i] * scan.steps + t) * width;
    };
    if (scan.projected) {
      for (int64_t i = 0; i < count; ++i)
        widen_row(stepper.input(block, i, t), width, x + (samples + i) * stepper.x_stride());
      multiply(step_sums, sums_stride, count, weights.input_backward, grad_x, stepper.x_stride());
      for (int64_t i = 0; i < count; ++i) copy_row(grad_x + i * stepper.x_stride(), width, to(i));
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      const T* n = step_sums + i * sums_stride;
      put_gradients(n + hidden, 2 * hidden, from.shared, to(i));
      put_gradients(n, hidden, from.shared, to(i) + 2 * hidden);
    }
  }

  static void put_gradients(const T* values, int64_t count, bool add, T* to) {
    if (!add) return copy_row(values, count, to);
    for (int64_t j = 0; j < count; ++j) to[j] += values[j];
  }

  void add_samples(const Sums<T>& totals) {
    const int64_t hidden = scan.hidden;
    const auto columns = [&](int64_t first, int64_t values) { return Samples<T>{sums + first, sums_stride, values}; };
    const Samples<T> states{state, stride, hidden};
    if (scan.projected)
      add_outer_products({x, stepper.x_stride(), scan.inputs}, columns(0, 3 * hidden), samples, totals.input);
    add_outer_products(states, columns(hidden, (scan.reset_before ? 2 : 3) * hidden), samples, totals.hidden);
    if (scan.reset_before)
      add_outer_products({reset_state, stride, hidden}, columns(0, hidden), samples, totals.candidate);
    for (int64_t c = 0; c < sums_stride; c += kLanes<T>) {
      Vec<T> sum = load(totals.bias + c);
      for (int64_t s = 0; s < samples; ++s) sum += load(sums + s * sums_stride + c);
      store(totals.bias + c, sum);
    }
    samples = 0;
  }

  // Zeroes gradients past the lengths.
  void zero_rest(const Block& block, const Backward& from) const {
    const int64_t steps = scan.steps, width = scan.projected ? scan.inputs : 3 * scan.hidden;
    for (int64_t i = 0; i < block.count; ++i) {
      const int64_t length = block.lengths[i], rest = steps - length;
      if (from.grad_attention != nullptr)
        std::fill_n(static_cast<T*>(from.grad_attention) + block.rows[i] * steps + length, rest, T{0});
      if (!from.shared)
        std::fill_n(static_cast<T*>(from.grad_input) + (block.sources[i] * steps + length) * width, rest * width, T{0});
    }
  }
};

// Copies a transposed sum [depth, width] into rows row(c) of a gradient [·, depth].
template <class T, class Row>
void unpack_transposed(const T* sums, int64_t depth, int64_t width, T* gradient, const Row& row) {
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t c = 0; c < width; ++c) gradient[row(c) * depth + k] = sums[k * padded<T>(width) + c];
}

template <class T>
void unpack_sums(const Scan& scan, const Sums<T>& sums, const ParameterGradients& to) {
  const int64_t h = scan.hidden;
  // Columns are in the order n, r, z.
  const auto turned = [h](int64_t c) { return c < h ? 2 * h + c : c - h; };
  T* w_hh = static_cast<T*>(to.w_hh);
  unpack_transposed(sums.hidden, h, scan.reset_before ? 2 * h : 3 * h, w_hh, [](int64_t c) { return c; });
  if (scan.reset_before) unpack_transposed(sums.candidate, h, h, w_hh, turned);
  T* b_hh = static_cast<T*>(to.b_hh);
  for (int64_t c = 0; c < 3 * h; ++c) b_hh[turned(c)] = sums.bias[c];
  if (!scan.reset_before) std::copy_n(sums.bias + 3 * h, h, b_hh + 2 * h);
  if (!scan.projected) return;
  unpack_transposed(sums.input, scan.inputs, 3 * h, static_cast<T*>(to.w_ih), turned);
  for (int64_t c = 0; c < 3 * h; ++c) static_cast<T*>(to.b_ih)[turned(c)] = sums.bias[c];
}

}  // namespace
}  // namespace recops::recurrent::RECOPS_ISA
