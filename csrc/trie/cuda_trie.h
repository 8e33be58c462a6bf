// Lookups in a trie in device memory. The functions of trie.h, with bounds-checked pointers and 32-bit numbers.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "trie/cuda.h"

namespace recops::trie::cuda {

struct Range {
  int begin, end;
  __device__ int count() const { return end - begin; }
};

// The last number of the range with a property that all earlier ones have too, or range.begin − 1. A warp divides the
// range by 32 in each step.
template <class Property>
__device__ int last_with_warp(Range range, int lane, const Property& has_property) {
  int begin = range.begin, end = range.end;
  while (end - begin > kWarpSize) {
    const int step = (end - begin + kWarpSize - 1) / kWarpSize, probe = begin + lane * step;
    const int count = __popc(__ballot_sync(kFullWarp, probe < end && has_property(probe)));
    if (count == 0) return range.begin - 1;
    begin += (count - 1) * step;
    end = begin + step < end ? begin + step : end;
  }
  const int probe = begin + lane;
  return begin + __popc(__ballot_sync(kFullWarp, probe < end && has_property(probe))) - 1;
}

struct DeviceTrie {
  DevicePointer<const int32_t> first_child;
  DevicePointer<const uint16_t> narrow_tokens;  // null if tokens are int32
  DevicePointer<const int32_t> wide_tokens;
  DevicePointer<const int64_t> stamp;
  DevicePointer<const uint64_t> mask;  // null: every item is allowed
  DevicePointer<const int64_t> mask_stamp;
  int mask_words;
  bool mask_per_row;
  int num_nodes;

  __device__ int token(int node) const {
    return narrow_tokens == nullptr ? wide_tokens[node] : static_cast<int>(narrow_tokens[node]);
  }

  // Children of a node; empty for a leaf. `is_consistent` becomes false if the array holds no interval of nodes.
  __device__ Range children(int node, bool& is_consistent) const {
    const int begin = first_child[node], end = first_child[node + 1];
    if (begin >= num_nodes) return {0, 0};
    if (begin < 0 || end < begin || end > num_nodes) {
      is_consistent = false;
      return {0, 0};
    }
    return {begin, end};
  }

  // The child with the token, or −1.
  __device__ int find_child(Range children, int wanted) const {
    int low = children.begin, high = children.end;
    while (low < high) {
      const int middle = low + (high - low) / 2;
      if (token(middle) < wanted)
        low = middle + 1;
      else
        high = middle;
    }
    return low < children.end && token(low) == wanted ? low : -1;
  }

  // find_child by a warp.
  __device__ int find_child_with_warp(Range children, int wanted, int lane) const {
    const int child = last_with_warp(children, lane, [&](int node) { return token(node) <= wanted; });
    return child >= children.begin && token(child) == wanted ? child : -1;
  }

  // The node whose child a node is, by a warp. first_child ascends.
  __device__ int parent_with_warp(int node, int lane) const {
    const int parent = last_with_warp({0, num_nodes}, lane, [&](int other) { return first_child[other] <= node; });
    return parent < 0 ? 0 : parent;
  }

  __device__ int num_items() const { return first_child[num_nodes] - num_nodes; }

  // Item positions below a node. Inconsistent arrays cause no reads outside them and no endless loop.
  __device__ Range items_below(int node, int depth, int num_items) const {
    int begin = node, end = node + 1;
    for (int level = 0; level <= depth && begin < num_nodes; ++level) {
      begin = first_child[begin < 0 ? 0 : begin];
      end = first_child[end < 0 ? 0 : end > num_nodes ? num_nodes : end];
    }
    begin = clamp(begin - num_nodes, 0, num_items);
    return {begin, clamp(end - num_nodes, begin, num_items)};
  }

  // items_below for a node whose arrays may be inconsistent, which makes `is_consistent` false.
  __device__ Range items_below(int node, int depth, int num_items, bool& is_consistent) const {
    int begin = node, end = node + 1;
    for (int level = 0; level <= depth && begin < num_nodes; ++level) {
      const int next = first_child[begin], last = first_child[end];
      if (next <= begin || last < next || (next < num_nodes && last > num_nodes)) {
        is_consistent = false;
        return {0, 0};
      }
      begin = next;
      end = last;
    }
    if (begin < num_nodes || end - num_nodes > num_items) {
      is_consistent = false;
      return {0, 0};
    }
    return {begin - num_nodes, end - num_nodes};
  }

