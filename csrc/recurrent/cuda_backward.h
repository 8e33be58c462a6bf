// Kernel of the backward scan: a block takes its rows from their last step to the first. It writes the gradients of the
// sums inside the gates; cuda_gradients.h derives those of weights, inputs and shared gates from them.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "recurrent/cuda_block.h"
#include "recurrent/cuda_products.h"
#include "recurrent/cuda_step.h"

namespace recops::recurrent::cuda {

struct BackwardArguments {
  ScanArguments scan;
  bool has_gates;                              // whether `kept` holds gates; otherwise they are recomputed
  DevicePointer<const float> kept;             // [rows, steps, num_gates · hidden]
  DevicePointer<const float> states;           // [rows, steps, hidden], after each step
  DevicePointer<const float> packed_backward;  // transposed weights (cuda_products.h)
  DeviceValues grad_outputs;                   // [rows, steps, hidden], or null for zeros
  DevicePointer<const float> grad_h_last;      // [rows, hidden], or null for zeros
  DevicePointer<float> gate_grads;             // [rows, steps, 3·hidden]; zeros past a row's length
  // [rows, steps, hidden]: the gradient of W_n h + b_n, or with reset_before r·h. Not written past a row's length.
  DevicePointer<float> candidates;
  DevicePointer<float> grad_h0;         // [rows, hidden]
  DevicePointer<float> grad_attention;  // [rows, steps], or null

  // State before step t.
  __device__ float state_before(int64_t row, int t, int unit) const {
    if (t == 0) return scan.first_state(row, unit);
    return states[(row * scan.steps + t - 1) * scan.hidden + unit];
  }
};

// Values in dynamic shared memory, without resident weights: gradients of the sums inside the gates, the state before
// the step, and r·h.
__host__ __device__ constexpr int64_t backward_values(int hidden) {
  return int64_t{3 + 1 + 1} * kRows * padded(hidden);
}

// Sums over the units of each warp, for the gradient of the attention.
struct AttentionParts {
  float of_warp[kRows][kThreads / kWarpSize];
};

template <int rows>
class BackwardBlock {
 public:
  // `weights`: packed transposed weights in shared or global memory. `memory`: backward_values() in shared memory.
  __device__ BackwardBlock(const BackwardArguments& a, const BlockRows& block, AttentionParts& parts,
                           DevicePointer<const float> weights, DevicePointer<float> memory)
      : a_(a),
        scan_(a.scan),
        block_(block),
        parts_(parts),
        unit_(own_unit<rows>()),
        first_(own_rows<rows>()),
        padded_(padded(a.scan.hidden)),
        weights_(weights + unit_ * kQuad),
        sums_(memory + first_ * 3 * padded_),
        states_(memory + (3 * kRows + first_) * padded_),
        stepper_(a.scan, a.scan.packed, memory + 4 * kRows * padded_) {}

  // Called by all threads, after a barrier.
  __device__ void run() {
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      const bool has_gradient = !(a_.grad_h_last == nullptr) && has_row(i);
      grad_[i] = has_gradient ? a_.grad_h_last[row(i) * scan_.hidden + unit_] : 0.0f;
    }
    const int steps = block_.longest();
    Inputs inputs;
    if (steps > 0) load(steps - 1, inputs);
    for (int t = steps - 1; t >= 0; --t) {
      step(t, inputs);
      __syncthreads();
    }
    finish();
  }

 private:
  // Values that a step reads from global memory. They are read one step ahead.
  struct Inputs {
    uint32_t gates[4][rows];  // bits of the kept gates r, z, n, q, or of the inputs' gates
    uint32_t grad[rows];      // bits of the gradient of the output
    float state[rows], attention[rows];
  };

  __device__ int64_t row(int i) const { return int64_t{blockIdx.x} * kRows + first_ + i; }
  __device__ bool has_row(int i) const { return unit_ < scan_.hidden && row(i) < scan_.rows.count; }
  __device__ bool has_step(int i, int t) const { return unit_ < scan_.hidden && t < block_.lengths[first_ + i]; }
  __device__ int64_t cell(int i, int t) const { return row(i) * scan_.steps + t; }

