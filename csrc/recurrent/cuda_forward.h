// Kernel of the forward scan: a block takes its rows through all steps. The states stay in registers and shared memory,
// the weights in shared memory if `resident`.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "recurrent/cuda_block.h"
#include "recurrent/cuda_products.h"
#include "recurrent/cuda_step.h"

namespace recops::recurrent::cuda {

struct ForwardArguments {
  ScanArguments scan;
  Keep keep;
  DeviceOutputs outputs;        // [rows, steps, hidden]
  DevicePointer<float> h_last;  // [rows, hidden]
  DevicePointer<float> kept;    // [rows, steps, hidden · (number of gates, or 1 for states)]
};

// Values in dynamic shared memory, without resident weights: states before and after a step, and r·h.
__host__ __device__ constexpr int64_t forward_values(int hidden) { return int64_t{3} * kRows * padded(hidden); }

template <int rows>
class ForwardBlock {
 public:
  // `weights`: packed weights in shared or global memory. `memory`: forward_values() in shared memory.
  __device__ ForwardBlock(const ForwardArguments& a, const BlockRows& block, DevicePointer<const float> weights,
                          DevicePointer<float> memory)
      : a_(a),
        scan_(a.scan),
        block_(block),
        unit_(own_unit<rows>()),
        first_(own_rows<rows>()),
        padded_(padded(a.scan.hidden)),
        stepper_(a.scan, weights, memory + 2 * kRows * padded_),
        states_(memory) {}

  // Called by all threads. Contains the barrier after the block's rows and weights are stored.
  __device__ void run() {
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) state_[i] = has_row(i) ? scan_.first_state(row(i), unit_) : 0.0f;
    store_states(0);
    __syncthreads();
    const int steps = block_.longest();
    for (int t = 0; t < steps; ++t) {
      step(t);
      store_states((t + 1) % 2);
      __syncthreads();
    }
    finish();
  }

 private:
  __device__ int64_t row(int i) const { return int64_t{blockIdx.x} * kRows + first_ + i; }
  __device__ bool has_row(int i) const { return unit_ < scan_.hidden && row(i) < scan_.rows.count; }
  __device__ bool has_step(int i, int t) const { return unit_ < scan_.hidden && t < block_.lengths[first_ + i]; }
  __device__ int64_t output(int i, int t) const { return (row(i) * scan_.steps + t) * scan_.hidden + unit_; }

  __device__ DevicePointer<float> states(int buffer) const { return states_ + (buffer * kRows + first_) * padded_; }

  __device__ void store_states(int buffer) {
    if (unit_ >= padded_) return;
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) states(buffer)[i * padded_ + unit_] = state_[i];
  }

  __device__ void step(int t) {
    uint32_t inputs[3][rows];
    float attention[rows];
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      const bool is_live = has_step(i, t);
      RECOPS_UNROLL
      for (int gate = 0; gate < 3; ++gate)
        inputs[gate][i] = is_live ? scan_.gate_bits(block_.sources[first_ + i], t, gate, unit_) : 0;
      attention[i] = is_live ? scan_.attention_at(row(i), t) : 0.0f;
    }
    float next[rows];
    stepper_.find_gates(inputs, states(t % 2), state_, [&](int i, const Gates& gates) {
      next[i] = next_state(state_[i], gates.z, gates.n, scan_.mix.at(attention[i]));
      if (has_step(i, t) && a_.keep == Keep::gates) keep_gates(gates, i, t);
    });
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      if (!has_step(i, t)) continue;
      state_[i] = next[i];
      a_.outputs.store(output(i, t), next[i]);
      if (a_.keep == Keep::states) a_.kept[output(i, t)] = next[i];
    }
  }

  __device__ void keep_gates(const Gates& gates, int i, int t) const {
    const int hidden = scan_.hidden;
    const DevicePointer<float> to = a_.kept + ((row(i) * scan_.steps + t) * scan_.num_gates() * hidden + unit_);
    to[0] = gates.r;
    to[hidden] = gates.z;
    to[2 * hidden] = gates.n;
    if (!scan_.reset_before) to[3 * hidden] = gates.q;
  }

  // Writes the last states, and zeros past the lengths.
  __device__ void finish() const {
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      if (!has_row(i)) continue;
      const int length = block_.lengths[first_ + i];
      const bool is_wrong = length == DeviceRows::kWrong;
      a_.h_last[row(i) * scan_.hidden + unit_] = is_wrong ? kNan : state_[i];
      for (int t = is_wrong ? 0 : length; t < scan_.steps; ++t) a_.outputs.store(output(i, t), is_wrong ? kNan : 0.0f);
    }
  }

  const ForwardArguments& a_;
  const ScanArguments& scan_;
  const BlockRows& block_;
  int unit_, first_, padded_;
  Stepper<rows> stepper_;
  DevicePointer<float> states_;
  float state_[rows];
};

template <int rows, bool resident>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<rows>)
    scan_forward(const __grid_constant__ ForwardArguments a) {
  RECOPS_SHARED(BlockRows, block);
  RECOPS_DYNAMIC_SHARED(memory);
  const int hidden = a.scan.hidden;
  const int64_t values = forward_values(hidden), num_weights = packed_values(hidden, kUnits<rows>);
  const auto shared = shared_array<float>(memory, 0, values + (resident ? num_weights : 0));
  block.find(a.scan.rows, int64_t{blockIdx.x} * kRows);
  if constexpr (resident) copy_weights(a.scan.packed, num_weights, shared + values);
  DevicePointer<const float> weights = a.scan.packed;
  if constexpr (resident) weights = shared + values;
  ForwardBlock<rows>(a, block, weights, shared).run();
}

}  // namespace recops::recurrent::cuda
