// Memory networks on raw pointers: results, layouts and order of operations.
//
// Inputs and outputs are float, double or a 16-bit float; everything else has the compute type (double for double, else
// float). All arrays are dense and row-major. Kernels do not allocate, throw or start threads.
//
// A row's results depend only on that row, not on its block. Sums over rows and steps run in an order that depends only
// on the blocks. Results therefore do not depend on the number of threads, and streaming in any division gives the
// results of a scan.
//
// States are stored as rows, one row per user and field. Kernels load a block of rows into lanes, one lane per user:
//
//   rows of a field [n, width]           lanes [width][users of a block]
//   user 7:  a0 a1 a2 …                  value 0:  a0  b0  …
//   user 3:  b0 b1 b2 …          ──►     value 1:  a1  b1  …
//   …                                    value 2:  a2  b2  …
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::memory {

// Rows that advance together, by descending length. Row i starts from state from[i], takes lengths[i] steps and writes
// its state to to[i]. Step t reads input number e = first[i] + t, or events[e] if `events` is not null. Its output has
// the same number as its input.
struct Block {
  int64_t count;
  const int64_t* from;
  const int64_t* to;
  const int64_t* lengths;
  const int64_t* first;
  const int64_t* events;
  // States that the next block starts from, to prefetch them; num_next may be 0.
  const int64_t* next = nullptr;
  int64_t num_next = 0;
};

enum class Utilization { none, paper, code };

// ---- MIMN.

// Weights of a GRU in the order r, z, n. The reset is applied before its product; z is the weight of the old state.
struct GruWeights {
  const void* w_ih;  // [3·size, inputs]
  const void* w_hh;  // [3·size, size]
  const void* bias;  // [3·size]
};

struct Mimn {
  Dtype dtype;                    // of inputs and outputs
  int64_t inputs, hidden, slots;  // D, H, m
  Utilization utilization;
  int64_t topk;            // number of channels that a step updates, at most m
  GruWeights controller;   // reads [x; read]
  const void* head_w;      // [4 D + 6, H + m]
  const void* head_b;      // [4 D + 6]
  const void* key_memory;  // [m, D], or null
  const void* usage_w;     // [m, m]
  GruWeights induction;    // reads [x; slot]
  const void* out_w;       // [H, H + D]
  const void* out_b;       // [H]
  double usage_scale;
};

// A state or its gradient, one row per user. Null fields are neither read nor written.
struct MimnRows {
  void* hidden;    // [n, H]
  void* read;      // [n, D]
  void* memory;    // [n, m, D]
  void* usage;     // [n, m]
  void* added;     // [n, D]
  void* channels;  // [n, m, D]
  void* pooled;    // [n, D]
};

// States after every `every` steps, for rows with further steps. Checkpoints follow one another. One of MIMN stores the
// fields one after another, each for all rows; one of HPMN is [rows, layers, H]:
//
//   MIMN:  hidden [rows, H] | read [rows, D] | memory [rows, m, D] | usage [rows, m] | channels [rows, m, D]
struct Checkpoints {
  void* states;  // null: no checkpoints
  int64_t rows, every;
};

struct MimnForward {
  const void* x;
  MimnRows from, to;   // may be the same memory: a row is read before it is written
  void* outputs;       // [inputs, H], or null
  void* read_weights;  // [n, m] or null: weights of the last step, at row to[i]
  Checkpoints kept;
};

struct MimnBackward {
  const void* x;
  MimnRows from;
  Checkpoints kept;          // `every` is at least 1, even without checkpoints
  const void* grad_outputs;  // [inputs, H]
  const void* grad_weights;  // [n, m] of the read weights
  MimnRows grad_to;
  void* grad_x;        // [inputs, D] of the compute type
  MimnRows grad_from;  // without added and pooled, whose gradients equal those in grad_to
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

// ---- HPMN: a stack of GRUs. Layer j updates at every periods[j]-th event of a row and reads the layer below.
//
//   event            1  2  3  4  5  6  7  8
//   layer 0 (x)      •  •  •  •  •  •  •  •     periods 1, 2, 4
//   layer 1             •     •     •     •
//   layer 2                   •           •

struct Hpmn {
  Dtype dtype;
  int64_t inputs, hidden, layers;
  const int64_t* periods;
  const void* const* w_ih;  // [3 H, I] for layer 0, [3 H, H] for the others
  const void* w_hh;         // [layers, 3 H, H]
  const void* bias;         // [layers, 3 H]
};

struct HpmnForward {
  const void* x;
  const void* from;       // [n, layers, H]
  void* to;               // the same layout; may be the same memory
  const int64_t* counts;  // [n]: number of earlier events, at from[i]
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
  int64_t (*block_rows)(Dtype);  // rows of a full block

  // Memory for values derived from the weights, and scratch for one thread, both aligned to 64 bytes. The scratch of a
  // backward pass has room for `every` steps.
  int64_t (*mimn_packed_bytes)(const Mimn&, bool backward);
  void (*mimn_pack)(const Mimn&, bool backward, void* packed);
  int64_t (*mimn_scratch_bytes)(const Mimn&, bool backward, int64_t every);
  void (*mimn_forward)(const Mimn&, const void* packed, const Block&, void* scratch, const MimnForward&);
  // Weight gradients are summed per group of blocks: `sums` of a group starts as sum_values zeros.
  int64_t (*mimn_sum_values)(const Mimn&);
  void (*mimn_backward)(const Mimn&, const void* packed, const Block&, void* scratch, const MimnBackward&, void* sums);
  void (*mimn_unpack)(const Mimn&, const void* packed, const void* sums, const MimnGradients&);

  int64_t (*hpmn_packed_bytes)(const Hpmn&);  // only for a backward pass; the forward pass reads the weights directly
  void (*hpmn_pack)(const Hpmn&, void* packed);
  int64_t (*hpmn_scratch_bytes)(const Hpmn&, bool backward, int64_t every);
  void (*hpmn_forward)(const Hpmn&, const Block&, void* scratch, const HpmnForward&);
  int64_t (*hpmn_sum_values)(const Hpmn&);
  void (*hpmn_backward)(const Hpmn&, const void* packed, const Block&, void* scratch, const HpmnBackward&, void* sums);
  void (*hpmn_unpack)(const Hpmn&, const void* sums, const HpmnGradients&);

  // Adds the sums of all groups to those of the first group, in order, for values [begin, end) of each.
  void (*add_groups)(Dtype, void* sums, int64_t groups, int64_t values, int64_t begin, int64_t end);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::memory
