// A live catalogue of items and their semantic IDs. Plain C++: no torch, no Python.
//
// Its content is a chain of versions (version.h), each with what one call changed; a reader takes the current one and
// has its arrays merged, if no reader had before. Any number of threads may call at once. Those that change something
// wait for one another; those that read wait for none of them, since a change is published by one pointer. A call that
// throws has changed nothing: all that can fail (checks, memory) comes before the first change.
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
  int64_t last_version;  // the highest number given so far, after a rollback more than `version`
  std::shared_ptr<const Tables> tables;
};

class Catalog {
 public:
  // `history`: how many versions before the newest can be rolled back to.
  Catalog(std::vector<int64_t> vocab_sizes, int64_t history);
  // With the content of a snapshot, which must be a trie of these vocabularies.
  Catalog(std::vector<int64_t> vocab_sizes, int64_t history, std::shared_ptr<const Tables> tables, int64_t version,
          int64_t last_version);

  size_t depth() const { return vocab_sizes_.size(); }
  const std::vector<int64_t>& vocab_sizes() const { return vocab_sizes_; }
  int64_t history() const { return history_; }
  size_t size() const { return static_cast<size_t>(current()->size); }
  int64_t version() const { return current()->number; }  // 0 at first; each call that changes something makes a new one
  Snapshot snapshot() const;

  // ids [count], sids [count, depth]. Throws std::invalid_argument where an id comes twice or is live (unless
  // `replace`), or a token is outside its vocabulary. O(count · log size).
  void insert(const int64_t* ids, const int64_t* sids, size_t count, bool replace);

  // Throws std::invalid_argument where an id comes twice, or is not live (unless `missing_ok`). O(count · log size).
  void remove(const int64_t* ids, size_t count, bool missing_ok);

  // Makes an earlier version the current one, under its old number; versions after it stay, and no number is given
  // twice. Throws std::invalid_argument where it is not kept.
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

  mutable std::mutex published_;  // held to copy pointers only; guards the next three
  std::shared_ptr<Version> current_;
  int64_t last_version_;
  mutable std::shared_ptr<const Tables> latest_;  // so that the next merge starts near

  std::mutex writing_;  // one writer at a time; guards what follows
  std::deque<std::shared_ptr<Version>> versions_;
  std::shared_ptr<const Tables> base_;         // of the current version or one before it …
  std::unordered_map<int64_t, bool> changed_;  // … since when these came (true) or went
};

}  // namespace recops::catalog
