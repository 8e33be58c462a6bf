// Division of rows into blocks and of blocks into gradient groups. It depends only on lengths and sources.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "recurrent/kernel.h"

namespace recops::recurrent {

// Rows in descending order of length, with rows of one source adjacent, in groups of whole blocks. A group contains all
// rows of its sources, so groups write to different memory. Groups have about equal work.
class Plan {
 public:
  // If `source_lengths` is null, all sources have `steps` steps. If `row_sources` is null, row i has source i.
  Plan(int64_t num_rows, int64_t steps, const int64_t* source_lengths, const int64_t* row_sources) {
    const auto source_of = [=](int64_t row) { return row_sources == nullptr ? row : row_sources[row]; };
    const auto length_of = [=](int64_t row) {
      return source_lengths == nullptr ? steps : source_lengths[source_of(row)];
    };
    std::vector<int64_t> order(num_rows);
    std::iota(order.begin(), order.end(), int64_t{0});
    if (source_lengths != nullptr || row_sources != nullptr)
      std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        if (length_of(a) != length_of(b)) return length_of(a) > length_of(b);
        return source_of(a) != source_of(b) ? source_of(a) < source_of(b) : a < b;
      });
    for (int64_t row : order) cells_ += length_of(row);

    // A unit is all rows of one source, or one block of rows. Units are dealt to the groups in turn.
    std::vector<int64_t> units;
    for (int64_t i = 0; i < num_rows; ++i)
      if (row_sources == nullptr ? i % kBlockRows == 0 : i == 0 || source_of(order[i]) != source_of(order[i - 1]))
        units.push_back(i);
    units.push_back(num_rows);
    const int64_t num_units = static_cast<int64_t>(units.size()) - 1;
    const int64_t groups = std::max<int64_t>(
        1, std::min({kMostGroups, num_units, (num_rows + kBlockRows - 1) / kBlockRows, cells_ / kCellsOfGroup}));
    for (int64_t g = 0; g < groups; ++g) {
      groups_.push_back(static_cast<int64_t>(blocks_.size()));
      const int64_t first = static_cast<int64_t>(rows_.size());
      for (int64_t unit = g; unit < num_units; unit += groups)
        for (int64_t i = units[unit]; i < units[unit + 1]; ++i) rows_.push_back(order[i]);
      for (int64_t i = first; i < static_cast<int64_t>(rows_.size()); i += kBlockRows) blocks_.push_back(i);
    }
    groups_.push_back(static_cast<int64_t>(blocks_.size()));
    blocks_.push_back(num_rows);
    for (int64_t row : rows_) {
      sources_.push_back(source_of(row));
      lengths_.push_back(length_of(row));
    }
  }

  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()) - 1; }
  int64_t num_groups() const { return static_cast<int64_t>(groups_.size()) - 1; }
  int64_t cells() const { return cells_; }  // number of steps of all rows

  Block block(int64_t b) const {
    const int64_t first = blocks_[b];
    return {first, rows_.data() + first, sources_.data() + first, lengths_.data() + first, blocks_[b + 1] - first};
  }
  int64_t first_block(int64_t group) const { return groups_[group]; }

 private:
  // More groups than kMostGroups would not occupy more threads on common machines. Each group costs a set of sums,
  // which pays off from kCellsOfGroup cells on.
  static constexpr int64_t kMostGroups = 32, kCellsOfGroup = 256;

  std::vector<int64_t> rows_, sources_, lengths_;
  std::vector<int64_t> blocks_, groups_;  // start of each, and the end
  int64_t cells_ = 0;
};

}  // namespace recops::recurrent
