// Moves items between codes until no code carries more than its capacity.
//
// Codes above capacity give, the others take, and never more than they have room for: room only shrinks. So an item's
// few nearest codes with room, found once, stay the nearest until all of them are full; only then are the others looked
// at again, and no N × K matrix is ever held.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <queue>
#include <vector>

#include "balance_assignment/kernel.h"

namespace recops::balance_assignment {

class Repair {
 public:
  // `index` [items], −1 for an item that has no code, is changed in place. Weights are finite and not negative, of
  // items with a code.
  Repair(const Kernels& kernels, const Space& space, std::vector<double> weights, std::vector<double> capacity,
         int32_t* index)
      : kernels_(kernels),
        space_(space),
        weights_(std::move(weights)),
        capacity_(std::move(capacity)),
        index_(index),
        load_(loads()) {
    for (int64_t item = 0; item < items(); ++item)
      if (index_[item] < 0) weights_[item] = 0;
    const auto gives = [&](int32_t code) { return load_[code] > capacity_[code]; };
    for (int32_t code = 0; code < static_cast<int32_t>(capacity_.size()); ++code)
      if (!gives(code)) takers_.push_back(code);
    for (int64_t item = 0; item < items(); ++item)
      if (index_[item] >= 0 && gives(index_[item]) && weights_[item] > 0) movable_.push_back(item);
    lists_.resize(movable_.size());
  }

  // What may have to move; `find_targets` must have been called for each of these before `run`, in any order and from
  // any thread.
  int64_t movable() const { return static_cast<int64_t>(movable_.size()); }

  void find_targets(int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t m = begin; m < end; ++m) find(m, scratch);
  }

  // Returns whether every code is within its capacity. `load` has the sums of weights, added in order of items.
  bool run(std::vector<double>& load) {
    move_by_regret();
    if (!within(load = loads()) && may_fit()) {
      const std::vector<int32_t> repaired(index_, index_ + items());
      if (!place_heaviest_first()) std::copy(repaired.begin(), repaired.end(), index_);
      load = loads();
    }
    return within(load);
  }

 private:
  static constexpr int kListed = 8;

  struct Target {
    double distance;
    int32_t code;
  };

  // The nearest codes that had room for an item, nearest first: two, which are mostly enough, and every time that they
  // were not, twice as many.
  struct List {
    Target targets[kListed];
    int limit = 1, count = 0, next = 0;
    double own = 0;  // its distance to the code it is in
  };

  struct Scratch {
    std::vector<int32_t> codes;
    std::vector<double> distances;
  };

  struct Move {
    double regret;  // per unit of weight
    int64_t m;

    bool operator<(const Move& other) const {  // the queue's top is its greatest
      return regret > other.regret || (regret == other.regret && m > other.m);
    }
  };

  int64_t items() const { return static_cast<int64_t>(weights_.size()); }

  bool has_room(int32_t code, double weight) const { return load_[code] + weight <= capacity_[code]; }

  std::vector<double> loads() const {
    std::vector<double> load(capacity_.size());
    for (int64_t item = 0; item < items(); ++item)
      if (index_[item] >= 0) load[index_[item]] += weights_[item];
    return load;
  }

  bool within(const std::vector<double>& load) const {
    return std::equal(load.begin(), load.end(), capacity_.begin(), [](double l, double c) { return l <= c; });
  }

  void find(int64_t m, Scratch& scratch) {
    const int64_t item = movable_[m];
    const double weight = weights_[item];
    List& list = lists_[m];
    scratch.codes.resize(takers_.size() + 1);
    scratch.distances.resize(takers_.size() + 1);
    int32_t* codes = scratch.codes.data();
    codes[0] = index_[item];
    int32_t count = 1;
    for (const int32_t code : takers_) {
      codes[count] = code;
      count += static_cast<int>(has_room(code, weight));
    }
    const double* distances = scratch.distances.data();
    kernels_.squared_distances(space_, item, codes, count, scratch.distances.data());
    list.limit = std::min(2 * list.limit, kListed);
    list.count = list.next = 0;
    list.own = distances[0];
    for (int32_t i = 1; i < count; ++i) {
      // Codes ascend: of equal distances those in the list stay before.
      if (list.count == list.limit && !(distances[i] < list.targets[list.limit - 1].distance)) continue;
      int at = std::min(list.count, list.limit - 1);
      for (; at > 0 && distances[i] < list.targets[at - 1].distance; --at) list.targets[at] = list.targets[at - 1];
      list.targets[at] = {distances[i], codes[i]};
      list.count = std::min(list.count + 1, list.limit);
    }
  }

