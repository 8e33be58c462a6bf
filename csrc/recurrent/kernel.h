// Gated recurrent scans on raw pointers: results, layouts and order of operations.
//
// The input is float, double or a 16-bit float; everything else has the compute type (double for double, else float).
// All arrays are dense and row-major, and outputs never overlap inputs. Vectors of 3·hidden values hold the gates in
// the order r, z, n:
//
//   gates, b_ih, b_hh:    r [hidden] | z [hidden] | n [hidden]
//   w_ih, w_hh:           rows of r  | rows of z  | rows of n
//
// Kernels do not allocate, throw or start threads. A row's results depend only on that row. Sums over rows and steps
// run in an order that depends only on the lengths, not on the number of threads.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::recurrent {

// Rows that are scanned together; all of them take a step before the next step.
constexpr int64_t kBlockRows = 16;

// Difference between the cell types: the weight k of the candidate, with attention a, in
//   h' = h + k·(n − h),  k = base + base_attention·a + (slope + slope_attention·a)·z.
// z is the update gate, the weight of the old state in a GRU, whose k is 1 − z.
struct Mix {
  double base, base_attention, slope, slope_attention;
};

// One step of a row with state h:
//   r = σ(g_r + W_r h + b_r),  z = σ(g_z + W_z h + b_z);
//   n = tanh(g_n + r·(W_n h + b_n)), or with reset_before tanh(g_n + W_n (r·h) + b_n).
// The gates g are the input itself, or W_ih x + b_ih if the input is projected.
struct Scan {
  Dtype dtype;  // of input and outputs
  bool reset_before;
  Mix mix;
  int64_t steps, hidden;
  bool projected;         // true: the input is x; false: it is the gates
  int64_t inputs;         // the width of x
  const void* input;      // [sources, steps, inputs or 3·hidden]
  const void* w_ih;       // [3·hidden, inputs]
  const void* w_hh;       // [3·hidden, hidden]
  const void* b_ih;       // [3·hidden], or null for zeros
  const void* b_hh;       // [3·hidden], or null for zeros
  const void* h0;         // [rows, hidden], or null for zeros
  const void* attention;  // [rows, steps], or null for ones
};

// Up to kBlockRows rows, by descending length. Row rows[i] takes the first lengths[i] steps of input row sources[i].
// The earlier blocks contain `first` rows. The rows with a step t are the first ones of the block:
//
//   step            0   1   2   3
//   row rows[0]     •   •   •   •       lengths[0] = 4
//   row rows[1]     •   •               lengths[1] = 2
//   row rows[2]     •                   lengths[2] = 1
struct Block {
  int64_t first;
  const int64_t* rows;
  const int64_t* sources;
  const int64_t* lengths;
  int64_t count;
};

// Values that the forward pass stores for the backward pass.
enum class Keep {
  nothing,
  states,  // the new state of every step, needed if outputs are rounded to 16 bits
  gates,   // r, z, n and q = W_n h + b_n; no q with reset_before
};

// Layout of `kept`: blocks follow one another, and each is [steps, rows of the block, values of a row]. The values are
// the state, or the gates:
//
//   step 0:  rows[0]: r [hidden] | z [hidden] | n [hidden] | q [hidden],  rows[1]: r | z | n | q,  …
//   step 1:  rows[0]: r | z | n | q,  …
struct Forward {
  Keep keep;
  void* outputs;  // [rows, steps, hidden] of the input's dtype: the new states; zero past a row's length
  void* h_last;   // [rows, hidden]
  void* kept;     // values past a row's length are not written
};

struct Backward {
  Keep keep;                 // contents of `kept`
  const void* kept;          // if it holds no gates, they are recomputed
  const void* outputs;       // [rows, steps, hidden]; these are the states if `kept` holds none
  const void* grad_outputs;  // [rows, steps, hidden] of the input's dtype, or null for zeros
  const void* grad_h_last;   // [rows, hidden], or null for zeros
  bool shared;               // several rows may have one source: grad_input is initialized by the caller and added to
  void* grad_input;          // [sources, steps, inputs or 3·hidden]; zero past a row's length
  void* grad_h0;             // [rows, hidden]
  void* grad_attention;      // [rows, steps], zero past a row's length; null without attention
};

// Gradients of the parameters; w_ih and b_ih are null if the input is not projected.
struct ParameterGradients {
  void* w_ih;
  void* w_hh;
  void* b_ih;
  void* b_hh;
};

struct Kernels {
  // Memory for weights laid out for a pass, and scratch for one thread. Both are aligned to 64 bytes.
  int64_t (*packed_bytes)(const Scan&, bool backward);
  void (*pack)(const Scan&, bool backward, void* packed);
  int64_t (*scratch_bytes)(const Scan&, bool backward);

  void (*forward)(const Scan&, const void* packed, const Block&, void* scratch, const Forward&);

  // Parameter gradients are summed per group of blocks. `sums` of a group has sum_values values and starts as zeros;
  // the blocks of the group add to it in order.
  int64_t (*sum_values)(const Scan&);
  void (*backward)(const Scan&, const void* packed, const Block&, void* scratch, const Backward&, void* sums);
  // Adds the sums of all groups to those of the first group, in order, for values [begin, end) of each.
  void (*add_groups)(const Scan&, void* sums, int64_t groups, int64_t begin, int64_t end);
  void (*unpack)(const Scan&, const void* sums, const ParameterGradients&);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::recurrent
