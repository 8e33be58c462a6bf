// Merging a few places into many: runs that nothing happens to are handed on whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace recops::catalog {

// The first index of [begin, end) for which `less` no longer holds. O(log of how far it is).
template <class Less>
int64_t gallop(int64_t begin, int64_t end, const Less& less) {
  int64_t step = 1;
  for (; begin + step <= end && less(begin + step - 1); step *= 2) begin += step;
  int64_t high = std::min(begin + step - 1, end);
  while (begin < high) {
    const int64_t middle = begin + (high - begin) / 2;
    if (less(middle))
      begin = middle + 1;
    else
      high = middle;
  }
  return begin;
}

// A place that stays, but loses so many of its children.
struct Thinned {
  int32_t place;
  int32_t lost;
};

// What happens to a sequence of places, in order.
struct Edits {
  int64_t begin, end;                // the places
  int64_t added, added_end;          // numbers of what is added
  const int32_t* at;                 // by number, ascending: the place that it comes before or, where not fresh, joins
  const uint8_t* fresh;              // by number; null: all are
  std::span<const int32_t> dead;     // ascending
  std::span<const Thinned> thinned;  // ascending, none of them dead
};

// Calls, in order: copy(begin, end) for places that nothing happens to, add(number) for what is fresh, and
// keep(place, number, lost) for a place that something joins (number −1: nothing does) or that is thinned. Dead places
// are passed by.
template <class Copy, class Add, class Keep>
void splice(Edits edits, const Copy& copy, const Add& add, const Keep& keep) {
  auto dead = edits.dead.begin();
  auto thinned = edits.thinned.begin();
  const auto adds_at = [&](int64_t place) { return edits.added < edits.added_end && edits.at[edits.added] == place; };
  for (int64_t place = edits.begin;;) {
    int64_t next = edits.end;
    if (edits.added < edits.added_end) next = std::min<int64_t>(next, edits.at[edits.added]);
    if (dead != edits.dead.end()) next = std::min<int64_t>(next, *dead);
    if (thinned != edits.thinned.end()) next = std::min<int64_t>(next, thinned->place);
    if (place < next) copy(place, next);
    place = next;
    while (adds_at(place) && (edits.fresh == nullptr || edits.fresh[edits.added] != 0)) add(edits.added++);
    if (place == edits.end) return;
    const int64_t joins = adds_at(place) ? edits.added++ : -1;
    const bool is_thinned = thinned != edits.thinned.end() && thinned->place == place;
    if (dead != edits.dead.end() && *dead == place) {
      ++dead;
      ++place;
    } else if (joins >= 0 || is_thinned) {
      keep(place++, joins, is_thinned ? (thinned++)->lost : 0);
    }
  }
}

}  // namespace recops::catalog