  // The nearest code that has room for an item now, or null.
  const Target* target_of(int64_t m, Scratch& scratch) {
    List& list = lists_[m];
    const double weight = weights_[movable_[m]];
    for (bool again = list.count == list.limit;; again = list.count == list.limit) {
      for (; list.next < list.count; ++list.next)
        if (has_room(list.targets[list.next].code, weight)) return &list.targets[list.next];
      if (!again) return nullptr;  // the list held every code there was
      find(m, scratch);
      if (list.count == 0) return nullptr;
    }
  }

  void move_by_regret() {
    Scratch scratch;
    std::vector<Move> moves;
    const auto move_of = [&](int64_t m, const Target& target) {
      return Move{(target.distance - lists_[m].own) / weights_[movable_[m]], m};
    };
    for (int64_t m = 0; m < movable(); ++m)
      if (const Target* target = target_of(m, scratch)) moves.push_back(move_of(m, *target));
    std::priority_queue<Move> queue(std::less<Move>(), std::move(moves));
    while (!queue.empty()) {
      const int64_t m = queue.top().m, item = movable_[m];
      queue.pop();
      const int32_t code = index_[item];
      if (load_[code] <= capacity_[code]) continue;
      const int32_t wanted = lists_[m].targets[lists_[m].next].code;
      const Target* target = target_of(m, scratch);
      if (target == nullptr) continue;
      if (target->code != wanted) {
        queue.push(move_of(m, *target));
        continue;
      }
      load_[code] -= weights_[item];
      load_[wanted] += weights_[item];
      index_[item] = wanted;
    }
  }

  // Whether nothing rules out a fit at once.
  bool may_fit() const {
    const double heaviest = *std::max_element(weights_.begin(), weights_.end());
    const auto sum = [](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); };
    return heaviest <= *std::max_element(capacity_.begin(), capacity_.end()) &&
           sum(weights_) <= sum(capacity_) * (1 + 1e-12);
  }

  // Every item anew, heaviest first, into its nearest code with room. False where one finds none.
  bool place_heaviest_first() {
    std::vector<int64_t> order;
    for (int64_t item = 0; item < items(); ++item)
      if (index_[item] >= 0) order.push_back(item);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return weights_[a] > weights_[b]; });
    std::fill(load_.begin(), load_.end(), 0.0);
    Scratch scratch;
    for (const int64_t item : order) {
      scratch.codes.clear();
      for (size_t code = 0; code < capacity_.size(); ++code)
        if (has_room(static_cast<int32_t>(code), weights_[item])) scratch.codes.push_back(static_cast<int32_t>(code));
      if (scratch.codes.empty()) return false;
      scratch.distances.resize(scratch.codes.size());
      kernels_.squared_distances(space_, item, scratch.codes.data(), static_cast<int64_t>(scratch.codes.size()),
                                 scratch.distances.data());
      const auto nearest = std::min_element(scratch.distances.begin(), scratch.distances.end());
      index_[item] = scratch.codes[nearest - scratch.distances.begin()];
      load_[index_[item]] += weights_[item];
    }
    return true;
  }

  const Kernels& kernels_;
  Space space_;
  std::vector<double> weights_, capacity_;
  int32_t* index_;
  std::vector<double> load_;
  std::vector<int32_t> takers_;  // the codes that are not above capacity, ascending
  std::vector<int64_t> movable_;
  std::vector<List> lists_;
};

}  // namespace recops::balance_assignment
