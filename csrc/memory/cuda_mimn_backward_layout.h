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

  // Products whose sums are gradients: seven, two for each updated channel, and two for each key if there are static
  // slots.
  __device__ int num_products(bool has_static) const { return 7 + 2 * forward.topk + (has_static ? 4 : 0); }

  __device__ Product product(int i) const {
    const MimnLayout& l = forward;
    switch (i) {
      case 0: return gru_product(l.controller(), in_frame(controller_gates), l.input, l.hidden, l.reset);
      case 1: return Product::simple(controller_bias(), in_frame(controller_gates), Product::kOne);
      case 2: return Product::simple(l.head_matrix(), in_frame(head), l.next_hidden);
      case 3: return Product::simple(head_bias(), in_frame(head), Product::kOne);
      case 4: return Product::simple(l.out_matrix(), in_frame(out), l.next_hidden, l.next_read);
      case 5: return Product::simple(out_bias(), in_frame(out), Product::kOne);
      case 6: return Product::simple(l.usage_matrix(), in_frame(share), l.usage);
    }
    const int k = (i - 7) / 2, key = k - l.topk;
    const bool is_second = (i - 7) % 2 != 0;
    if (k < l.topk) {
      const int unit = in_frame(unit_gates) + k * padded(3 * l.d), at = k * l.unit_size;
      if (is_second) return Product::simple(induction_bias(), unit, Product::kOne);
      return gru_product(l.induction(), unit, at + l.unit_input, at + l.unit_channel, at + l.unit_reset);
    }
    if (is_second) return Product::simple(static_norms(), in_frame(norm_static) + key * padded(l.m), Product::kOne);
    return Product::simple(static_slots(), in_frame(dot_static) + key * padded(l.m),
                           in_frame(keys) + key * padded(l.d));
  }

 private:
  __host__ __device__ static MatrixShape vector(int64_t offset, int rows) { return {offset, rows, 1, 0}; }
  __host__ __device__ static int64_t end_of(const MatrixShape& matrix) { return matrix.offset + matrix.values(); }
};

}  // namespace recops::memory::cuda
