#include "catalog/version.h"

#include <algorithm>
#include <utility>

#include "catalog/merge.h"

namespace recops::catalog {

Version::Version(int64_t number, std::shared_ptr<const Tables> tables)
    : number(number), size(tables->num_items()), anchored_(std::move(tables)) {}

Version::Version(int64_t number, int64_t size, std::shared_ptr<const Version> previous, Batch batch)
    : number(number), size(size), batch_(std::move(batch)), previous_(std::move(previous)) {}

Version::State Version::state() const {
  const std::lock_guard lock(state_);
  return {anchored_ ? anchored_ : remembered_.lock(), previous_};
}

int64_t Version::previous_number() const {
  const State now = state();
  return now.previous ? now.previous->number : -1;
}

std::shared_ptr<const Tables> Version::tables(const std::vector<int64_t>& vocab_sizes) const {
  if (auto tables = at_hand()) return tables;
  const std::lock_guard lock(merging_);
  return tables_now(vocab_sizes);
}

std::shared_ptr<const Tables> Version::tables_now(const std::vector<int64_t>& vocab_sizes) const {
  State from = state();
  if (from.tables) return from.tables;
  std::vector<std::shared_ptr<const Version>> passed;  // keeps alive the versions whose batches are read below
  std::vector<const Batch*> batches{&batch_};
  while (!from.tables) {
    passed.push_back(from.previous);
    from = passed.back()->state();
    if (!from.tables) batches.push_back(&passed.back()->batch_);
  }
  std::reverse(batches.begin(), batches.end());
  auto merged =
      std::make_shared<const Tables>(merge(*from.tables, net_changes(batches, from.tables->depth), vocab_sizes));
  const std::lock_guard lock(state_);
  if (auto others = remembered_.lock()) return others;
  remembered_ = merged;
  return merged;
}

void Version::anchor(const std::vector<int64_t>& vocab_sizes) {
  auto tables = tables_now(vocab_sizes);
  std::shared_ptr<const Version>
      released;  // destroyed after the lock is released, because its arrays may be freed with it
  const std::lock_guard lock(state_);
  anchored_ = std::move(tables);
  released = std::move(previous_);
}

}  // namespace recops::catalog
