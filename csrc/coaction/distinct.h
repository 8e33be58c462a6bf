// Histories reduced to distinct rows with counts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/threads.h"

namespace recops::coaction {

// Rows of a small table, such as categories, repeat within a history. Each distinct row passes through a candidate's
// network once and counts as often as it occurs. For example, of 100 uniform draws from 100 rows, 37 are repeats.
class Distinct {
 public:
  // Whether the table is small enough to look for repeats: with uniform draws, at least every 16th event would be one.
  static bool pays(int64_t rows, int64_t time) { return rows <= 8 * time; }

  // ids is [users, time]; the first length(user) ids of a user are below `rows`.
  template <class Length>
  Distinct(const int64_t* ids, int64_t users, int64_t time, int64_t rows, const Length& length)
      : ids_(users * time), lengths_(users), times_(users * time) {
    constexpr int64_t kGrain = 1 << 14;  // events
    const int64_t shares = num_shares(users, kGrain / std::max<int64_t>(time, 1) + 1);
    std::vector<int64_t> of_shares(shares * rows, -1);
    for_shares(users, shares, [&](int64_t share, int64_t begin, int64_t end) {
      // Position of each row in the list of the last user that contained it; the count continues from user to user.
      int64_t* const positions = of_shares.data() + share * rows;
      for (int64_t user = begin, first = 0; user < end; first += lengths_[user++]) {
        int64_t *list = ids_.data() + user * time, count = 0;
        int32_t* times = times_.data() + user * time;
        for (int64_t t = 0, last = length(user); t < last; ++t) {
          const int64_t id = ids[user * time + t], known = positions[id] - first;
          const bool is_new = known < 0;
          const int64_t position = is_new ? count : known;
          positions[id] = first + position;
          list[position] = id;
          times[position] = is_new ? 1 : times[position] + 1;
          count += is_new;
        }
        lengths_[user] = count;
      }
    });
  }

  const int64_t* ids() const { return ids_.data(); }          // [users, time], by first occurrence
  const int64_t* lengths() const { return lengths_.data(); }  // [users]
  const int32_t* times() const { return times_.data(); }      // [users, time]

 private:
  std::vector<int64_t> ids_, lengths_;
  std::vector<int32_t> times_;
};

}  // namespace recops::coaction
