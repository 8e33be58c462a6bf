// The arrays of one catalogue version: a trie (trie/trie.h), its items and their id index. They are immutable after
// construction and shared by the catalogue, the returned tries and merges in progress.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "trie/lookup.h"
#include "trie/trie.h"

namespace recops::catalog {

// Uninitialized memory of fixed size. The creator fills it, which saves a pass that would only write zeros.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(int64_t size) : values_(std::make_unique_for_overwrite<T[]>(static_cast<size_t>(size))), size_(size) {}

  int64_t size() const { return size_; }
  T* data() { return values_.get(); }
  const T* data() const { return values_.get(); }
  T& operator[](int64_t i) { return values_[static_cast<size_t>(i)]; }
  const T& operator[](int64_t i) const { return values_[static_cast<size_t>(i)]; }

 private:
  std::unique_ptr<T[]> values_;
  int64_t size_ = 0;
};

struct Tables {
  int64_t depth;
  bool wide_tokens;
  // [depth + 3]: the first node of each level 0 … depth, then num_nodes and num_nodes + num_items. Items count as one
  // more level: the item at position p is node num_nodes + p.
  std::vector<int64_t> starts;
  Array<int32_t> first_child;   // [num_nodes + 1]
  Array<unsigned char> tokens;  // [num_nodes] int32 or uint16
  Array<int64_t> item_ids;      // [num_items], by position
  Array<int32_t> item_rows;     // [num_items], by position: the item's number in order of insertion
  Array<int32_t> id_order;      // [num_items]: positions in ascending order of ids

  int64_t num_nodes() const { return starts[static_cast<size_t>(depth) + 1]; }
  int64_t num_items() const { return item_ids.size(); }
  trie::Trie trie() const {
    return {.first_child = first_child.data(),
            .tokens = tokens.data(),
            .wide_tokens = wide_tokens,
            .num_nodes = num_nodes(),
            .num_items = starts.back() - num_nodes(),
            .depth = depth,
            .level_starts = starts.data()};
  }
  trie::Items items() const { return {item_ids.data(), id_order.data(), num_items()}; }

  template <class Token>
  const Token* tokens_as() const {
    return reinterpret_cast<const Token*>(tokens.data());
  }
  template <class Token>
  Token* tokens_as() {
    return reinterpret_cast<Token*>(tokens.data());
  }
};

// Returns the level starts of a trie of this depth.
inline std::vector<int64_t> starts_of(const int32_t* first_child, int64_t depth) {
  std::vector<int64_t> starts{0};
  for (int64_t level = 0; level <= depth + 1; ++level) starts.push_back(first_child[starts.back()]);
  return starts;
}

// Allocates tables for levels that begin at `starts` (see Tables). Only the end of first_child is written.
inline Tables make_tables(std::vector<int64_t> starts, bool wide_tokens) {
  const auto depth = static_cast<int64_t>(starts.size()) - 3;
  const int64_t nodes = starts[starts.size() - 2], items = starts.back() - nodes;
  Tables tables{depth,
                wide_tokens,
                std::move(starts),
                Array<int32_t>(nodes + 1),
                Array<unsigned char>(nodes * (wide_tokens ? 4 : 2)),
                Array<int64_t>(items),
                Array<int32_t>(items),
                Array<int32_t>(items)};
  tables.first_child[nodes] = static_cast<int32_t>(nodes + items);
  return tables;
}

inline bool has_wide_tokens(const std::vector<int64_t>& vocab_sizes) {
  for (int64_t size : vocab_sizes)
    if (size > 65536) return true;
  return false;
}

// Tables of a trie without items, which has only the root.
inline Tables empty_tables(const std::vector<int64_t>& vocab_sizes) {
  std::vector<int64_t> starts(vocab_sizes.size() + 3, 1);
  starts[0] = 0;
  Tables tables = make_tables(std::move(starts), has_wide_tokens(vocab_sizes));
  tables.first_child[0] = 1;
  std::fill_n(tables.tokens.data(), tables.tokens.size(), static_cast<unsigned char>(0));
  return tables;
}

}  // namespace recops::catalog
