#include "catalog/catalog.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <utility>

namespace recops::catalog {
namespace {

using std::to_string;

void require_distinct(const char* call, const std::vector<int64_t>& ids) {
  std::unordered_set<int64_t> seen;
  seen.reserve(ids.size());
  for (int64_t id : ids)
    if (!seen.insert(id).second)
      throw std::invalid_argument(std::string(call) + ": item id " + to_string(id) + " is repeated");
}

// Room for `more` elements, growing by doubling.
template <class T>
void reserve_more(std::vector<T>& values, size_t more) {
  if (values.capacity() < values.size() + more) values.reserve(std::max(2 * values.size(), values.size() + more));
}

}  // namespace

Catalog::Catalog(std::vector<int64_t> vocab_sizes) : vocab_sizes_(std::move(vocab_sizes)) {
  if (vocab_sizes_.empty()) throw std::invalid_argument("SidCatalog: vocab_sizes must name at least one level");
  for (int64_t size : vocab_sizes_)
    if (size < 1 || size > INT32_MAX)
      throw std::invalid_argument("SidCatalog: vocab_sizes must be from 1 to 2^31 − 1, got " + to_string(size));
}

size_t Catalog::size() const {
  const std::shared_lock lock(mutex_);
  return rows_.size();
}

int64_t Catalog::version() const {
  const std::shared_lock lock(mutex_);
  return version_;
}

Entries Catalog::entries() const {
  const std::shared_lock lock(mutex_);
  Entries entries{version_, {}, {}};
  entries.ids.reserve(rows_.size());
  entries.sids.reserve(rows_.size() * depth());
  for (size_t row = 0; row < ids_.size(); ++row) {
    if (!live_[row]) continue;
    entries.ids.push_back(ids_[row]);
    const auto sid = sids_.begin() + static_cast<std::ptrdiff_t>(row * depth());
    entries.sids.insert(entries.sids.end(), sid, sid + static_cast<std::ptrdiff_t>(depth()));
  }
  return entries;
}

void Catalog::insert(const int64_t* given_ids, const int64_t* given_sids, size_t count, bool replace) {
  // Copies, so that what is checked is what is stored, whoever else writes to the caller's arrays.
  const std::vector<int64_t> ids(given_ids, given_ids + count);
  std::vector<int32_t> sids(count * depth());
  for (size_t i = 0; i < sids.size(); ++i) {
    const size_t level = i % depth();
    const int64_t token = given_sids[i];
    if (token < 0 || token >= vocab_sizes_[level])
      throw std::invalid_argument("SidCatalog.insert: sids[" + to_string(i / depth()) + ", " + to_string(level) +
                                  "] is " + to_string(token) + ", outside the level's vocabulary of " +
                                  to_string(vocab_sizes_[level]));
    sids[i] = static_cast<int32_t>(token);
  }
  require_distinct("SidCatalog.insert", ids);

  const std::unique_lock lock(mutex_);
  std::unordered_map<int64_t, size_t> added;
  std::vector<size_t> places;
  for (int64_t id : ids) {
    const auto found = rows_.find(id);
    if (found != rows_.end() && !replace)
      throw std::invalid_argument("SidCatalog.insert: item id " + to_string(id) +
                                  " is in the catalogue (replace=True gives it another SID)");
    places.push_back(found != rows_.end() ? found->second : ids_.size() + added.size());
    if (found == rows_.end()) added.emplace(id, places.back());
  }
  reserve_more(ids_, added.size());
  reserve_more(live_, added.size());
  reserve_more(sids_, added.size() * depth());
  rows_.reserve(rows_.size() + added.size());

  // From here on nothing throws: there is room for everything, and merge moves nodes that exist.
  ids_.resize(ids_.size() + added.size());
  live_.resize(ids_.size());
  sids_.resize(ids_.size() * depth());
  rows_.merge(added);
  for (size_t i = 0; i < count; ++i) {
    ids_[places[i]] = ids[i];
    live_[places[i]] = 1;
    std::copy_n(&sids[i * depth()], depth(), &sids_[places[i] * depth()]);
  }
  version_ += count > 0;
}

void Catalog::remove(const int64_t* given_ids, size_t count, bool missing_ok) {
  const std::vector<int64_t> ids(given_ids, given_ids + count);
  require_distinct("SidCatalog.remove", ids);

  const std::unique_lock lock(mutex_);
  if (!missing_ok)
    for (int64_t id : ids)
      if (!rows_.contains(id))
        throw std::invalid_argument("SidCatalog.remove: item id " + to_string(id) +
                                    " is not in the catalogue (missing_ok=True skips such ids)");
  const size_t before = rows_.size();
  for (int64_t id : ids) {
    const auto found = rows_.find(id);
    if (found == rows_.end()) continue;
    live_[found->second] = 0;
    rows_.erase(found);
  }
  version_ += rows_.size() < before;
  if (ids_.size() > 2 * rows_.size()) compact();
}

void Catalog::compact() noexcept {
  size_t next = 0;
  for (size_t row = 0; row < ids_.size(); ++row) {
    if (!live_[row]) continue;
    ids_[next] = ids_[row];
    std::copy_n(&sids_[row * depth()], depth(), &sids_[next * depth()]);
    rows_.find(ids_[row])->second = next++;
  }
  ids_.resize(next);
  sids_.resize(next * depth());
  live_.assign(next, 1);
}

}  // namespace recops::catalog
