#include "catalog/catalog.h"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "trie/trie.h"

namespace recops::catalog {
namespace {

using std::to_string;

// Releasing a chain of versions is recursive, so its length is limited.
constexpr int64_t kMostHistory = 4096;
// With more pending changes than the number of items plus this, the writer merges them: its table of changes would grow
// too large.
constexpr int64_t kPending = 1 << 16;
// The oldest versions are dropped only when this many exceed the history, because dropping them costs a merge.
constexpr int64_t kSpareVersions = 64;

std::vector<int64_t> checked(std::vector<int64_t> vocab_sizes) {
  if (vocab_sizes.empty()) throw std::invalid_argument("SidCatalog: vocab_sizes must name at least one level");
  if (vocab_sizes.size() > trie::kMostDepth)
    throw std::invalid_argument("SidCatalog: vocab_sizes must name at most " + to_string(trie::kMostDepth) +
                                " levels, got " + to_string(vocab_sizes.size()));
  for (int64_t size : vocab_sizes)
    if (size < 1 || size > INT32_MAX)
      throw std::invalid_argument("SidCatalog: vocab_sizes must be from 1 to 2^31 − 1, got " + to_string(size));
  return vocab_sizes;
}

int64_t checked_history(int64_t history) {
  if (history < 0 || history > kMostHistory)
    throw std::invalid_argument("SidCatalog: history must be from 0 to " + to_string(kMostHistory) + ", got " +
                                to_string(history));
  return history;
}

void require_distinct(const char* call, const std::vector<int64_t>& ids) {
  if (std::adjacent_find(ids.begin(), ids.end(), std::greater_equal<>()) == ids.end()) return;
  std::vector<int64_t> sorted(ids);
  std::sort(sorted.begin(), sorted.end());
  const auto twin = std::adjacent_find(sorted.begin(), sorted.end());
  if (twin != sorted.end())
    throw std::invalid_argument(std::string(call) + ": item id " + to_string(*twin) + " is repeated");
}

}  // namespace

Catalog::Catalog(std::vector<int64_t> vocab_sizes, int64_t history)
    : Catalog(vocab_sizes, history, std::make_shared<const Tables>(empty_tables(checked(vocab_sizes))), 0, 0) {}

Catalog::Catalog(std::vector<int64_t> vocab_sizes, int64_t history, std::shared_ptr<const Tables> tables,
                 int64_t version, int64_t last_version)
    : vocab_sizes_(checked(std::move(vocab_sizes))),
      history_(checked_history(history)),
      current_(std::make_shared<Version>(version, std::move(tables))),
      last_version_(last_version),
      latest_(current_->at_hand()),
      versions_{current_},
      base_(latest_) {
  if (version < 0 || last_version < version)
    throw std::invalid_argument("SidCatalog: version must be from 0 to the last version");
}

std::shared_ptr<const Version> Catalog::current() const {
  const std::lock_guard lock(published_);
  return current_;
}

Snapshot Catalog::snapshot() const {
  Snapshot snapshot{};
  std::shared_ptr<const Version> version;
  {
    const std::lock_guard lock(published_);
    version = current_;
    snapshot.last_version = last_version_;
  }
  snapshot.version = version->number;
  snapshot.tables = version->tables(vocab_sizes_);
  auto latest = snapshot.tables;
  {
    const std::lock_guard lock(published_);
    if (current_ == version) latest_.swap(latest);
  }
  return snapshot;  // The previous latest_ is destroyed here, after the lock is released.
}

void Catalog::publish(std::shared_ptr<Version> version, std::shared_ptr<const Tables> latest) {
  const std::lock_guard lock(published_);
  last_version_ = std::max(last_version_, version->number);
  current_.swap(version);
  if (latest) latest_.swap(latest);
}

bool Catalog::is_live(int64_t id) const {
  const auto found = changed_.find(id);
  return found != changed_.end() ? found->second : base_->items().position(id) >= 0;
}

// If a reader already merged the current version, it becomes the base, and fewer changes need to be remembered.
void Catalog::adopt_base() {
  auto tables = current_->at_hand();
  if (!tables || tables == base_) return;
  base_ = std::move(tables);
  changed_.clear();
}

void Catalog::insert(const int64_t* given_ids, const int64_t* given_sids, size_t count, bool replace) {
  // Copies, so that a concurrent write to the caller's arrays cannot change values after the checks.
  Batch batch{{given_ids, given_ids + count}, std::vector<Kind>(count), std::vector<int32_t>(count * depth())};
  for (size_t i = 0; i < batch.sids.size(); ++i) {
    const size_t level = i % depth();
    const int64_t token = given_sids[i];
    if (token < 0 || token >= vocab_sizes_[level])
      throw std::invalid_argument("SidCatalog.insert: sids[" + to_string(i / depth()) + ", " + to_string(level) +
                                  "] is " + to_string(token) + ", outside the level's vocabulary of " +
                                  to_string(vocab_sizes_[level]));
    batch.sids[i] = static_cast<int32_t>(token);
  }
  require_distinct("SidCatalog.insert", batch.ids);

  const std::lock_guard lock(writing_);
  adopt_base();
  int64_t size = current_->size;
  for (size_t i = 0; i < count; ++i) {
    const bool live = is_live(batch.ids[i]);
    if (live && !replace)
      throw std::invalid_argument("SidCatalog.insert: item id " + to_string(batch.ids[i]) +
                                  " is in the catalogue (replace=True gives it another SID)");
    batch.kinds[i] = live ? Kind::replace : Kind::insert;
    size += live ? 0 : 1;
  }
  if (count > 0) commit(std::move(batch), size);
}

void Catalog::remove(const int64_t* given_ids, size_t count, bool missing_ok) {
  const std::vector<int64_t> ids(given_ids, given_ids + count);
  require_distinct("SidCatalog.remove", ids);

  const std::lock_guard lock(writing_);
  adopt_base();
  Batch batch;
  for (int64_t id : ids) {
    if (is_live(id))
      batch.ids.push_back(id);
    else if (!missing_ok)
      throw std::invalid_argument("SidCatalog.remove: item id " + to_string(id) +
                                  " is not in the catalogue (missing_ok=True skips such ids)");
  }
  batch.kinds.assign(batch.ids.size(), Kind::remove);
  const int64_t size = current_->size - static_cast<int64_t>(batch.ids.size());
  if (!batch.ids.empty()) commit(std::move(batch), size);
}

void Catalog::commit(Batch batch, int64_t size) {
  drop_old_versions();
  const bool many = changed_.size() + batch.ids.size() > static_cast<size_t>(base_->num_items() + kPending);
  std::unordered_map<int64_t, bool> changes;
  if (!many) {
    changes.reserve(batch.ids.size());
    for (size_t i = 0; i < batch.ids.size(); ++i) changes.emplace(batch.ids[i], batch.kinds[i] != Kind::remove);
    changed_.reserve(changed_.size() + changes.size());
  }
  const int64_t number = last_version_ + 1;
  auto version = std::make_shared<Version>(number, size, current_, std::move(batch));
  std::shared_ptr<const Tables> merged;
  if (many) {
    merged = version->tables_now(vocab_sizes_);
    version = std::make_shared<Version>(number, merged);
  }
  versions_.push_back(version);

  // Nothing below throws: all memory is reserved, and merging the maps moves existing nodes.
  if (many) {
    base_ = merged;
    changed_.clear();
  }
  for (const auto& [id, live] : changes)
    if (const auto found = changed_.find(id); found != changed_.end()) found->second = live;
  changed_.merge(changes);
  publish(std::move(version), std::move(merged));
}

void Catalog::drop_old_versions() {
  const size_t kept = static_cast<size_t>(std::max<int64_t>(history_, 1));
  if (versions_.size() < kept + kSpareVersions) return;
  const auto oldest = versions_.end() - static_cast<std::ptrdiff_t>(kept);
  for (auto version = oldest; version != versions_.end(); ++version)
    if ((*version)->previous_number() < (*oldest)->number) (*version)->anchor(vocab_sizes_);
  versions_.erase(versions_.begin(), oldest);
}

void Catalog::rollback(int64_t number) {
  const std::lock_guard lock(writing_);
  const size_t kept = std::min(versions_.size(), static_cast<size_t>(history_) + 1);
  const auto oldest = versions_.end() - static_cast<std::ptrdiff_t>(kept);
  const auto version =
      std::find_if(oldest, versions_.end(), [&](const auto& candidate) { return candidate->number == number; });
  if (version == versions_.end())
    throw std::invalid_argument("SidCatalog.rollback: version " + to_string(number) + " is not kept, only " +
                                to_string((*oldest)->number) + " to " + to_string(versions_.back()->number));
  auto tables = (*version)->tables_now(vocab_sizes_);
  base_ = tables;
  changed_.clear();
  publish(*version, std::move(tables));
}

}  // namespace recops::catalog
