// Division of rows into blocks and gradient groups. It depends only on lengths and phases.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "common/radix_sort.h"
#include "memory/kernel.h"

namespace recops::memory {

// Source and destination of a row's state, its number of steps, and the number of its first input.
struct Row {
  int64_t from, to, length, first;
};

// Rows in blocks, by descending length within a block. Rows of equal phase and similar length are adjacent.
class Plan {
 public:
  // `phases` is [rows] or null. Layers of rows with equal phase update at the same events.
  Plan(const std::vector<Row>& rows, std::vector<int64_t> events, int64_t block_rows, const int64_t* phases = nullptr)
      : block_rows_(block_rows), events_(std::move(events)) {
    const int64_t count = static_cast<int64_t>(rows.size());
    std::vector<int64_t> order(count);
    std::iota(order.begin(), order.end(), int64_t{0});
    const auto longer = [&](int64_t a, int64_t b) { return rows[a].length > rows[b].length; };
    const auto before = [&](int64_t a, int64_t b) {
      return phases != nullptr && phases[a] != phases[b] ? phases[a] < phases[b] : longer(a, b);
    };
    if (!std::is_sorted(order.begin(), order.end(), before)) std::stable_sort(order.begin(), order.end(), before);
    for (int64_t begin = 0; phases != nullptr && begin < count; begin += block_rows)
      std::stable_sort(order.begin() + begin, order.begin() + std::min(begin + block_rows, count), longer);
    for (int64_t i : order) {
      from_.push_back(rows[i].from);
      to_.push_back(rows[i].to);
      lengths_.push_back(rows[i].length);
      first_.push_back(rows[i].first);
      cells_ += rows[i].length;
    }
  }

  int64_t num_blocks() const { return (num_rows() + block_rows_ - 1) / block_rows_; }
  int64_t cells() const { return cells_; }  // number of steps of all rows

  // Block b belongs to group b % num_groups(). More than 32 groups would not occupy more threads on common machines,
  // and each group costs a set of sums.
  int64_t num_groups() const { return std::max<int64_t>(1, std::min<int64_t>(num_blocks(), 32)); }

  // Returns block b with the source rows of block `next`, if it exists.
  Block block(int64_t b, int64_t next) const {
    Block found = block(b);
    if (next < num_blocks()) {
      const Block behind = block(next);
      found.next = behind.from;
      found.num_next = behind.count;
    }
    return found;
  }
  Block block(int64_t b) const {
    const int64_t at = b * block_rows_;
    return {std::min(block_rows_, num_rows() - at),
            from_.data() + at,
            to_.data() + at,
            lengths_.data() + at,
            first_.data() + at,
            events_.empty() ? nullptr : events_.data()};
  }

 private:
  int64_t num_rows() const { return static_cast<int64_t>(from_.size()); }

  int64_t block_rows_, cells_ = 0;
  std::vector<int64_t> from_, to_, lengths_, first_, events_;
};

// Rows of a batch [rows, steps]. Null `lengths` means that all rows have `steps` steps.
inline std::vector<Row> rows_of_batch(int64_t rows, int64_t steps, const int64_t* lengths) {
  std::vector<Row> found(rows);
  for (int64_t i = 0; i < rows; ++i) found[i] = {i, i, lengths == nullptr ? steps : lengths[i], i * steps};
  return found;
}

// Rows that receive events, each below `pool`, and the events sorted by row. Events of a row keep their order.
struct Stream {
  std::vector<Row> rows;
  std::vector<int64_t> events;

  Stream(const int64_t* event_rows, int64_t count, int64_t pool) {
    RowSorter sorter(count);
    sorter.sort(std::bit_width(static_cast<uint64_t>(pool)), [&](int64_t e) { return uint64_t(event_rows[e]); });
    for (int64_t position = 0; position < count; ++position) {
      const int64_t event = sorter[position], row = event_rows[event];
      if (rows.empty() || rows.back().from != row) rows.push_back({row, row, 0, position});
      ++rows.back().length;
      events.push_back(event);
    }
  }
};

}  // namespace recops::memory