 private:
  __device__ static int clamp(int value, int least, int most) {
    return value < least ? least : value > most ? most : value;
  }
};

inline DeviceTrie device_trie(const TrieArrays& trie, int64_t batch) {
  const auto* narrow = trie.wide_tokens ? nullptr : static_cast<const uint16_t*>(trie.tokens);
  const auto* wide = trie.wide_tokens ? static_cast<const int32_t*>(trie.tokens) : nullptr;
  return {device_pointer(trie.first_child, trie.num_nodes + 1),
          device_pointer(narrow, trie.num_nodes),
          device_pointer(wide, trie.num_nodes),
          device_pointer(trie.stamp, 1),
          device_pointer(trie.mask, trie.mask_words * (trie.mask_per_row ? batch : 1)),
          device_pointer(trie.mask_stamp, 1),
          static_cast<int>(trie.mask_words),
          trie.mask_per_row,
          static_cast<int>(trie.num_nodes)};
}

// Items that a row may recommend (ItemFilter).
struct DeviceFilter {
  DevicePointer<const uint64_t> mask;  // words of the row; null: every item is allowed
  DevicePointer<const int32_t> bans;   // positions
  Range banned;                        // the row's entries of `bans`

  __device__ bool allows_all() const { return mask == nullptr && banned.begin == banned.end; }

  // Allowed items of the interval, but at most `most`.
  __device__ int count(Range items, int most) const {
    if (allows_all()) return items.count() < most ? items.count() : most;
    int total = 0;
    for (int word = items.begin / 64; word * 64 < items.end && total < most; ++word)
      total += __popcll(allowed_bits(word, items));
    return total < most ? total : most;
  }

  // The allowed item of a rank that is below their count.
  __device__ int select(Range items, int rank) const {
    if (allows_all()) return items.begin + rank;
    for (int word = items.begin / 64; word * 64 < items.end; ++word) {
      uint64_t bits = allowed_bits(word, items);
      const int count = __popcll(bits);
      if (rank < count) {
        for (; rank > 0; --rank) bits &= bits - 1;
        return word * 64 + __popcll((bits & -bits) - 1);
      }
      rank -= count;
    }
    return items.begin;
  }

  __device__ bool allows_any(Range items) const {
    int ban = first_ban_from(items.begin);
    for (; ban != banned.end && bans[ban] < items.end; ++ban) {
      const int position = bans[ban];
      if (position < items.begin) continue;  // repetitions; also keeps unsorted bans in bounds
      if (mask_allows_any({items.begin, position})) return true;
      items.begin = position + 1;
    }
    return mask_allows_any(items);
  }

 private:
  // Allowed items of the interval among those of a word of the mask.
  __device__ uint64_t allowed_bits(int word, Range items) const {
    const int first = word * 64;
    uint64_t bits = mask == nullptr ? ~uint64_t{0} : mask[word];
    if (items.begin > first) bits &= ~uint64_t{0} << (items.begin - first);
    if (items.end < first + 64) bits &= ~uint64_t{0} >> (first + 64 - items.end);
    for (int ban = first_ban_from(first); ban != banned.end && bans[ban] < first + 64; ++ban)
      if (bans[ban] >= first) bits &= ~(uint64_t{1} << (bans[ban] - first));
    return bits;
  }

  __device__ int first_ban_from(int position) const {
    int begin = banned.begin, end = banned.end;
    while (begin < end) {
      const int middle = begin + (end - begin) / 2;
      if (bans[middle] < position)
        begin = middle + 1;
      else
        end = middle;
    }
    return begin;
  }

  __device__ bool mask_allows_any(Range items) const {
    if (items.begin >= items.end) return false;
    if (mask == nullptr) return true;
    const int first = items.begin / 64, last = (items.end - 1) / 64;
    const uint64_t head = ~uint64_t{0} << (items.begin % 64), tail = ~uint64_t{0} >> (63 - (items.end - 1) % 64);
    if (first == last) return (mask[first] & head & tail) != 0;
    if ((mask[first] & head) != 0) return true;
    for (int word = first + 1; word < last; ++word)
      if (mask[word] != 0) return true;
    return (mask[last] & tail) != 0;
  }
};

}  // namespace recops::trie::cuda
