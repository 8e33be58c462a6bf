// Inputs of a decoding batch in CUDA kernels: the trie of each row, and the items that it may recommend.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "trie/cuda.h"
#include "trie/cuda_trie.h"

namespace recops::trie::cuda {

struct BatchArguments {
  DeviceTrie tries[kMostTries];
  int num_tries, depth;
  DeviceIntegers trie_index;
  DevicePointer<const int32_t> bans;
  DevicePointer<const int64_t> ban_offsets, ban_stamps;  // null: no bans
  int64_t num_bans;
};

// What all beams of a row of the batch share.
struct RowContext {
  int trie;  // index of its trie
  int num_items;
  Range banned;
  bool is_wrong;
};

__device__ inline RowContext read_row(const BatchArguments& a, int b) {
  RowContext row{0, 0, {0, 0}, false};
  const int64_t index = a.trie_index.is_null() ? 0 : a.trie_index[b];
  row.is_wrong = index < 0 || index >= a.num_tries;
  row.trie = row.is_wrong ? 0 : static_cast<int>(index);
  const DeviceTrie& trie = a.tries[row.trie];
  row.num_items = trie.num_items();
  row.is_wrong |= row.num_items < 0;
  if (!(trie.mask == nullptr))
    row.is_wrong |= trie.mask_words != (row.num_items + 63) / 64 || trie.mask_stamp[0] != trie.stamp[0];
  if (!(a.ban_offsets == nullptr)) {
    const int64_t begin = a.ban_offsets[b], end = a.ban_offsets[b + 1];
    row.is_wrong |= begin < 0 || end < begin || end > a.num_bans || a.ban_stamps[row.trie] != trie.stamp[0];
    if (!row.is_wrong) row.banned = {static_cast<int>(begin), static_cast<int>(end)};
  }
  return row;
}

// Items that row b may recommend.
__device__ inline DeviceFilter filter_of(const BatchArguments& a, const RowContext& row, int b) {
  const DeviceTrie& trie = a.tries[row.trie];
  DeviceFilter filter;
  filter.mask = trie.mask == nullptr || !trie.mask_per_row ? trie.mask : trie.mask + int64_t{b} * trie.mask_words;
  filter.bans = a.bans;
  filter.banned = row.banned;
  return filter;
}

}  // namespace recops::trie::cuda
