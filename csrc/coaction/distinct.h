// Histories with each of their rows once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/threads.h"

namespace recops::coaction {

// The rows of a small table repeat within a history, as categories do. Each goes through a candidate's network once,
// and counts as often as it occurs: of 100 events drawn evenly from 100 rows 37 are repeats.
class Distinct {
 public:
  // Whether so many rows are few enough to look for repeats: were they drawn evenly, every 16th event would be one.
  static bool pays(int64_t rows, int64_t time) { return rows <= 8 * time; }

  // Of ids [users, time], each below `rows` up to length(user).
  template <class Length>
  Distinct(const int64_t* ids, int64_t users, int64_t time, int64_t rows, const Length& length)
      : ids_(users * time), lengths_(users), times_(users * time) {
    constexpr int64_t kGrain = 1 << 14;  // events
    const int64_t shares = num_shares(users, kGrain / std::max<int64_t>(time, 1) + 1);
    std::vector<int64_t> of_shares(shares * rows, -1);
    for_shares(users, shares, [&](int64_t share, int64_t begin, int64_t end) {
      // In the list of the row's last user, counted on from user to user.
      int64_t* const places = of_shares.data() + share * rows;
      for (int64_t user = begin, first = 0; user < end; first += lengths_[user++]) {
        int64_t *list = ids_.data() + user * time, count = 0;
        int32_t* times = times_.data() + user * time;
        for (int64_t t = 0, last = length(user); t < last; ++t) {
          const int64_t id = ids[user * time + t], known = places[id] - first;
          const bool is_new = known < 0;
          const int64_t place = is_new ? count : known;
          places[id] = first + place;
          list[place] = id;
          times[place] = is_new ? 1 : times[place] + 1;
          count += is_new;
        }
        lengths_[user] = count;
      }
    });
  }

  const int64_t* ids() const { return ids_.data(); }          // [users, time], in order of first occurrence
  const int64_t* lengths() const { return lengths_.data(); }  // [users]
  const int32_t* times() const { return times_.data(); }      // [users, time]

 private:
  std::vector<int64_t> ids_, lengths_;
  std::vector<int32_t> times_;
};

}  // namespace recops::coaction
