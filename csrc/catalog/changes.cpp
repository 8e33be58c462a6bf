#include "catalog/changes.h"

#include <algorithm>
#include <utility>

namespace recops::catalog {

std::vector<Change> net_changes(const std::vector<const Batch*>& batches, int64_t depth) {
  struct Event {
    Change change;
    Kind kind;
  };
  std::vector<Event> events;
  for (const Batch* batch : batches)
    for (size_t i = 0; i < batch->ids.size(); ++i) {
      const Kind kind = batch->kinds[i];
      const int32_t* sid = kind == Kind::remove ? nullptr : &batch->sids[i * static_cast<size_t>(depth)];
      const auto order = static_cast<int64_t>(events.size());
      events.push_back({{batch->ids[i], sid, kind == Kind::replace ? -1 : order}, kind});
    }
  const auto by_id = [](const Event& a, const Event& b) { return a.change.id < b.change.id; };
  if (!std::is_sorted(events.begin(), events.end(), by_id)) std::stable_sort(events.begin(), events.end(), by_id);

  std::vector<Change> changes;
  for (const Event& event : events) {
    if (changes.empty() || changes.back().id != event.change.id)
      changes.push_back(event.change);
    else if (event.kind == Kind::replace)
      changes.back().sid = event.change.sid;
    else
      changes.back() = event.change;
  }
  return changes;
}

}  // namespace recops::catalog
