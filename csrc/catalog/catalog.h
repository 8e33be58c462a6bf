// A live catalogue of items and their semantic IDs. Plain C++ without torch or Python.
//
// The content is a chain of versions (version.h), each with the changes of one call. A reader takes the current version
// and merges its arrays if no earlier reader did. Any number of threads may call at the same time. Writers wait for one
// another. Readers do not wait for writers, because a change is published by replacing one pointer. A call that throws
// changes nothing: everything that can fail (checks, memory) happens before the first change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "catalog/tables.h"
#include "catalog/version.h"

namespace recops::catalog {

struct Snapshot {
  int64_t version;
  int64_t last_version;  // highest number given so far; after a rollback it exceeds `version`
  std::shared_ptr<const Tables> tables;
};

class Catalog {
 public:
  // `history`: number of versions before the newest that rollback can return to.
  Catalog(std::vector<int64_t> vocab_sizes, int64_t history);
  // Starts with the content of a snapshot, which must be a trie of these vocabularies.
  Catalog(std::vector<int64_t> vocab_sizes, int64_t history, std::shared_ptr<const Tables> tables, int64_t version,
          int64_t last_version);

  size_t depth() const { return vocab_sizes_.size(); }
  const std::vector<int64_t>& vocab_sizes() const { return vocab_sizes_; }
  int64_t history() const { return history_; }
  size_t size() const { return static_cast<size_t>(current()->size); }
  int64_t version() const {
    return current()->number;
  }  // starts at 0; every call that changes something adds 1 to the highest number so far
  Snapshot snapshot() const;

  // ids [count], sids [count, depth]. Throws std::invalid_argument for a repeated id, an id in the catalogue (unless
  // `replace`), or a token outside its vocabulary. O(count · log size).
  void insert(const int64_t* ids, const int64_t* sids, size_t count, bool replace);

  // Throws std::invalid_argument for a repeated id or an id that is not in the catalogue (unless `missing_ok`). O(count
  // · log size).
  void remove(const int64_t* ids, size_t count, bool missing_ok);

  // Makes an earlier version current, under its old number. Later versions are kept, and no number is given twice.
  // Throws std::invalid_argument if the version is no longer kept.
  void rollback(int64_t version);

 private:
  std::shared_ptr<const Version> current() const;
  bool is_live(int64_t id) const;
  void adopt_base();
  void commit(Batch batch, int64_t size);
  void drop_old_versions();
  void publish(std::shared_ptr<Version> version, std::shared_ptr<const Tables> latest);

  const std::vector<int64_t> vocab_sizes_;
  const int64_t history_;

  mutable std::mutex published_;  // guards the next three; held only to copy pointers
  std::shared_ptr<Version> current_;
  int64_t last_version_;
  mutable std::shared_ptr<const Tables>
      latest_;  // keeps a recent version's arrays alive as the start of the next merge

  std::mutex writing_;  // admits one writer at a time; guards what follows
  std::deque<std::shared_ptr<Version>> versions_;
  std::shared_ptr<const Tables> base_;         // arrays of the current version or an earlier one
  std::unordered_map<int64_t, bool> changed_;  // changes since base_: id → true if inserted, false if removed
};

}  // namespace recops::catalog
