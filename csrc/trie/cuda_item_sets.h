// Kernels that turn item ids into the bits of masks and into sorted positions of bans.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "trie/cuda_items.h"
#include "trie/cuda_lookups.h"

namespace recops::trie::cuda {

constexpr int kSetThreads = 256;
constexpr int kMostSharedBans = 8192;  // of a row that is sorted in shared memory

// Item ids of a trie, and positions in ascending order of ids (Items of lookup.h).
struct IdIndex {
  DevicePointer<const int64_t> ids;
  DevicePointer<const int32_t> order;
  int count;

  // Position of an id, or −1. `is_good` becomes false if `order` holds no position.
  __device__ int position(int64_t id, bool& is_good) const {
    int low = 0, high = count;
    while (low < high) {
      const int middle = low + (high - low) / 2, position = order[middle];
      if (position < 0 || position >= count) {
        is_good = false;
        return -1;
      }
      if (ids[position] < id)
        low = middle + 1;
      else
        high = middle;
    }
    if (low == count) return -1;
    const int position = order[low];
    is_good &= 0 <= position && position < count;
    return is_good && ids[position] == id ? position : -1;
  }
};

// Ids of rows, one row after another.
struct RaggedIds {
  DevicePointer<const int64_t> ids;      // [count]
  DevicePointer<const int64_t> offsets;  // [rows + 1]
  int64_t count, rows;

  // Whether offset i fits the one before.
  __device__ bool is_offset_good(int64_t i) const {
    return (i == 0 ? offsets[0] == 0 : offsets[i - 1] <= offsets[i]) && (i < rows || offsets[rows] == count);
  }
};

struct MaskArguments {
  IdIndex index;
  RaggedIds ids;
  bool keep, missing_ok;
  DevicePointer<uint32_t> words;  // [rows, width]: halves of the words of a mask
  int64_t width;
  DevicePointer<Report> report;
};

// Allows no item, or all.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) fill_masks(const __grid_constant__ MaskArguments a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= a.ids.rows * a.width) return;
  const int64_t left = a.index.count - i % a.width * 32;
  a.words[i] = a.keep || left <= 0 ? 0u : left >= 32 ? ~0u : (1u << left) - 1;
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) mark_items(const __grid_constant__ MaskArguments a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  bool is_good = i > a.ids.rows || a.ids.is_offset_good(i);
  if (i < a.ids.count && a.ids.rows > 0) {
    const int position = a.index.position(a.ids.ids[i], is_good);
    is_good &= position >= 0 || a.missing_ok;
    if (position >= 0) {
      const int64_t row = row_of_entry(a.ids.offsets, 0, a.ids.rows - 1, i);
      const uint32_t bit = 1u << (position % 32);
      if (a.keep)
        atomicOr(&a.words[row * a.width + position / 32], bit);
      else
        atomicAnd(&a.words[row * a.width + position / 32], ~bit);
    }
  }
  if (!is_good) a.report[0].is_wrong = 1;
}

struct BanArguments {
  IdIndex tries[kMostTries];
  int num_tries;
  DeviceIntegers trie_index;
  RaggedIds ids;
  DevicePointer<int32_t> positions;  // [count]
  DevicePointer<Report> report;
};

// Sorts values in ascending order with a block. Bitonic, for any count: values past the end would be the largest.
template <int kThreads>
__device__ void sort_with_block(DevicePointer<int32_t> values, int64_t count) {
  int64_t size = 1;
  while (size < count) size *= 2;
  const auto order = [&](int64_t low, int64_t high) {
    if (high >= count || values[low] <= values[high]) return;
    const int32_t larger = values[low];
    values[low] = values[high];
    values[high] = larger;
  };
  for (int64_t run = 2; run <= size; run *= 2) {
    // The second half of a run is mirrored, so that all comparisons have one direction.
    for (int64_t i = threadIdx.x; i < size / 2; i += kThreads) {
      const int64_t begin = i / (run / 2) * run, at = i % (run / 2);
      order(begin + at, begin + run - 1 - at);
    }
    __syncthreads();
    for (int64_t distance = run / 4; distance > 0; distance /= 2) {
      for (int64_t i = threadIdx.x; i < size / 2; i += kThreads) {
        const int64_t low = 2 * i - (i & (distance - 1));
        order(low, low + distance);
      }
      __syncthreads();
    }
  }
}

// A block per row.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) find_bans(const __grid_constant__ BanArguments a) {
  RECOPS_DYNAMIC_SHARED(memory);
  const int64_t row = blockIdx.x, trie = a.trie_index.is_null() ? 0 : a.trie_index[row];
  const int64_t begin = a.ids.offsets[row], end = a.ids.offsets[row + 1], count = end - begin;
  bool is_good = a.ids.is_offset_good(row + 1) && a.ids.is_offset_good(row) && 0 <= trie && trie < a.num_tries &&
                 0 <= begin && end <= a.ids.count;
  if (!is_good) {
    if (threadIdx.x == 0) a.report[0].is_wrong = 1;
    return;
  }
  const bool is_shared = count <= kMostSharedBans;
  const DevicePointer<int32_t> row_positions = a.positions + begin;
  const DevicePointer<int32_t> values = is_shared ? shared_array<int32_t>(memory, 0, count) : row_positions;
  for (int64_t i = threadIdx.x; i < count; i += kThreads)
    values[i] = a.tries[trie].position(a.ids.ids[begin + i], is_good);
  if (!is_good) a.report[0].is_wrong = 1;
  __syncthreads();
  sort_with_block<kThreads>(values, count);
  if (!is_shared) return;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) row_positions[i] = values[i];
}

}  // namespace recops::trie::cuda
