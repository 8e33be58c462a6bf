// Rows of a beam search step as kernel arguments, with checked beams and an estimate of the work.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "trie/batch.h"
#include "trie/kernel.h"

namespace recops::trie {

struct Rows {
  std::vector<BeamRow> rows;
  std::vector<int64_t> candidates;  // per row: number of children of live beams
  int64_t max_children = 0;         // largest number of children of a beam
  int64_t logits = 0;               // number of logits to read

  // vocab_sizes: the level sizes of each trie, one trie after another; null: the logits cover every level. T is the
  // type of scores [batch, width]. Nodes must be valid for their tries.
  template <class T>
  Rows(const BeamStep& step, const Tensor& logits_in, const Tries& tries, const int64_t* vocab_sizes,
       const Filters& filters, const std::vector<int32_t>& nodes, const T* scores)
      : width_(logits_in.size(1)) {
    const int64_t batch = logits_in.size(0), bytes = static_cast<int64_t>(logits_in.element_size());
    for (int64_t b = 0; b < batch; ++b) {
      const Trie& trie = tries.of_row(b).view;
      const int64_t* sizes = vocab_sizes == nullptr ? nullptr : vocab_sizes + tries.index(b) * trie.depth;
      rows.push_back({trie, filters[b],
                      static_cast<const char*>(logits_in.data_ptr()) + b * logits_in.stride(0) * bytes,
                      nodes.data() + b * width_, scores + b * width_, nullptr});
      candidates.push_back(0);
      check(step, b, sizes, scores + b * width_);
    }
    put_in_order(scores);
  }
  Rows(const Rows&) = delete;

 private:
  template <class T>
  void check(const BeamStep& step, int64_t b, const int64_t* vocab_sizes, const T* scores) {
    const BeamRow& row = rows[b];
    for (int64_t m = 0; m < width_; ++m) {
      if (row.nodes[m] < 0) continue;
      require_value(scores[m] == scores[m], "trie_beam_step: scores must hold no NaN, got scores[", b, ", ", m,
                    "] = NaN");
      const int64_t level = level_of(row.trie, row.nodes[m]);
      if (level == row.trie.depth) continue;
      if (vocab_sizes != nullptr)
        require_value(step.vocab >= vocab_sizes[level], "trie_beam_step: logits must cover the vocabulary of level ",
                      level, ", ", vocab_sizes[level], " tokens, got ", step.vocab);
      const Interval children = children_of(row.trie, row.nodes[m]);
      require_value(children.begin == row.trie.first_child[row.nodes[m]] &&
                        children.end == row.trie.first_child[row.nodes[m] + 1],
                    "trie_beam_step: first_child must ascend and hold nodes, got other children of node ",
                    row.nodes[m]);
      const int64_t count = children.end - children.begin;
      candidates[b] += count;
      max_children = std::max(max_children, count);
      logits += count + (step.normalize == Normalize::vocab ? step.vocab : 0);
    }
  }

  // A search step returns beams best first. Other callers may pass any order; the rows are then scanned by descending
  // score.
  template <class T>
  void put_in_order(const T* scores) {
    if (std::all_of(rows.begin(), rows.end(), [&](const BeamRow& row) {
          const T* of_row = static_cast<const T*>(row.scores);
          return std::is_sorted(of_row, of_row + width_, std::greater<T>());
        }))
      return;
    const int64_t batch = static_cast<int64_t>(rows.size());
    order_.resize(batch * width_);
    for (int64_t b = 0; b < batch; ++b) {
      int32_t* order = order_.data() + b * width_;
      std::iota(order, order + width_, 0);
      // The score of a dead beam may be NaN, which cannot be ordered.
      const auto rank = [&](int32_t m) {
        return rows[b].nodes[m] < 0 ? -std::numeric_limits<T>::infinity() : scores[b * width_ + m];
      };
      std::stable_sort(order, order + width_, [&](int32_t a, int32_t c) { return rank(a) > rank(c); });
      rows[b].order = order;
    }
  }

  int64_t width_;
  std::vector<int32_t> order_;
};

}  // namespace recops::trie
