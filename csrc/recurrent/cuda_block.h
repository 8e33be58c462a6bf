// Division of a scan among blocks and threads, and the arguments that its kernels share.
//
// A block takes kRows rows through all steps. Each of its threads computes one unit of the state, for `rows` of the
// rows, the template parameter of all kernels. A block thus has up to 32 · rows units:
//
//   rows 4:   threads 0 … 127 have the units 0 … 127 of rows 0 … 3, threads 128 … 255 those of rows 4 … 7
//
// Threads past the state's width have weights of zero.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_values.h"
#include "recurrent/cuda_gates.h"

namespace recops::recurrent::cuda {

constexpr int kThreads = 256, kRows = 8;

template <int rows>
constexpr int kUnits = kWarpSize * rows;

// Blocks of a scan that a multiprocessor must hold at once. From 4 rows per thread on, weights or registers fill it.
template <int rows>
constexpr int kBlocksAtOnce = rows < 4 ? 3 : 1;

// The unit of the calling thread, and the first of its rows in the block.
template <int rows>
__device__ __forceinline__ int own_unit() {
  return static_cast<int>(threadIdx.x) % kUnits<rows>;
}
template <int rows>
__device__ __forceinline__ int own_rows() {
  return static_cast<int>(threadIdx.x) / kUnits<rows> * rows;
}

struct DeviceRows {
  int64_t count, sources;
  int steps;
  DevicePointer<const int64_t> lengths, gates_index;

  // Length of a row and, if that is not kWrong, its source.
  static constexpr int kWrong = -1;
  __device__ int find(int64_t row, int64_t& source) const {
    source = gates_index == nullptr ? row : gates_index[row];
    if (source < 0 || source >= sources) return kWrong;
    if (lengths == nullptr) return steps;
    const int64_t length = lengths[source];
    return 0 <= length && length <= steps ? static_cast<int>(length) : kWrong;
  }
};

// Rows of a block, in shared memory. The length of a row past the batch is 0.
struct BlockRows {
  int64_t sources[kRows];
  int lengths[kRows];

  // Called by all threads, before a barrier.
  __device__ void find(const DeviceRows& rows, int64_t first) {
    const int i = threadIdx.x;
    if (i >= kRows) return;
    sources[i] = 0;
    lengths[i] = first + i < rows.count ? rows.find(first + i, sources[i]) : 0;
  }

  __device__ int longest() const {
    int most = 0;
    for (int i = 0; i < kRows; ++i) most = lengths[i] > most ? lengths[i] : most;
    return most;
  }
};

struct ScanArguments {
  DeviceRows rows;
  int steps, hidden;
  bool reset_before;
  GateMix mix;
  DeviceValues gates;                    // [sources, steps, 3·hidden]
  DevicePointer<const float> packed;     // weights of the hidden state (cuda_products.h)
  DevicePointer<const float> b_hh;       // [3·hidden], or null for zeros
  DevicePointer<const float> h0;         // [rows, hidden], or null for zeros
  DevicePointer<const float> attention;  // [rows, steps], or null for ones

  __host__ __device__ int num_gates() const { return reset_before ? 3 : 4; }

  // Bits of gate `gate` of a source at a step.
  __device__ uint32_t gate_bits(int64_t source, int t, int gate, int unit) const {
    return gates.bits(((source * steps + t) * 3 + gate) * hidden + unit);
  }

  __device__ float attention_at(int64_t row, int t) const {
    return attention == nullptr ? 1.0f : attention[row * steps + t];
  }

  __device__ float first_state(int64_t row, int unit) const { return h0 == nullptr ? 0.0f : h0[row * hidden + unit]; }
};

}  // namespace recops::recurrent::cuda
