// Builds a trie from semantic IDs: sort the SIDs, find where neighbours differ, number the nodes level by level.
//
// Does not depend on torch. The first levels are packed into one sort key, up to its width. Such a key usually
// distinguishes all SIDs. Groups with equal keys are sorted by the following levels. Rows are therefore read in random
// order about once, not once per key. One pass over the sorted SIDs counts the nodes of each level, and a second fills
// the arrays (trie.h). Both run in memory order. At most O(N · L).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/radix_sort.h"

namespace recops::trie {

class Builder {
 public:
  // sids: [count, vocab_sizes.size()], row-major. Throws std::invalid_argument if a token is outside its level's
  // vocabulary.
  template <class Index>
  Builder(const Index* sids, int64_t count, const std::vector<int64_t>& vocab_sizes)
      : count_(count), depth_(static_cast<int64_t>(vocab_sizes.size())) {
    check(sids, vocab_sizes);
    sort(sids, vocab_sizes);
    find_partings();
  }

  int64_t num_nodes() const { return level_starts_.back(); }

  // Outputs: first_child [num_nodes + 1], tokens [num_nodes], and item_rows [count], the row of `sids` at each item
  // position.
  template <class Token>
  void fill(int32_t* first_child, Token* tokens, int32_t* item_rows) const {
    const int64_t leaves = level_starts_[depth_];
    std::vector<int64_t> next(level_starts_);  // per level: the node that is created next
    tokens[0] = 0;
    first_child[0] = 1;
    for (int64_t i = 0; i < count_; ++i) {
      item_rows[i] = rows_[i];
      for (int64_t level = partings_[i] + 1; level <= depth_; ++level) {
        const int64_t node = next[level]++;
        tokens[node] = static_cast<Token>(sids_[i * depth_ + level - 1]);
        first_child[node] = static_cast<int32_t>(node < leaves ? next[level + 1] : num_nodes() + i);
      }
    }
    first_child[num_nodes()] = static_cast<int32_t>(num_nodes() + count_);
  }

 private:
  template <class Index>
  void check(const Index* sids, const std::vector<int64_t>& vocab_sizes) const {
    for (int64_t row = 0; row < count_; ++row)
      for (int64_t level = 0; level < depth_; ++level) {
        const int64_t token = sids[row * depth_ + level];
        if (token < 0 || token >= vocab_sizes[level])
          throw std::invalid_argument("SidTrie.from_sids: sids[" + std::to_string(row) + ", " + std::to_string(level) +
                                      "] is " + std::to_string(token) + ", outside the level's vocabulary of " +
                                      std::to_string(vocab_sizes[level]));
      }
  }

  template <class Index>
  void sort(const Index* sids, const std::vector<int64_t>& vocab_sizes) {
    rows_.resize(count_);
    std::iota(rows_.begin(), rows_.end(), 0);
    std::vector<Group> groups{{0, count_, 0}};
    while (!groups.empty()) {
      const Group group = groups.back();
      groups.pop_back();
      sort_group(sids, vocab_sizes, group, groups);
    }
    sids_.resize(count_ * depth_);
    constexpr int64_t kAhead = 16;
    for (int64_t i = 0; i < count_; ++i) {
      __builtin_prefetch(sids + rows_[std::min(i + kAhead, count_ - 1)] * depth_);
      std::copy_n(sids + rows_[i] * depth_, depth_, &sids_[i * depth_]);
    }
  }

  // Sorted positions [begin, end), whose SIDs are equal before `level`.
  struct Group {
    int64_t begin, end, level;
  };

  // Groups of at most this size are sorted by comparison. Equal SIDs keep the order of their rows.
  static constexpr int64_t kFew = 64;
  template <class Index>
  void sort_few(const Index* sids, const Group& group) {
    std::stable_sort(rows_.data() + group.begin, rows_.data() + group.end, [&](int64_t a, int64_t b) {
      const Index *first = sids + a * depth_, *second = sids + b * depth_;
      return std::lexicographical_compare(first + group.level, first + depth_, second + group.level, second + depth_);
    });
  }

