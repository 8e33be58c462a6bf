// Launchers of the CUDA kernels for memory networks. Free of torch: raw pointers, sizes and a stream.
//
// A launcher enqueues its kernels on the stream and returns cudaError_t as an int. It does not wait, allocate or read
// device memory, so it can be captured in a graph. The caller provides workspace, whose content may be anything.
//
// All pointers in the structs of kernel.h are to device memory here. Scans, reads and streams run the same kernel,
// which treats users independently of each other: streaming in any division gives the bits of a scan.
//
// Checkpoints of MIMN are [checkpoints, rows, values of a row] here, as in the composites.
//
// Kernels cannot throw. In a batch, a row with a length or count out of range gets NaN as its results, and adds nothing
// to the gradients of weights. A read of a row outside the pool is NaN. Events of such rows have no effect.
#pragma once

#include <cstdint>

#include "memory/kernel.h"

namespace recops::memory::cuda {

// Larger sizes need the composite.
constexpr int64_t kMostWidth = 128, kMostSlots = 32, kMostLayers = 16;
constexpr int64_t kMostRows = 1 << 24, kMostSteps = 1 << 20, kMostEvents = 1 << 30;

// Rows of a batch.
struct Batch {
  int64_t count, steps;
  const int64_t* lengths;  // [count]; null: all steps
};

// Events of a pool of users, sorted by row. Those of a row keep their order.
struct Events {
  int64_t count, pool;
  const int64_t* sorted_rows;  // [count], ascending
  const int64_t* order;        // [count]: the input of each
};

// Candidates that read a row of a pool each.
struct Candidates {
  int64_t count, pool;
  const int64_t* rows;  // [count]
};

// Whether the kernels support these sizes and this dtype on the current device.
bool supports(const Mimn&);
bool supports(const Hpmn&);
bool supports(const Batch&);
bool supports(const Events&);
bool supports(const Candidates&);

// Also writes outputs past the lengths, with zeros.
int64_t mimn_workspace_bytes(const Mimn&);
int mimn_scan(const Mimn&, const Batch&, const MimnForward&, void* workspace, void* stream);

// All gradients are written. Values of `kept` of rows that have ended are not read.
bool supports_backward(const Mimn&);
int64_t mimn_backward_workspace_bytes(const Mimn&, const Batch&, int64_t every);
int mimn_scan_backward(const Mimn&, const Batch&, const MimnBackward&, const MimnGradients&, void* workspace,
                       void* stream);

// Advances the state of each candidate's row by one step, without a change of `from` [pool]; `to` is [candidates].
int mimn_read(const Mimn&, const Candidates&, const MimnForward&, void* workspace, void* stream);

int64_t mimn_step_workspace_bytes(const Mimn&, const Events&);
// Updates the states and counts [pool] in place.
int mimn_step(const Mimn&, const Events&, const void* x, const MimnRows& states, int64_t* counts, void* workspace,
              void* stream);

int64_t hpmn_workspace_bytes(const Hpmn&);
int hpmn_scan(const Hpmn&, const Batch&, const HpmnForward&, void* workspace, void* stream);

// All gradients are written. Values of `kept` of rows that have ended are not read.
int64_t hpmn_backward_workspace_bytes(const Hpmn&, const Batch&, int64_t every);
int hpmn_scan_backward(const Hpmn&, const Batch&, const HpmnBackward&, const HpmnGradients&, void* workspace,
                       void* stream);

int64_t hpmn_step_workspace_bytes(const Hpmn&, const Events&);
// Updates memory [pool, layers, H] and counts [pool] in place.
int hpmn_step(const Hpmn&, const Events&, const void* x, void* memory, int64_t* counts, void* workspace, void* stream);

}  // namespace recops::memory::cuda
