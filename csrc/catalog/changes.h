// What calls change, one after another, and what that comes to.
#pragma once

#include <cstdint>
#include <vector>

namespace recops::catalog {

enum class Kind : uint8_t { insert, replace, remove };  // of a new item, of a live item's SID, of a live item

// The changes of one call, each of another item.
struct Batch {
  std::vector<int64_t> ids;
  std::vector<Kind> kinds;
  std::vector<int32_t> sids;  // [count, depth]; empty where all are removals
};

// What became of an item in the end.
struct Change {
  int64_t id;
  const int32_t* sid;  // its SID in a batch; null: it is gone
  int64_t order;       // later insertions have larger ones; −1: it never left, and keeps its place
};

// One change for each item that `batches` (in order of time) name, by ascending id. They point into the batches.
std::vector<Change> net_changes(const std::vector<const Batch*>& batches, int64_t depth);

}  // namespace recops::catalog
