// Does a state know the event that follows it? The loss of an MLP that is asked, and its gradient, on raw pointers.
//
// States and events are float, double or a 16-bit float; everything else is of the compute type (double for double,
// else float). All arrays are dense and row-major, and outputs never overlap inputs. No kernel allocates, throws or
// starts a thread. Sums run over cells in their order, so that no bit depends on threads.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::next_event {

constexpr int64_t kMostHidden = 8;  // hidden layers

// A cell is a state h, the event e⁺ after it and another event e⁻. Its loss, s being the score of a pair, is
//   softplus(−s(h, e⁺)) + softplus(s(h, e⁻)), the second term for an e⁻ that differs from e⁺ in any value;
//   s(h, e) = w·u_L + b,  u_l = σ(W_l u_{l−1} + b_l),  u_0 = [h, e].
struct Problem {
  Dtype dtype;            // of states and events
  int64_t width;          // of a state and of an event
  int64_t num_hidden;     // layers, from 1 on
  const int64_t* hidden;  // their widths
  const void* states;     // [places, width]
  const void* events;     // [places, width]
  const int64_t* cells;   // the places of their states; the event that follows is at the place after
  const int64_t* drawn;   // the place of each cell's other event
  // Of the hidden layers, [hidden, what it reads] and [hidden], and of the score, [1, hidden] and [1].
  const void* weights[kMostHidden + 1];
  const void* biases[kMostHidden + 1];
};

struct Gradients {
  void* states;  // [places, width]: written where cells have their states
  void* events;  // [places, width]: written where cells have the event that follows
  void* drawn;   // [cells, width]: of each cell's other event
};

struct Kernels {
  // The weights, laid out for the pass; scratch for one thread. Both are aligned to 64 bytes.
  int64_t (*packed_bytes)(const Problem&);
  void (*pack)(const Problem&, void* packed);
  int64_t (*scratch_bytes)(const Problem&);
  // How many values the sums of the parameters' gradients are.
  int64_t (*sum_values)(const Problem&);

  // The loss of cells begin up to end. Unless `to` is null, it writes their gradients and adds those of the parameters
  // to `sums`.
  double (*run)(const Problem&, const void* packed, int64_t begin, int64_t end, void* scratch, const Gradients* to,
                void* sums);
  // Adds the gradients of drawn events to those of the places begin up to end, cell by cell.
  void (*add_drawn)(const Problem&, int64_t cells, const Gradients&, int64_t begin, int64_t end);
  // Adds the sums of all groups to those of the first, in order, and writes them as parameters lie: W_1, b_1, …, w, b.
  void (*finish)(const Problem&, void* sums, int64_t groups, void* parameters);
  // to = factor · values from begin up to end; `factor` is one value.
  void (*scale)(Dtype, const void* factor, const void* values, int64_t begin, int64_t end, void* to);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::next_event
