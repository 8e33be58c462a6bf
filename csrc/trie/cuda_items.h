// Kernels of the items below nodes.
//
// count_items finds the interval of positions of each node, and sums their sizes per tile of nodes. After sum_tiles,
// write_offsets sums them within each tile. copy_items then copies the ids, a thread per item, so that a node with many
// items does not delay the others.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "common/device_prefix_sums.h"
#include "trie/cuda_lookups.h"
#include "trie/cuda_trie.h"

namespace recops::trie::cuda {

constexpr int kItemThreads = 256;  // also the nodes of a tile
constexpr int kItemsPerBlock = 4 * kItemThreads;

struct ItemsArguments {
  DeviceTrie trie;
  int depth, num_items;
  DeviceIntegers nodes;
  int64_t count;
  DevicePointer<int64_t> offsets;     // [count + 1]
  DevicePointer<int64_t> tile_sums;   // [tiles]
  DevicePointer<int32_t> first_item;  // [count]: position
  DevicePointer<Report> report;
};

// Items below a node. `is_good` becomes false for a node that does not exist, and for inconsistent arrays.
__device__ inline Range checked_items(const ItemsArguments& a, int64_t node, bool& is_good) {
  is_good &= a.trie.num_items() == a.num_items && -1 <= node && node < a.trie.num_nodes;
  if (!is_good || node < 0) return {0, 0};
  return a.trie.items_below(static_cast<int>(node), a.depth, a.num_items, is_good);
}

__global__ void __launch_bounds__(kItemThreads) count_items(const __grid_constant__ ItemsArguments a) {
  using Sums = WarpSums<int64_t, kItemThreads>;
  RECOPS_SHARED(Sums, shared);
  const int64_t i = int64_t{blockIdx.x} * kItemThreads + threadIdx.x;
  bool is_good = true;
  int64_t total = 0;
  Range items{0, 0};
  if (i < a.count) {
    items = checked_items(a, a.nodes[i], is_good);
    a.first_item[i] = items.begin;
    a.offsets[i + 1] = items.count();
  }
  exclusive_sum<int64_t, kItemThreads>(items.count(), shared, total);
  const bool has_error = __syncthreads_or(!is_good);
  if (threadIdx.x == 0) {
    a.tile_sums[blockIdx.x] = total;
    if (has_error) a.report[0].is_wrong = 1;
  }
}

__global__ void __launch_bounds__(kItemThreads) write_offsets(const __grid_constant__ ItemsArguments a) {
  using Sums = WarpSums<int64_t, kItemThreads>;
  RECOPS_SHARED(Sums, shared);
  const int64_t i = int64_t{blockIdx.x} * kItemThreads + threadIdx.x;
  const int64_t size = i < a.count ? a.offsets[i + 1] : 0;
  int64_t total;
  const int64_t end = a.tile_sums[blockIdx.x] + exclusive_sum<int64_t, kItemThreads>(size, shared, total) + size;
  if (i < a.count) a.offsets[i + 1] = end;
  if (i == 0) a.offsets[0] = 0;
  if (i == a.count - 1) a.report[0].total = end;
}

// The last of the rows [low, high] that starts at the entry or before it. Their first row does.
__device__ inline int64_t row_of_entry(DevicePointer<const int64_t> offsets, int64_t low, int64_t high, int64_t entry) {
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (offsets[middle] <= entry)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

struct CopyArguments {
  DevicePointer<const int64_t> offsets, item_ids;
  DevicePointer<const int32_t> first_item;
  DevicePointer<int64_t> items;  // [total]
  int64_t count, total;
};

__global__ void __launch_bounds__(kItemThreads) copy_items(const __grid_constant__ CopyArguments a) {
  struct Rows {
    int64_t first, last;
  };
  RECOPS_SHARED(Rows, rows);
  const int64_t begin = int64_t{blockIdx.x} * kItemsPerBlock;
  const int64_t end = begin + kItemsPerBlock < a.total ? begin + kItemsPerBlock : a.total;
  if (threadIdx.x == 0) rows.first = row_of_entry(a.offsets, 0, a.count - 1, begin);
  if (threadIdx.x == kWarpSize) rows.last = row_of_entry(a.offsets, 0, a.count - 1, end - 1);
  __syncthreads();
  for (int64_t i = begin + threadIdx.x; i < end; i += kItemThreads) {
    const int64_t row = row_of_entry(a.offsets, rows.first, rows.last, i);
    a.items[i] = a.item_ids[a.first_item[row] + (i - a.offsets[row])];
  }
}

}  // namespace recops::trie::cuda