  // Sorts a group by the levels that fit into one key. Small groups with equal keys are sorted at once; large ones are
  // added to `groups`. Recursion instead could go as deep as the trie.
  template <class Index>
  void sort_group(const Index* sids, const std::vector<int64_t>& vocab_sizes, const Group& group,
                  std::vector<Group>& groups) {
    const int64_t begin = group.begin, end = group.end, level = group.level;
    if (end - begin <= kFew) return sort_few(sids, group);
    int32_t* rows = rows_.data() + begin;
    RowSorter sorter(end - begin);
    int64_t next = level;
    int bits = 0;
    const auto width = [&](int64_t of) -> int { return std::bit_width(static_cast<uint64_t>(vocab_sizes[of] - 1)); };
    while (next < depth_ && bits + width(next) <= sorter.key_bits()) bits += width(next++);
    sorter.sort(bits, [&](int64_t place) {
      uint64_t key = 0;
      for (int64_t of = level; of < next; ++of)
        key = key << width(of) | static_cast<uint64_t>(sids[rows[place] * depth_ + of]);
      return key;
    });
    std::vector<int32_t> sorted(end - begin);
    for (int64_t i = 0; i < end - begin; ++i) sorted[i] = rows[sorter[i]];
    std::copy(sorted.begin(), sorted.end(), rows);
    for (int64_t from = 0, to = 1; to <= end - begin; ++to) {
      if (to < end - begin && sorter.key(to) == sorter.key(from)) continue;
      const Group equal{begin + from, begin + to, next};
      from = to;
      if (equal.end - equal.begin < 2 || next == depth_) continue;
      if (equal.end - equal.begin <= kFew)
        sort_few(sids, equal);
      else
        groups.push_back(equal);
    }
  }

  // partings_[i]: the first level at which sorted SID i differs from its predecessor, or the depth if they are equal.
  void find_partings() {
    partings_.resize(count_);
    std::vector<int64_t> parted(depth_ + 1, 0);
    for (int64_t i = 0; i < count_; ++i) {
      const int32_t* sid = &sids_[i * depth_];
      int64_t level = 0;
      if (i > 0)
        while (level < depth_ && sid[level] == sid[level - depth_]) ++level;
      partings_[i] = static_cast<int32_t>(level);
      ++parted[level];
    }
    level_starts_ = {0, 1};
    int64_t created = 0;
    for (int64_t level = 0; level < depth_; ++level) {
      created += parted[level];
      level_starts_.push_back(level_starts_.back() + created);
    }
    if (num_nodes() + count_ > INT32_MAX)
      throw std::invalid_argument("SidTrie.from_sids: nodes and items together pass 2^31 − 1");
  }

  int64_t count_, depth_;
  std::vector<int32_t> rows_, sids_;  // both in sorted order
  std::vector<int32_t> partings_;
  std::vector<int64_t> level_starts_;  // [depth + 2]
};

// order[k] is the position of the k-th smallest id; position p has the id ids[item_rows[p]]. Throws
// std::invalid_argument for a repeated id.
inline void index_ids(const int64_t* ids, const int32_t* item_rows, int64_t count, int32_t* order) {
  if (std::adjacent_find(ids, ids + count, std::greater_equal<>()) == ids + count) {  // ids are already ascending
    for (int64_t p = 0; p < count; ++p) order[item_rows[p]] = static_cast<int32_t>(p);
    return;
  }
  const auto [least, greatest] = std::minmax_element(ids, ids + count);
  const auto above_least = [&, base = static_cast<uint64_t>(*least)](int64_t row) { return ids[row] - base; };
  const int bits = std::bit_width(static_cast<uint64_t>(*greatest) - static_cast<uint64_t>(*least));
  RowSorter sorter(count);
  for (int shift = 0; shift < bits; shift += sorter.key_bits()) {
    const int width = std::min(bits - shift, sorter.key_bits());
    sorter.sort(width, [&](int64_t row) { return above_least(row) >> shift & ((uint64_t{1} << width) - 1); });
  }
  std::vector<int32_t> positions(count);
  for (int64_t p = 0; p < count; ++p) positions[item_rows[p]] = static_cast<int32_t>(p);
  for (int64_t k = 0; k < count; ++k) {
    const int64_t row = sorter[k];
    order[k] = positions[row];
    if (k > 0 && ids[row] == ids[sorter[k - 1]])
      throw std::invalid_argument("SidTrie.from_sids: item id " + std::to_string(ids[row]) + " is repeated");
  }
}

}  // namespace recops::trie
