// One version of a catalogue: what the version before it was, and what was changed; its arrays when somebody wants
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "catalog/changes.h"
#include "catalog/tables.h"

namespace recops::catalog {

// A version holds its changes and its predecessor, and remembers its arrays only as long as someone else uses them; an
// anchored one holds its arrays and forgets its predecessor. So a chain of versions costs its changes, and the one
// trie at its beginning.
class Version {
 public:
  Version(int64_t number, std::shared_ptr<const Tables> tables);  // anchored
  Version(int64_t number, int64_t size, std::shared_ptr<const Version> previous, Batch batch);

  const int64_t number;
  const int64_t size;  // items

  // The arrays, merged from the nearest predecessor whose arrays are at hand, unless they are themselves. Whoever asks
  // for a version's arrays while another merges them waits for that other.
  std::shared_ptr<const Tables> tables(const std::vector<int64_t>& vocab_sizes) const;

  // The same, waiting for nobody and keeping nobody waiting.
  std::shared_ptr<const Tables> tables_now(const std::vector<int64_t>& vocab_sizes) const;

  std::shared_ptr<const Tables> at_hand() const { return state().tables; }  // null where they are not
  int64_t previous_number() const;                                          // −1: it is anchored
  void anchor(const std::vector<int64_t>& vocab_sizes);

 private:
  struct State {
    std::shared_ptr<const Tables> tables;
    std::shared_ptr<const Version> previous;
  };
  State state() const;

  const Batch batch_;
  mutable std::mutex merging_;
  mutable std::mutex state_;  // held to copy pointers only; guards what follows
  std::shared_ptr<const Version> previous_;
  std::shared_ptr<const Tables> anchored_;
  mutable std::weak_ptr<const Tables> remembered_;
};

}  // namespace recops::catalog
