// A live catalogue of items and their semantic IDs. Plain C++: no torch, no Python.
//
// Items are kept in order of insertion, an item that gets another SID in its old place; a removed item's row stays
// behind until half of the rows are such. Any number of threads may call at once: a shared lock for reading, an
// exclusive one for writing. A call that throws has changed nothing: all that can fail (checks, memory) comes before
// the first change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

namespace recops::catalog {

struct Entries {
  int64_t version;
  std::vector<int64_t> ids;   // [n], in order of insertion
  std::vector<int32_t> sids;  // [n, depth]
};

class Catalog {
 public:
  explicit Catalog(std::vector<int64_t> vocab_sizes);

  size_t depth() const { return vocab_sizes_.size(); }
  const std::vector<int64_t>& vocab_sizes() const { return vocab_sizes_; }
  size_t size() const;
  int64_t version() const;  // 0 at first, one more after each call that changed something
  Entries entries() const;

  // ids [count], sids [count, depth]. Throws std::invalid_argument where an id comes twice or is live (unless
  // `replace`), or a token is outside its vocabulary. O(count).
  void insert(const int64_t* ids, const int64_t* sids, size_t count, bool replace);

  // Throws std::invalid_argument where an id comes twice, or is not live (unless `missing_ok`). O(count), amortised.
  void remove(const int64_t* ids, size_t count, bool missing_ok);

 private:
  void compact() noexcept;

  const std::vector<int64_t> vocab_sizes_;
  mutable std::shared_mutex mutex_;
  int64_t version_ = 0;
  std::unordered_map<int64_t, size_t> rows_;  // of the live items
  std::vector<int64_t> ids_;                  // by row, like the next two
  std::vector<int32_t> sids_;
  std::vector<uint8_t> live_;
};

}  // namespace recops::catalog
