// Forward scan of a block.
#pragma once

#include "recurrent/step-inl.h"
#include "simd/stored-inl.h"

namespace recops::recurrent::RECOPS_ISA {
namespace {

template <class S>
struct ForwardScan {
  using T = Compute<S>;

  const Scan& scan;
  Arena arena;
  int64_t stride;
  Stepper<S> stepper;
  T* state;  // [kBlockRows] rows of `stride`

  ForwardScan(const Scan& scan, void* scratch)
      : scan(scan),
        arena(scratch),
        stride(padded<T>(scan.hidden)),
        stepper(scan, arena),
        state(arena.take<T>(kBlockRows * stride)) {}

  void run(const Weights<T>& weights, const Block& block, const Forward& to) {
    const int64_t hidden = scan.hidden, steps = scan.steps;
    const T* h0 = static_cast<const T*>(scan.h0);
    std::fill_n(state, kBlockRows * stride, T{0});
    for (int64_t i = 0; h0 != nullptr && i < block.count; ++i)
      std::copy_n(h0 + block.rows[i] * hidden, hidden, state + i * stride);

    S* outputs = static_cast<S*>(to.outputs);
    T* kept = static_cast<T*>(to.kept);
    int64_t count = block.count;
    for (int64_t t = 0; t < steps; ++t) {
      count = count_active(block, t, count);
      if (count == 0) break;
      const auto cell = [&](int64_t i) { return block.rows[i] * steps + t; };
      stepper.step(
          weights, block, t, count, state, state,
          [&](int64_t i) {
            return to.keep == Keep::gates ? kept + kept_at(scan, block, t, i, num_gates(scan) * hidden) : nullptr;
          },
          [&](int64_t i) { return outputs + cell(i) * hidden; });
      for (int64_t i = 0; to.keep == Keep::states && i < count; ++i)
        copy_row(state + i * stride, hidden, kept + kept_at(scan, block, t, i, hidden));
    }
    for (int64_t i = 0; i < block.count; ++i) {
      const int64_t row = block.rows[i], rest = steps - block.lengths[i];
      std::copy_n(state + i * stride, hidden, static_cast<T*>(to.h_last) + row * hidden);
      std::fill_n(outputs + (row * steps + block.lengths[i]) * hidden, rest * hidden, S{});
    }
  }
};

}  // namespace
}  // namespace recops::recurrent::RECOPS_ISA
