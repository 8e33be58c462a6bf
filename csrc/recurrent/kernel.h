// Gated recurrent scans on raw pointers: what is computed, on which layout, in which order.
//
// The input is float, double or a 16-bit float; everything else is of the compute type (double for double, else float).
// All arrays are dense and row-major, gates stand in the order r, z, n, and outputs never overlap inputs. No kernel
// allocates, throws or starts a thread. A row's results depend on that row alone, and sums over rows and steps run in
// an order that the lengths alone decide, so that no bit depends on threads.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::recurrent {

// Rows that are scanned together, one step of all before the next.
constexpr int64_t kBlockRows = 16;

// What tells the cells apart: the weight of the candidate, k = base + base_attention·a + (slope + slope_attention·a)·z,
// in h' = h + k·(n − h). z is the update gate, the old state's weight in a GRU, whose k is 1 − z.
struct Mix {
  double base, base_attention, slope, slope_attention;
};

// One step of a row with state h:
//   r = σ(g_r + W_r h + b_r),  z = σ(g_z + W_z h + b_z)
//   n = tanh(g_n + r·(W_n h + b_n)), or with reset_before tanh(g_n + W_n (r·h) + b_n)
// where the gates g are the input itself, or where it is projected W_ih x + b_ih.
struct Scan {
  Dtype dtype;  // of input and outputs
  bool reset_before;
  Mix mix;
  int64_t steps, hidden;
  bool projected;         // whether the input is x, else it is the gates
  int64_t inputs;         // the width of x
  const void* input;      // [sources, steps, inputs or 3·hidden]
  const void* w_ih;       // [3·hidden, inputs]
  const void* w_hh;       // [3·hidden, hidden]
  const void* b_ih;       // [3·hidden], or null for zeros
  const void* b_hh;       // [3·hidden], or null for zeros
  const void* h0;         // [rows, hidden], or null for zeros
  const void* attention;  // [rows, steps], or null for ones
};

// Up to kBlockRows rows, by descending length: of the row rows[i], lengths[i] steps of the input row sources[i] count.
// `first` rows are in the blocks before it.
struct Block {
  int64_t first;
  const int64_t* rows;
  const int64_t* sources;
  const int64_t* lengths;
  int64_t count;
};

// What a forward pass keeps for the backward pass.
enum class Keep {
  nothing,
  states,  // the new state of every step, where outputs are rounded to 16 bits
  gates,   // r, z, n and q = W_n h + b_n; without q where the reset comes before
};

struct Forward {
  Keep keep;
  void* outputs;  // [rows, steps, hidden] of the input's dtype: the new states; zero past a row's length
  void* h_last;   // [rows, hidden]
  void* kept;     // [rows, steps, hidden or gates · hidden] values: block after block [steps, the block's rows, …], as
                  // the backward pass reads them; unwritten past a row's length
};

struct Backward {
  Keep keep;                 // what `kept` holds
  const void* kept;          // without gates they are computed again
  const void* outputs;       // [rows, steps, hidden]; where no states are kept they are the states
  const void* grad_outputs;  // [rows, steps, hidden] of the input's dtype, or null for zeros
  const void* grad_h_last;   // [rows, hidden], or null for zeros
  bool shared;               // several rows may have one source: grad_input holds numbers already, and is added to
  void* grad_input;          // [sources, steps, inputs or 3·hidden]; zero past a row's length
  void* grad_h0;             // [rows, hidden]
  void* grad_attention;      // [rows, steps], zero past a row's length; null without attention
};

// The gradients of the parameters, w_ih's and b_ih's null without them.
struct ParameterGradients {
  void* w_ih;
  void* w_hh;
  void* b_ih;
  void* b_hh;
};

struct Kernels {
  // The weights, laid out for the pass; scratch for one thread. Both are aligned to 64 bytes.
  int64_t (*packed_bytes)(const Scan&, bool backward);
  void (*pack)(const Scan&, bool backward, void* packed);
  int64_t (*scratch_bytes)(const Scan&, bool backward);

  void (*forward)(const Scan&, const void* packed, const Block&, void* scratch, const Forward&);

  // The gradients of parameters are summed by groups of blocks. `sums` of one group is sum_values long and starts as
  // zeros; the blocks of a group add to it in their order.
  int64_t (*sum_values)(const Scan&);
  void (*backward)(const Scan&, const void* packed, const Block&, void* scratch, const Backward&, void* sums);
  // Adds the sums of all groups to those of the first, in order: values begin up to end of each.
  void (*add_groups)(const Scan&, void* sums, int64_t groups, int64_t begin, int64_t end);
  void (*unpack)(const Scan&, const void* sums, const ParameterGradients&);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::recurrent
