// Memory networks on raw pointers: what is computed, on which layout, in which order.
//
// Inputs and outputs are float, double or a 16-bit float; everything else is of the compute type (double for double,
// else float). All arrays are dense and row-major. No kernel allocates, throws or starts a thread. A row's results
// depend on that row alone, not on its block, and sums over rows and steps run in an order that the blocks alone
// decide, so that no bit depends on threads, and streaming in any split gives what a scan gives.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::memory {

// Rows that are advanced together, by descending length: row i starts from the state from[i], takes lengths[i] steps
// and leaves its state at to[i]. Its step t reads input number e = first[i] + t, or events[e] where there are events;
// its outputs stand at that number, too.
struct Block {
  int64_t count;
  const int64_t* from;
  const int64_t* to;
  const int64_t* lengths;
  const int64_t* first;
  const int64_t* events;
  // From which rows the next block will start, to fetch them meanwhile; their number may be 0.
  const int64_t* next = nullptr;
  int64_t num_next = 0;
};

enum class Utilization { none, paper, code };

// ---- MIMN.

// Weights of a GRU, in the order r, z, n; the reset comes before its product, and z is the weight of the old state.
struct GruWeights {
  const void* w_ih;  // [3·size, inputs]
  const void* w_hh;  // [3·size, size]
  const void* bias;  // [3·size]
};

struct Mimn {
  Dtype dtype;                    // of inputs and outputs
  int64_t inputs, hidden, slots;  // D, H, m
  Utilization utilization;
  int64_t topk;            // how many channels a step moves, at most m
  GruWeights controller;   // of [x; read]
  const void* head_w;      // [4 D + 6, H + m]
  const void* head_b;      // [4 D + 6]
  const void* key_memory;  // [m, D], or null
  const void* usage_w;     // [m, m]
  GruWeights induction;    // of [x; slot]
  const void* out_w;       // [H, H + D]
  const void* out_b;       // [H]
  double usage_scale;
};

// A state, or its gradient: one row a user. A null field is neither read nor written.
struct MimnRows {
  void* hidden;    // [n, H]
  void* read;      // [n, D]
  void* memory;    // [n, m, D]
  void* usage;     // [n, m]
  void* added;     // [n, D]
  void* channels;  // [n, m, D]
  void* pooled;    // [n, D]
};

// Every `every` steps, from that step on, the states of rows that have further to go: one after the other, hidden,
// read, memory, usage and channels of all rows.
struct Checkpoints {
  void* states;  // null for none
  int64_t rows, every;
};

struct MimnForward {
  const void* x;
  MimnRows from, to;   // they may be one: a row is read before it is written
  void* outputs;       // [inputs, H], or null
  void* read_weights;  // [n, m] at to[i], of the last step, or null
  Checkpoints kept;
};

struct MimnBackward {
  const void* x;
  MimnRows from;
  Checkpoints kept;          // `every` is at least 1, also where all steps lie before the first
  const void* grad_outputs;  // [inputs, H]
  const void* grad_weights;  // [n, m] of the read weights
  MimnRows grad_to;
  void* grad_x;        // [inputs, D] of the compute type
  MimnRows grad_from;  // without added and pooled, whose gradients pass unchanged
};

struct GruGradients {
  void* w_ih;
  void* w_hh;
  void* bias;
};

struct MimnGradients {
  GruGradients controller;
  void* head_w;
  void* head_b;
  void* key_memory;  // or null
  void* usage_w;
  GruGradients induction;
  void* out_w;
  void* out_b;
};

// ---- HPMN: a stack of GRUs, of which layer j moves at every periods[j]-th event of a row, on what moved below.

struct Hpmn {
  Dtype dtype;
  int64_t inputs, hidden, layers;
  const int64_t* periods;
  const void* const* w_ih;  // [3 H, I], then [3 H, H] each
  const void* w_hh;         // [layers, 3 H, H]
  const void* bias;         // [layers, 3 H]
};

struct HpmnForward {
  const void* x;
  const void* from;       // [n, layers, H]
  void* to;               // the same layout; they may be one
  const int64_t* counts;  // [n] events before, at from[i]
  Checkpoints kept;
};

struct HpmnBackward {
  const void* x;
  const void* from;
  const int64_t* counts;
  Checkpoints kept;
  const void* grad_to;
  void* grad_x;  // [inputs, I] of the compute type
  void* grad_from;
};

struct HpmnGradients {
  void* const* w_ih;
  void* w_hh;
  void* bias;
};

struct Kernels {
  int64_t (*block_rows)(Dtype);  // of a full block

  // What is derived of the weights, and scratch for one thread, both aligned to 64 bytes. The scratch of a backward
  // pass holds `every` steps.
  int64_t (*mimn_packed_bytes)(const Mimn&, bool backward);
  void (*mimn_pack)(const Mimn&, bool backward, void* packed);
  int64_t (*mimn_scratch_bytes)(const Mimn&, bool backward, int64_t every);
  void (*mimn_forward)(const Mimn&, const void* packed, const Block&, void* scratch, const MimnForward&);
  // The gradients of weights are summed by groups of blocks: `sums` of a group starts as sum_values zeros.
  int64_t (*mimn_sum_values)(const Mimn&);
  void (*mimn_backward)(const Mimn&, const void* packed, const Block&, void* scratch, const MimnBackward&, void* sums);
  void (*mimn_unpack)(const Mimn&, const void* packed, const void* sums, const MimnGradients&);

  int64_t (*hpmn_packed_bytes)(const Hpmn&);  // of a backward pass; the forward pass takes the weights as they are
  void (*hpmn_pack)(const Hpmn&, void* packed);
  int64_t (*hpmn_scratch_bytes)(const Hpmn&, bool backward, int64_t every);
  void (*hpmn_forward)(const Hpmn&, const Block&, void* scratch, const HpmnForward&);
  int64_t (*hpmn_sum_values)(const Hpmn&);
  void (*hpmn_backward)(const Hpmn&, const void* packed, const Block&, void* scratch, const HpmnBackward&, void* sums);
  void (*hpmn_unpack)(const Hpmn&, const void* sums, const HpmnGradients&);

  // Adds the sums of all groups to those of the first, in order: values begin up to end of each.
  void (*add_groups)(Dtype, void* sums, int64_t groups, int64_t values, int64_t begin, int64_t end);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::memory
