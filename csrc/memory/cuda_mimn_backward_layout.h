// Positions of the values of MIMN's backward pass, in shared memory and in frames.
#pragma once

#include "common/device.h"
#include "memory/cuda_gradients.h"
#include "memory/cuda_mimn_layout.h"

namespace recops::memory::cuda {

// Shared memory has the values of MimnLayout, then those below. A frame has the first MimnLayout::frame values of a
// step, then those from `sample` to `sample_end`.
struct MimnBackwardLayout {
  MimnLayout forward;
  // Gradients of the state.
  int hidden, read, memory, usage, added, pooled, channels;
  // Other gradients of a step.
  int x;                            // [D]
  int reading, writing;             // [m]: of the read weights and of the write weights
  int dot, slot, key_along;         // [2, m], [2, m], [2]: of key · slot; factors of slots and keys by their norms
  int controller_h, unit_h;         // [H], [topk, D]: parts of the gradients of GRU states
  int sample;                       // operands of the gradients of weights:
  int keys;                         // [2, D]: copies of the read key and of the write key
  int controller_gates, head, out;  // [3 H], [heads], [H]
  int unit_gates;                   // [topk, 3 D]
  int share;                        // [m]
  int dot_static, norm_static;      // [2, m]: of key · static slot and of the norm of the static slot
  int sample_end, values;

  __host__ explicit MimnBackwardLayout(const MimnLayout& l) : forward(l) {
    int end = l.values;
    const auto take = [&](int count, int number = 1) {
      const int begin = end;
      end += number * padded(count);
      return begin;
    };
    hidden = take(l.h);
    read = take(l.d);
    memory = take(l.m * l.slot_stride);
    usage = take(l.m);
    added = take(l.d);
    pooled = take(l.d);
    channels = take(l.m * l.slot_stride);
    x = take(l.d);
    reading = take(l.m);
    writing = take(l.m);
    dot = take(l.m, 2);
    slot = take(l.m, 2);
    key_along = take(2);
    controller_h = take(l.h);
    unit_h = take(l.d, l.topk);
    sample = end;
    keys = take(l.d, 2);
    controller_gates = take(3 * l.h);
    head = take(l.heads);
    out = take(l.h);
    unit_gates = take(3 * l.d, l.topk);
    share = take(l.m);
    dot_static = take(l.m, 2);
    norm_static = take(l.m, 2);
    sample_end = values = end;
  }

  __host__ __device__ int frame() const { return forward.frame + sample_end - sample; }
  // Position in a frame of a value from `sample` on.
  __host__ __device__ int in_frame(int offset) const { return offset - sample + forward.frame; }

  // Gradients in a part: those of the packed weights, of biases, and of static slots.
  __host__ __device__ MatrixShape controller_bias() const { return vector(forward.num_weights(), 3 * forward.h); }
  __host__ __device__ MatrixShape induction_bias() const { return vector(end_of(controller_bias()), 3 * forward.d); }
  __host__ __device__ MatrixShape head_bias() const { return vector(end_of(induction_bias()), forward.heads); }
  __host__ __device__ MatrixShape out_bias() const { return vector(end_of(head_bias()), forward.h); }
  __host__ __device__ MatrixShape static_slots() const { return {end_of(out_bias()), forward.m, forward.d, 0}; }
  __host__ __device__ MatrixShape static_norms() const { return vector(end_of(static_slots()), forward.m); }
  __host__ __device__ int64_t part_values() const { return end_of(static_norms()); }

  // Calls f(product) for the products whose sums are gradients.
  template <class F>
  __device__ void for_products(bool has_static, const F& f) const {
    const MimnLayout& l = forward;
    const int gates = in_frame(controller_gates), of_head = in_frame(head), of_out = in_frame(out);
    f(gru_product(l.controller(), gates, l.input, l.hidden, l.reset));
    f(Product::simple(controller_bias(), gates, Product::kOne));
    for (int k = 0; k < l.topk; ++k) {
      const int unit = in_frame(unit_gates) + k * padded(3 * l.d), at = k * l.unit_size;
      f(gru_product(l.induction(), unit, at + l.unit_input, at + l.unit_channel, at + l.unit_reset));
      f(Product::simple(induction_bias(), unit, Product::kOne));
    }
    f(Product::simple(l.head_matrix(), of_head, l.next_hidden));
    f(Product::simple(head_bias(), of_head, Product::kOne));
    f(Product::simple(l.out_matrix(), of_out, l.next_hidden, l.next_read));
    f(Product::simple(out_bias(), of_out, Product::kOne));
    f(Product::simple(l.usage_matrix(), in_frame(share), l.usage));
    for (int i = 0; has_static && i < 2; ++i) {
      f(Product::simple(static_slots(), in_frame(dot_static) + i * padded(l.m), in_frame(keys) + i * padded(l.d)));
      f(Product::simple(static_norms(), in_frame(norm_static) + i * padded(l.m), Product::kOne));
    }
  }

 private:
  __host__ __device__ static MatrixShape vector(int64_t offset, int rows) { return {offset, rows, 1, 0}; }
  __host__ __device__ static int64_t end_of(const MatrixShape& matrix) { return matrix.offset + matrix.values(); }
};

}  // namespace recops::memory::cuda
