// Launchers of the CUDA kernels for recurrent scans. Free of torch: raw pointers, sizes and a stream.
//
// A launcher enqueues its kernels on the stream and returns cudaError_t as an int. It does not wait, allocate or read
// device memory, so it can be captured in a graph. The caller provides workspace, whose content may be anything.
//
// All pointers in the structs of kernel.h are to device memory here. `kept` is [rows, steps, values of a row]. Sums run
// in an order that depends only on the number of rows. Padding past the lengths changes no bit.
//
// Kernels cannot throw. A row with a length or a source out of range becomes NaN: its outputs, last state and
// gradients. It adds nothing to the gradients of weights and shared gates.
#pragma once

#include <cstdint>

#include "recurrent/kernel.h"

namespace recops::recurrent::cuda {

// Larger sizes need the composite.
constexpr int64_t kMostHidden = 256, kMostInputs = 1 << 20;
constexpr int64_t kMostRows = 1 << 24, kMostSteps = 1 << 20;

// Rows of a batch, in device memory.
struct Rows {
  int64_t count, sources;
  const int64_t* lengths;      // [sources]; null: all steps
  const int64_t* gates_index;  // [count], the source of each row; null: row i has source i
};

// Whether the kernels support a scan of these sizes.
bool supports(const Scan&, const Rows&);

int64_t forward_workspace_bytes(const Scan&, const Rows&);
int forward(const Scan&, const Rows&, const Forward&, void* workspace, void* stream);

// Rows by ascending source, in device memory. Needed only if Backward::shared; rows of one source are in ascending
// order.
struct SharedRows {
  const int64_t* sorted_sources;  // [count]
  const int64_t* order;           // [count]: the row of each
};

// All gradients are written, also those of shared gates.
int64_t backward_workspace_bytes(const Scan&, const Rows&, const Backward&);
int backward(const Scan&, const Rows&, const SharedRows&, const Backward&, const ParameterGradients&, void* workspace,
             void* stream);

}  // namespace recops::recurrent::cuda
