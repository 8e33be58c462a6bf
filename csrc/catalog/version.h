// One version of a catalogue: its predecessor and its changes. Its arrays are computed on demand.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "catalog/changes.h"
#include "catalog/tables.h"

namespace recops::catalog {

// A version keeps its changes and its predecessor, and remembers its arrays only while someone else uses them. An
// anchored version keeps its arrays and no predecessor. A chain of versions therefore uses memory for its changes and
// for the one trie at its start.
class Version {
 public:
  Version(int64_t number, std::shared_ptr<const Tables> tables);  // anchored
  Version(int64_t number, int64_t size, std::shared_ptr<const Version> previous, Batch batch);

  const int64_t number;
  const int64_t size;  // items

  // Returns the arrays. If they are not in memory, merges them from the nearest predecessor with arrays in memory. A
  // caller waits if another thread is merging the same version.
  std::shared_ptr<const Tables> tables(const std::vector<int64_t>& vocab_sizes) const;

  // The same, but neither waits for other threads nor makes them wait.
  std::shared_ptr<const Tables> tables_now(const std::vector<int64_t>& vocab_sizes) const;

  std::shared_ptr<const Tables> at_hand() const { return state().tables; }  // null if not in memory
  int64_t previous_number() const;                                          // −1 if anchored
  void anchor(const std::vector<int64_t>& vocab_sizes);

 private:
  struct State {
    std::shared_ptr<const Tables> tables;
    std::shared_ptr<const Version> previous;
  };
  State state() const;

  const Batch batch_;
  mutable std::mutex merging_;
  mutable std::mutex state_;  // held only to copy pointers; guards what follows
  std::shared_ptr<const Version> previous_;
  std::shared_ptr<const Tables> anchored_;
  mutable std::weak_ptr<const Tables> remembered_;
};

}  // namespace recops::catalog
