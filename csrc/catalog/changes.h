// Changes of successive calls, and their net effect.
#pragma once

#include <cstdint>
#include <vector>

namespace recops::catalog {

enum class Kind : uint8_t {
  insert,
  replace,
  remove
};  // insert a new item, replace a live item's SID, remove a live item

// The changes of one call, each for a different item.
struct Batch {
  std::vector<int64_t> ids;
  std::vector<Kind> kinds;
  std::vector<int32_t> sids;  // [count, depth]; empty if all changes are removals
};

// Net change of one item.
struct Change {
  int64_t id;
  const int32_t* sid;  // SID in a batch; null: the item is removed
  int64_t order;       // larger for later insertions; −1: the item stayed live and keeps its position
};

// Returns one net change per item in `batches` (oldest first), by ascending id. The result points into the batches.
std::vector<Change> net_changes(const std::vector<const Batch*>& batches, int64_t depth);

}  // namespace recops::catalog
