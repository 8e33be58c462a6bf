// Lookups in a trie outside of beam search: node of a SID, position of an item, items below a node. Does not depend on
// torch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "common/indices.h"
#include "trie/trie.h"

namespace recops::trie {

// Returns the node of the tokens sids[begin, begin + length), or −1. O(length · log of the branching factor).
inline int64_t find_node(const Trie& trie, const Indices& sids, int64_t begin, int64_t length) {
  int64_t node = 0;
  for (int64_t i = begin; i < begin + length; ++i) {
    auto [low, end] = children_of(trie, node);
    for (int64_t high = end; low < high;) {
      const int64_t middle = low + (high - low) / 2;
      if (token_of(trie, middle) < sids[i])
        low = middle + 1;
      else
        high = middle;
    }
    if (low == end || token_of(trie, low) != sids[i]) return -1;
    node = low;
  }
  return node;
}

// Writes the tokens on the path to a leaf to sid [depth]. O(depth · log num_nodes).
inline void sid_of(const Trie& trie, int64_t leaf, int32_t* sid) {
  int64_t node = leaf;
  for (int64_t level = trie.depth; level > 0; --level) {
    sid[level - 1] = static_cast<int32_t>(token_of(trie, node));
    const int64_t first = trie.level_starts[level - 1];
    const int32_t *begin = trie.first_child + first, *end = trie.first_child + trie.level_starts[level];
    node = std::max(std::upper_bound(begin, end, node) - trie.first_child - 1, first);
  }
}

// Item ids by position, and positions in ascending order of ids.
struct Items {
  const int64_t* ids;    // [count]
  const int32_t* order;  // [count]
  int64_t count;

  // Returns the position of an item: −1 if there is none, kBadOrder if `order` contains an invalid position. O(log
  // count).
  static constexpr int64_t kBadOrder = -2;
  int64_t position(int64_t id) const {
    int64_t first = 0;
    for (int64_t end = count; first < end;) {
      const int64_t middle = first + (end - first) / 2;
      if (!holds(order[middle])) return kBadOrder;
      if (ids[order[middle]] < id)
        first = middle + 1;
      else
        end = middle;
    }
    if (first == count) return -1;
    if (!holds(order[first])) return kBadOrder;
    return ids[order[first]] == id ? order[first] : -1;
  }
  bool holds(int64_t position) const { return 0 <= position && position < count; }
};

// Packs a mask with only `positions` set (keep) or only `positions` cleared (not keep). Positions of −1 are skipped.
inline void pack_mask(const int64_t* positions, int64_t count, bool keep, int64_t num_items, uint64_t* words) {
  const int64_t full = num_items / 64;
  std::memset(words, keep ? 0 : 0xff, static_cast<size_t>(full) * sizeof(uint64_t));
  if (num_items % 64 != 0) words[full] = keep ? 0 : (uint64_t{1} << (num_items % 64)) - 1;
  for (int64_t i = 0; i < count; ++i) {
    if (positions[i] < 0) continue;
    const uint64_t bit = uint64_t{1} << (positions[i] % 64);
    uint64_t& word = words[positions[i] / 64];
    word = keep ? word | bit : word & ~bit;
  }
}

// Writes the first `places` allowed items of the given leaves, which come best first. Items of a leaf are ordered by
// descending prior[item_rows[p]] (if `prior` is not null), then by position. Outputs: item positions, and the index of
// each item's leaf in `leaves`; −1 where no item remains. `scratch` has room for one position per item of the largest
// leaf.
template <class Prior>
void items_of_leaves(const Trie& trie, const int32_t* leaves, int64_t num_leaves, const ItemFilter& filter,
                     const Prior* prior, const int32_t* item_rows, int64_t places, int64_t* positions, int32_t* of,
                     int64_t* scratch) {
  int64_t taken = 0;
  for (int64_t i = 0; i < num_leaves && taken < places; ++i) {
    if (leaves[i] < 0) continue;
    const Interval items = items_below(trie, {leaves[i], leaves[i] + 1}, trie.depth);
    int64_t count = 0;
    for (int64_t p = items.begin; p < items.end; ++p)
      if (allows_all(filter) || allows_any(filter, {p, p + 1})) scratch[count++] = p;
    const int64_t wanted = std::min(count, places - taken);
    if (prior != nullptr) {
      for (int64_t j = 0; j < count; ++j) {
        const int64_t row = item_rows[scratch[j]];
        if (row < 0 || row >= trie.num_items)
          throw std::out_of_range("constrained_beam_search: item_rows must be from 0 to " +
                                  std::to_string(trie.num_items - 1) + ", got item_rows[" + std::to_string(scratch[j]) +
                                  "] = " + std::to_string(row));
        if (prior[row] != prior[row])
          throw std::invalid_argument("constrained_beam_search: item_prior must hold no NaN, got item_prior[" +
                                      std::to_string(row) + "] = NaN");
      }
      std::partial_sort(scratch, scratch + wanted, scratch + count, [&](int64_t a, int64_t b) {
        const Prior of_a = prior[item_rows[a]], of_b = prior[item_rows[b]];
        return of_a != of_b ? of_a > of_b : a < b;
      });
    }
    for (int64_t j = 0; j < wanted; ++j, ++taken) {
      positions[taken] = scratch[j];
      of[taken] = static_cast<int32_t>(i);
    }
  }
  std::fill(positions + taken, positions + places, -1);
  std::fill(of + taken, of + places, -1);
}

}  // namespace recops::trie
