// Auxiliary loss on raw pointers: an MLP scores whether an event follows a state; the loss and its gradient.
//
// States and events are float, double or a 16-bit float; everything else has the compute type (double for double, else
// float). All arrays are dense and row-major, and outputs never overlap inputs. Kernels do not allocate, throw or start
// threads. Sums run over cells in order, so results do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"

namespace recops::next_event {

constexpr int64_t kMostHidden = 8;  // limit on the number of hidden layers

// A cell is a state h, the event e⁺ that follows it, and another (drawn) event e⁻. With s the score of a pair, its loss
// is
//   softplus(−s(h, e⁺)) + softplus(s(h, e⁻)), the second term only if e⁻ differs from e⁺ in some value;
//   s(h, e) = w·u_L + b,  u_l = σ(W_l u_{l−1} + b_l),  u_0 = [h, e].
//
// A place is a row of states and events. For example, two histories of 3 and 2 events, padded to 3 places:
//
//   place     0    1    2    3    4    5
//   states    h0   h1   h2   h3   h4   .        cells 0, 1 and 3 are (h0, e1), (h1, e2) and (h3, e4);
//   events    e0   e1   e2   e3   e4   .        each has the drawn event at place drawn[cell]
struct Problem {
  Dtype dtype;            // of states and events
  int64_t width;          // of a state and of an event
  int64_t num_hidden;     // number of hidden layers, at least 1
  const int64_t* hidden;  // widths of the hidden layers
  const void* states;     // [places, width]
  const void* events;     // [places, width]
  const int64_t* cells;   // place of each cell's state; the following event is at the next place
  const int64_t* drawn;   // place of each cell's drawn event
  // Hidden layers: [width, input width] and [width]. Score: [1, last hidden width] and [1].
  const void* weights[kMostHidden + 1];
  const void* biases[kMostHidden + 1];
};

struct Gradients {
  void* states;  // [places, width]: written at the places of cells
  void* events;  // [places, width]: written at the place after each cell's place
  void* drawn;   // [cells, width]: gradient of each cell's drawn event
};

struct Kernels {
  // Memory for packed weights, and scratch for one thread. Both are aligned to 64 bytes.
  int64_t (*packed_bytes)(const Problem&);
  void (*pack)(const Problem&, void* packed);
  int64_t (*scratch_bytes)(const Problem&);
  // Number of values in the sums of the parameter gradients.
  int64_t (*sum_values)(const Problem&);

  // Returns the loss of cells [begin, end). Unless `to` is null, also writes their gradients and adds parameter
  // gradients to `sums`.
  double (*run)(const Problem&, const void* packed, int64_t begin, int64_t end, void* scratch, const Gradients* to,
                void* sums);
  // Adds the gradients of drawn events at places [begin, end) to `events`, in order of cells.
  void (*add_drawn)(const Problem&, int64_t cells, const Gradients&, int64_t begin, int64_t end);
  // Adds the sums of all groups to the first, in order, and writes them in parameter order: W_1, b_1, …, w, b.
  void (*finish)(const Problem&, void* sums, int64_t groups, void* parameters);
  // to = factor · values for elements [begin, end); `factor` is one value.
  void (*scale)(Dtype, const void* factor, const void* values, int64_t begin, int64_t end, void* to);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::next_event