  __device__ void load(int t, Inputs& inputs) const {
    const int hidden = scan_.hidden;
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      const bool is_live = has_step(i, t);
      const int64_t at = cell(i, t);
      RECOPS_UNROLL
      for (int gate = 0; gate < 4; ++gate) {
        uint32_t bits = 0;
        if (is_live && a_.has_gates && gate < scan_.num_gates())
          bits = __float_as_uint(a_.kept[(at * scan_.num_gates() + gate) * hidden + unit_]);
        else if (is_live && !a_.has_gates && gate < 3)
          bits = scan_.gate_bits(block_.sources[first_ + i], t, gate, unit_);
        inputs.gates[gate][i] = bits;
      }
      inputs.grad[i] = is_live && !a_.grad_outputs.is_null() ? a_.grad_outputs.bits(at * hidden + unit_) : 0;
      inputs.state[i] = is_live ? a_.state_before(row(i), t, unit_) : 0.0f;
      inputs.attention[i] = is_live ? scan_.attention_at(row(i), t) : 0.0f;
    }
  }

  // Loads the inputs of step t − 1 while it computes step t.
  __device__ void step(int t, Inputs& inputs) {
    Gates gates[rows];
    if (a_.has_gates)
      read_gates(inputs, gates);
    else
      recompute_gates(inputs, gates);
    float z_sums[rows], n_sums[rows];
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      if (has_step(i, t)) grad_[i] += a_.grad_outputs.value(inputs.grad[i]);
      const UpdateGradients of(has_step(i, t) ? grad_[i] : 0.0f, inputs.state[i], gates[i].z, gates[i].n, scan_.mix,
                               inputs.attention[i]);
      z_sums[i] = of.z_sum;
      n_sums[i] = of.n_sum;
      if (has_step(i, t)) grad_[i] = of.h;
      add_attention(i, of.attention);
    }
    if (scan_.reset_before)
      multiply_before(t, inputs, gates, z_sums, n_sums);
    else
      multiply_after(t, inputs, gates, z_sums, n_sums);
  }

  __device__ static void read_gates(const Inputs& inputs, Gates (&gates)[rows]) {
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i)
      gates[i] = {__uint_as_float(inputs.gates[0][i]), __uint_as_float(inputs.gates[1][i]),
                  __uint_as_float(inputs.gates[2][i]), __uint_as_float(inputs.gates[3][i])};
  }

  __device__ void recompute_gates(const Inputs& inputs, Gates (&gates)[rows]) const {
    uint32_t of_inputs[3][rows];
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      RECOPS_UNROLL
      for (int gate = 0; gate < 3; ++gate) of_inputs[gate][i] = inputs.gates[gate][i];
      if (unit_ < padded_) states_[i * padded_ + unit_] = inputs.state[i];
    }
    __syncthreads();
    stepper_.find_gates(of_inputs, DevicePointer<const float>(states_), inputs.state,
                        [&](int i, const Gates& of_row) { gates[i] = of_row; });
  }

  // Stores the sum over a warp's units. write_attention() adds the warps.
  __device__ void add_attention(int i, float part) const {
    if (a_.grad_attention == nullptr) return;
    for (int distance = kWarpSize / 2; distance > 0; distance /= 2) part += __shfl_xor_sync(kFullWarp, part, distance);
    if (unit_ % kWarpSize == 0) parts_.of_warp[first_ + i][unit_ / kWarpSize] = part;
  }

  // Called after a barrier.
  __device__ void write_attention(int t) const {
    const int i = threadIdx.x;
    if (a_.grad_attention == nullptr || i >= kRows || t >= block_.lengths[i]) return;
    float sum = 0;
    for (int warp = 0; warp < rows; ++warp) sum += parts_.of_warp[i][warp];
    a_.grad_attention[(int64_t{blockIdx.x} * kRows + i) * scan_.steps + t] = sum;
  }

  // Reset after the product: the gradients of all three products are known at once.
  __device__ void multiply_after(int t, Inputs& inputs, const Gates (&gates)[rows], const float (&z_sums)[rows],
                                 const float (&n_sums)[rows]) {
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      const float dq = n_sums[i] * gates[i].r, r_sum = dq * gates[i].q * (1.0f - gates[i].r);
      share(i, 0, r_sum);
      share(i, 1, z_sums[i]);
      share(i, 2, dq);
      write_gradients(i, t, r_sum, z_sums[i], n_sums[i], dq);
    }
    __syncthreads();
    write_attention(t);
    if (t > 0) load(t - 1, inputs);
    add_gate_products(t, 0, 3);
  }

  // Reset before the product: W_nᵀ gives the gradient of r·h first.
  __device__ void multiply_before(int t, Inputs& inputs, const Gates (&gates)[rows], const float (&z_sums)[rows],
                                  const float (&n_sums)[rows]) {
    float through[1][rows];
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      share(i, 2, n_sums[i]);
      through[0][i] = 0.0f;
    }
    __syncthreads();
    write_attention(t);
    add_products(weights_ + 2 * gate_values(), kQuadStride, num_quads(scan_.hidden),
                 DevicePointer<const float>(sums_ + 2 * padded_), 3 * padded_, through);
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      const float reset_state = rounded_product(gates[i].r, inputs.state[i]);
      const float r_sum = has_step(i, t) ? through[0][i] * reset_state * (1.0f - gates[i].r) : 0.0f;
      if (has_step(i, t)) grad_[i] = multiply_add(through[0][i], gates[i].r, grad_[i]);
      share(i, 0, r_sum);
      share(i, 1, z_sums[i]);
      write_gradients(i, t, r_sum, z_sums[i], n_sums[i], reset_state);
    }
    __syncthreads();
    if (t > 0) load(t - 1, inputs);
    add_gate_products(t, 0, 2);
  }

  // Gives the other threads of the row a gradient of gate `gate`.
  __device__ void share(int i, int gate, float value) const {
    if (unit_ < padded_) sums_[(i * 3 + gate) * padded_ + unit_] = value;
  }

  __device__ void write_gradients(int i, int t, float r_sum, float z_sum, float n_sum, float candidate) const {
    if (!has_step(i, t)) return;
    const int hidden = scan_.hidden;
    const DevicePointer<float> to = a_.gate_grads + (cell(i, t) * 3 * hidden + unit_);
    to[0] = r_sum;
    to[hidden] = z_sum;
    to[2 * hidden] = n_sum;
    a_.candidates[cell(i, t) * hidden + unit_] = candidate;
  }

  // Adds the products of shared gradients with the transposed weights of gates [begin, end).
  __device__ void add_gate_products(int t, int begin, int end) {
    float sums[1][rows];
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) sums[0][i] = grad_[i];
    add_products(weights_ + begin * gate_values(), kQuadStride, (end - begin) * num_quads(scan_.hidden),
                 DevicePointer<const float>(sums_ + begin * padded_), 3 * padded_, sums);
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i)
      if (has_step(i, t)) grad_[i] = sums[0][i];
  }

  __device__ void finish() const {
    const int hidden = scan_.hidden;
    RECOPS_UNROLL
    for (int i = 0; i < rows; ++i) {
      if (!has_row(i)) continue;
      const int length = block_.lengths[first_ + i];
      const bool is_wrong = length == DeviceRows::kWrong;
      const float rest = is_wrong ? kNan : 0.0f;
      a_.grad_h0[row(i) * hidden + unit_] = is_wrong ? kNan : grad_[i];
      for (int t = is_wrong ? 0 : length; t < scan_.steps; ++t) {
        const int64_t at = cell(i, t);
        for (int gate = 0; gate < 3; ++gate) a_.gate_grads[(at * 3 + gate) * hidden + unit_] = rest;
        if (!(a_.grad_attention == nullptr) && unit_ == 0) a_.grad_attention[at] = rest;
      }
    }
  }

  static constexpr int kQuadStride = kUnits<rows> * kQuad;
  __device__ int gate_values() const { return padded_ * kUnits<rows>; }

  const BackwardArguments& a_;
  const ScanArguments& scan_;
  const BlockRows& block_;
  AttentionParts& parts_;
  int unit_, first_, padded_;
  DevicePointer<const float> weights_;
  DevicePointer<float> sums_, states_;
  Stepper<rows> stepper_;
  float grad_[rows];  // of the state
};

template <int rows, bool resident>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<rows>)
    scan_backward(const __grid_constant__ BackwardArguments a) {
  RECOPS_SHARED(BlockRows, block);
  RECOPS_SHARED(AttentionParts, parts);
  RECOPS_DYNAMIC_SHARED(memory);
  const int hidden = a.scan.hidden;
  const int64_t values = backward_values(hidden), num_weights = packed_values(hidden, kUnits<rows>);
  const auto shared = shared_array<float>(memory, 0, values + (resident ? num_weights : 0));
  block.find(a.scan.rows, int64_t{blockIdx.x} * kRows);
  if constexpr (resident) copy_weights(a.packed_backward, num_weights, shared + values);
  __syncthreads();
  DevicePointer<const float> weights = a.packed_backward;
  if constexpr (resident) weights = shared + values;
  BackwardBlock<rows>(a, block, parts, weights, shared).run();
}

}  // namespace recops::recurrent::cuda
