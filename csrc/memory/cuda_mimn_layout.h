// Sizes of MIMN in CUDA kernels, and positions of a user's values in shared memory.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_quads.h"
#include "memory/cuda_gru.h"
#include "memory/kernel.h"

namespace recops::memory::cuda {

// Values of a state: `width` values in runs of `run` values, which start `stride` apart in shared memory.
struct StateField {
  int offset, width, run, stride;

  __host__ __device__ int position(int i) const { return offset + i / run * stride + i % run; }
};

// A user's values in shared memory. Vectors of products begin at multiples of four and end with zeros.
struct MimnLayout {
  int d, h, m, topk, heads;
  Utilization utilization;

  // Offsets of the head values, shown with their sizes:
  //
  //   read_key  read_beta  write_key  write_beta  shift  gamma  erase  add
  //   D         1          D          1           3      1      D      D
  int read_key, read_beta, write_key, write_beta, shift, gamma, erase, add;

  int slot_stride;
  // The state before a step.
  int input;          // [2 D]: x and the previous read
  int hidden, usage;  // [H], [m]
  int memory;         // [m, slot_stride]
  // Results of a step.
  int next_hidden;                    // [H + m]: the next state of the controller, and usage / usage_scale
  int next_read;                      // [D]
  int gates, reset;                   // [3 H], [H] of the controller
  int head, activated;                // [heads]: head values before and after clipping and activation
  int norms, static_norms, key_norm;  // [m], [m], [2]: norms of slots, of static slots, and of both keys
  int near, near_static;              // [2, m]: cosines with the read key, then with the write key
  int read_weights, content;          // [m]: weights of the slots by content, for reading and for writing
  int shift_weights, moved, logs;     // [3], [m], [m] of the sharpening
  int share, write;                   // [m]
  int out;                            // [H], before clipping
  // For each channel that the step updates:
  int chosen;                             // [topk]: the slot
  int unit_input, unit_channel;           // [2 D] x and slot, [D]
  int unit_gates, unit_reset, unit_size;  // [3 D], [D]; unit_size: from a channel to the next
  int frame;                              // size of all values so far
  // Sums over steps, the channels, and the next input.
  int added, pooled, channels, next_x, values;

  __host__ explicit MimnLayout(const Mimn& mimn)
      : d(static_cast<int>(mimn.inputs)),
        h(static_cast<int>(mimn.hidden)),
        m(static_cast<int>(mimn.slots)),
        topk(static_cast<int>(mimn.topk)),
        heads(4 * d + 6),
        utilization(mimn.utilization),
        read_key(0),
        read_beta(d),
        write_key(d + 1),
        write_beta(2 * d + 1),
        shift(2 * d + 2),
        gamma(2 * d + 5),
        erase(2 * d + 6),
        add(3 * d + 6),
        slot_stride(padded(d)) {
    // Four groups of eight lanes then read four slots from different banks.
    while (slot_stride % 16 != 8) slot_stride += kQuad;
    int end = 0;
    const auto take = [&](int count) {
      const int begin = end;
      end += padded(count);
      return begin;
    };
    input = take(2 * d);
    hidden = take(h);
    usage = take(m);
    memory = take(m * slot_stride);
    next_hidden = take(h + m);
    next_read = take(d);
    gates = take(3 * h);
    reset = take(h);
    head = take(heads);
    activated = take(heads);
    norms = take(m);
    static_norms = take(m);
    key_norm = take(2);
    near = take(2 * m);
    near_static = take(2 * m);
    read_weights = take(m);
    content = take(m);
    shift_weights = take(3);
    moved = take(m);
    logs = take(m);
    share = take(m);
    write = take(m);
    out = take(h);
    chosen = take(topk);
    const int first = end;
    unit_input = take(2 * d);
    unit_channel = take(d);
    unit_gates = take(3 * d);
    unit_reset = take(d);
    unit_size = end - first;
    end = first + topk * unit_size;
    frame = end;
    added = take(d);
    pooled = take(d);
    channels = take(m * slot_stride);
    next_x = take(d);
    values = end;
  }

  // Head values that the head computes from the usage too.
  __host__ __device__ int head_columns() const { return utilization == Utilization::none ? h : h + m; }

  __host__ __device__ GruShape controller() const { return gru_shape(2 * d, h, 0); }
  __host__ __device__ GruShape induction() const { return gru_shape(2 * d, d, end_of(controller().matrix)); }
  __host__ __device__ MatrixShape head_matrix() const { return {end_of(induction().matrix), heads, head_columns(), 0}; }
  __host__ __device__ MatrixShape out_matrix() const { return {end_of(head_matrix()), h, h, d}; }
  __host__ __device__ MatrixShape usage_matrix() const {
    return {end_of(out_matrix()), utilization == Utilization::paper ? m : 0, m, 0};
  }
  __host__ __device__ int64_t num_weights() const { return end_of(usage_matrix()); }

  __host__ __device__ StateField vector(int offset, int width) const { return {offset, width, width, width}; }
  __host__ __device__ StateField slots(int offset) const { return {offset, m * d, d, slot_stride}; }
  __host__ __device__ StateField read() const { return vector(input + d, d); }

  // Values of a checkpoint of a row (kernel.h).
  __host__ __device__ int64_t checkpoint_values() const { return h + d + 2 * int64_t{m} * d + m; }

 private:
  __host__ __device__ static int64_t end_of(const MatrixShape& matrix) { return matrix.offset + matrix.values(); }
};

}  // namespace recops::memory::cuda
