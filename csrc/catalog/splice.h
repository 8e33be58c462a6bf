// Merges a few edits into a long sequence; runs without edits are passed on as a whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace recops::catalog {

// Returns the first index of [begin, end) where `less` is false. O(log of the distance from begin).
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

// A position that stays but loses `lost` of its children.
struct Thinned {
  int32_t position;
  int32_t lost;
};

// Edits of a sequence of positions, in order.
struct Edits {
  int64_t begin, end;                // positions of the sequence
  int64_t added, added_end;          // numbers of the added elements
  const int32_t* at;                 // by number, ascending: the position that it precedes (fresh) or joins (not fresh)
  const uint8_t* fresh;              // by number; null: all are fresh
  std::span<const int32_t> dead;     // ascending
  std::span<const Thinned> thinned;  // ascending, without dead positions
};

// Calls in order: copy(begin, end) for positions without edits; add(number) for fresh elements; keep(position, number,
// lost) for a position that an element joins (−1: none) or that is thinned. Dead positions are skipped.
template <class Copy, class Add, class Keep>
void splice(Edits edits, const Copy& copy, const Add& add, const Keep& keep) {
  auto dead = edits.dead.begin();
  auto thinned = edits.thinned.begin();
  const auto adds_at = [&](int64_t position) {
    return edits.added < edits.added_end && edits.at[edits.added] == position;
  };
  for (int64_t position = edits.begin;;) {
    int64_t next = edits.end;
    if (edits.added < edits.added_end) next = std::min<int64_t>(next, edits.at[edits.added]);
    if (dead != edits.dead.end()) next = std::min<int64_t>(next, *dead);
    if (thinned != edits.thinned.end()) next = std::min<int64_t>(next, thinned->position);
    if (position < next) copy(position, next);
    position = next;
    while (adds_at(position) && (edits.fresh == nullptr || edits.fresh[edits.added] != 0)) add(edits.added++);
    if (position == edits.end) return;
    const int64_t joins = adds_at(position) ? edits.added++ : -1;
    const bool is_thinned = thinned != edits.thinned.end() && thinned->position == position;
    if (dead != edits.dead.end() && *dead == position) {
      ++dead;
      ++position;
    } else if (joins >= 0 || is_thinned) {
      keep(position++, joins, is_thinned ? (thinned++)->lost : 0);
    }
  }
}

}  // namespace recops::catalog
