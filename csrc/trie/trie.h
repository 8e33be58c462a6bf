// A trie of semantic IDs (SIDs) as flat arrays in breadth-first order.
//
// Node 0 is the root. Nodes of one level are consecutive, and siblings are consecutive in ascending order of tokens.
// Items form one further level. Item positions follow the order of leaves, and within a leaf the order of insertion;
// item position p counts as "node" num_nodes + p. One array therefore describes the whole structure:
//
//   children of node n            first_child[n] … first_child[n + 1]     (of a leaf: its items)
//   first node of level l + 1     first_child[first node of level l]
//   items below node n            apply first_child to n and to n + 1 until past the leaves
//
// Example: the SIDs (1,0) (1,2) (1,2) (4,0) of items 0 to 3 give 6 nodes, so items start at "node" 6.
//
//                  level 0    level 1        level 2          items
//                  root 0 ─┬─ 1: node 1 ─┬─ 0: node 3 ─── item 0        ("1:" is the token of the edge)
//                          │             └─ 2: node 4 ─── items 1, 2
//                          └─ 4: node 2 ─── 0: node 5 ─── item 3
//
//   node           0   1   2   3   4   5  end
//   tokens         .   1   4   0   2   0
//   first_child    1   3   5   6   7   9   10
//
// The caller must ensure that the arrays are consistent (SidTrie.validate). Inconsistent arrays still cause no reads
// outside the arrays and no endless loops, because node numbers are clamped.
#pragma once

#include <algorithm>
#include <cstdint>

namespace recops::trie {

// Upper limit on the depth. A trie without items may have any depth, and loops visit all levels.
constexpr int64_t kMostDepth = 1 << 16;

struct Trie {
  const int32_t* first_child;  // [num_nodes + 1]
  const void* tokens;          // [num_nodes]: token of the edge to each node; 0 for the root
  bool wide_tokens;            // int32 if true, else uint16
  int64_t num_nodes;
  int64_t num_items;  // first_child's last value is num_nodes + num_items
  int64_t depth;
  const int64_t*
      level_starts;  // [depth + 2]: the first node of each level; the last two are the first leaf and num_nodes
};

// One bit per item position: bit p % 64 of word p / 64. Null allows every item.
using MaskBits = const uint64_t*;

// Items that may be recommended: those in the mask, except banned ones. Bans are ascending positions and may contain −1
// and repetitions. The cost of a check grows with the number of bans and is zero without bans.
struct ItemFilter {
  MaskBits mask = nullptr;
  const int32_t* bans = nullptr;
  const int32_t* bans_end = nullptr;
};

namespace {

struct Interval {
  int64_t begin, end;
};

inline int64_t token_of(const Trie& trie, int64_t node) {
  return trie.wide_tokens ? static_cast<const int32_t*>(trie.tokens)[node]
                          : static_cast<const uint16_t*>(trie.tokens)[node];
}

inline int64_t level_of(const Trie& trie, int64_t node) {
  int64_t level = 0;
  while (node >= trie.level_starts[level + 1]) ++level;
  return level;
}

// Interval that nodes [begin, end) point to, clamped to [least, most].
inline Interval below(const Trie& trie, Interval nodes, int64_t least, int64_t most) {
  const int64_t begin = std::clamp<int64_t>(trie.first_child[nodes.begin], least, most);
  return {begin, std::clamp<int64_t>(trie.first_child[nodes.end], begin, most)};
}

// A leaf has no child nodes: its interval contains items.
inline Interval children_of(const Trie& trie, int64_t node) {
  if (node >= trie.level_starts[trie.depth]) return {0, 0};
  return below(trie, {node, node + 1}, 0, trie.num_nodes);
}

// Item positions below the given nodes, which are all of level `level`.
inline Interval items_below(const Trie& trie, Interval nodes, int64_t level) {
  for (; level < trie.depth; ++level) nodes = below(trie, nodes, 0, trie.num_nodes);
  const Interval items = below(trie, nodes, trie.num_nodes, trie.num_nodes + trie.num_items);
  return {items.begin - trie.num_nodes, items.end - trie.num_nodes};
}

// Whether `mask` has a bit in the interval. Reads whole words. Siblings have disjoint intervals, so a pass over all
// children of a node reads each word about once.
inline bool any_allowed(MaskBits mask, Interval items) {
  if (items.begin >= items.end) return false;
  const int64_t first = items.begin / 64, last = (items.end - 1) / 64;
  const uint64_t head = ~uint64_t{0} << (items.begin % 64), tail = ~uint64_t{0} >> (63 - (items.end - 1) % 64);
  if (first == last) return (mask[first] & head & tail) != 0;
  if ((mask[first] & head) != 0) return true;
  for (int64_t word = first + 1; word < last; ++word)
    if (mask[word] != 0) return true;
  return (mask[last] & tail) != 0;
}

// Returns the first of the ascending positions that is at least `position`.
inline const int32_t* first_from(const int32_t* begin, const int32_t* end, int64_t position) {
  while (begin < end) {
    const int32_t* middle = begin + (end - begin) / 2;
    if (*middle < position)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

inline bool allows_all(const ItemFilter& filter) { return filter.mask == nullptr && filter.bans == filter.bans_end; }

// Restricts the filter to items of the interval.
inline ItemFilter within(const ItemFilter& filter, Interval items) {
  const int32_t* first = first_from(filter.bans, filter.bans_end, items.begin);
  return {filter.mask, first, first_from(first, filter.bans_end, items.end)};
}

inline bool allows_any(const ItemFilter& filter, Interval items) {
  const auto masks_any = [&](Interval some) {
    return filter.mask == nullptr ? some.begin < some.end : any_allowed(filter.mask, some);
  };
  const int32_t* ban = first_from(filter.bans, filter.bans_end, items.begin);
  for (; ban != filter.bans_end && *ban < items.end; ++ban) {
    if (masks_any({items.begin, *ban})) return true;
    items.begin = *ban + 1;
  }
  return masks_any(items);
}

}  // namespace
}  // namespace recops::trie
