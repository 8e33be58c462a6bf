// Random tries and their masks for test drivers, the same in every run.
#pragma once

#include <cstdint>
#include <vector>

#include "random.h"
#include "trie/build.h"
#include "trie/trie.h"

namespace recops::trie {

// The trie of random SIDs. Tokens are squares of uniform numbers, so that branches have different sizes.
class RandomTrie {
 public:
  RandomTrie(int64_t items, int64_t vocab, int64_t depth, bool wide_tokens) : stamp(next_bits()) {
    std::vector<int32_t> sids(items * depth), rows(items);
    for (int32_t& token : sids) {
      const double uniform = next_bits() / 4294967296.0;
      token = static_cast<int32_t>(uniform * uniform * static_cast<double>(vocab));
    }
    const Builder builder(sids.data(), items, std::vector<int64_t>(depth, vocab));
    first_child.resize(builder.num_nodes() + 1);
    if (wide_tokens) {
      wide.resize(builder.num_nodes());
      builder.fill(first_child.data(), wide.data(), rows.data());
    } else {
      narrow.resize(builder.num_nodes());
      builder.fill(first_child.data(), narrow.data(), rows.data());
    }
    level_starts.assign({0, 1});
    for (int64_t level = 1; level <= depth; ++level) level_starts.push_back(first_child[level_starts.back()]);
    view = {.first_child = first_child.data(),
            .tokens = wide_tokens ? static_cast<const void*>(wide.data()) : narrow.data(),
            .wide_tokens = wide_tokens,
            .num_nodes = builder.num_nodes(),
            .num_items = items,
            .depth = depth,
            .level_starts = level_starts.data()};
  }
  RandomTrie(const RandomTrie&) = delete;

  // Words of `rows` masks that allow each item with probability 1 / `one_in`.
  std::vector<uint64_t> mask(int64_t rows, uint32_t one_in) const {
    const int64_t width = (view.num_items + 63) / 64;
    std::vector<uint64_t> words(rows * width);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t p = 0; p < view.num_items; ++p)
        if (next_bits() % one_in == 0) words[row * width + p / 64] |= uint64_t{1} << (p % 64);
    return words;
  }

  std::vector<int32_t> first_child, wide;
  std::vector<uint16_t> narrow;
  std::vector<int64_t> level_starts;
  int64_t stamp;
  Trie view;
};

}  // namespace recops::trie
