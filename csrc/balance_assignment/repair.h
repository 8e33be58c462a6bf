// Moves items between codes until no code exceeds its capacity.
//
// Overloaded codes only lose items; the others only gain items, up to their capacity. Free capacity therefore only
// shrinks. An item's few nearest codes with room stay its nearest until all of them are full. Only then are all codes
// searched again, so no N × K matrix is stored.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <utility>
#include <vector>

#include "balance_assignment/kernel.h"

namespace recops::balance_assignment {

class Repair {
 public:
  // Buffers for a search of target codes.
  struct Scratch {
    std::vector<int32_t> codes;
    std::vector<double> distances;

    explicit Scratch(size_t count) : codes(count), distances(padded_values(static_cast<int64_t>(count))) {}
  };

  // `index` [items] is changed in place; −1 means that an item has no code. Weights of items with a code must be finite
  // and not negative.
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
    const auto is_overloaded = [&](int32_t code) { return load_[code] > capacity_[code]; };
    for (int32_t code = 0; code < static_cast<int32_t>(capacity_.size()); ++code)
      if (!is_overloaded(code)) receivers_.push_back(code);
    for (int64_t item = 0; item < items(); ++item)
      if (index_[item] >= 0 && is_overloaded(index_[item]) && weights_[item] > 0) movable_.push_back(item);
    lists_.resize(movable_.size());
  }

  // Number of items that may have to move. Before `run`, call `find_targets` for all of them, in any order and from any
  // thread, with separate scratch per thread.
  int64_t movable() const { return static_cast<int64_t>(movable_.size()); }
  Scratch scratch() const { return Scratch(receivers_.size() + 1); }

  void find_targets(int64_t begin, int64_t end, Scratch& scratch) {
    for (int64_t m = begin; m < end; ++m) find(m, scratch);
  }

  // Returns whether every code is within its capacity. `load` gets the sums of weights, added in order of items.
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
  static constexpr int kListed = 4;

  struct Target {
    double distance;
    int32_t code;
  };

  // The nearest codes with room for an item, nearest first. The list starts with two, which usually suffice, and grows
  // to kListed if they do not.
  struct List {
    Target targets[kListed];
    int limit = 1, count = 0, next = 0;
    double own = 0;  // distance to the item's current code
  };

  struct Move {
    double regret;  // added distance per unit of weight; never NaN, which would break the order
    int64_t m;

    // The least regret compares greatest, so std::priority_queue returns it first; ties go to the first item.
    bool operator<(const Move& other) const { return regret > other.regret || (regret == other.regret && m > other.m); }
    bool operator>(const Move& other) const { return other < *this; }
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
    int32_t* codes = scratch.codes.data();
    double* distances = scratch.distances.data();
    codes[0] = index_[item];
    int64_t count = 1;
    for (const int32_t code : receivers_) {
      codes[count] = code;
      count += static_cast<int>(has_room(code, weight));
    }
    kernels_.squared_distances(space_, item, codes, count, distances);
    list.own = std::exchange(distances[0], std::numeric_limits<double>::quiet_NaN());
    list.limit = std::min(2 * list.limit, kListed);
    list.next = 0;
    // Codes ascend, so the lowest code wins ties.
    Least least[kListed];
    list.count = static_cast<int>(kernels_.select_least(distances, count, list.limit, least));
    for (int i = 0; i < list.count; ++i) list.targets[i] = {least[i].value, codes[least[i].place]};
  }

  // Returns the nearest code that has room for the item now, or null.
  const Target* target_of(int64_t m, Scratch& scratch) {
    List& list = lists_[m];
    const double weight = weights_[movable_[m]];
    for (bool again = list.count == list.limit;; again = list.count == list.limit) {
      for (; list.next < list.count; ++list.next)
        if (has_room(list.targets[list.next].code, weight)) return &list.targets[list.next];
      if (!again) return nullptr;  // the list already held every code with room
      find(m, scratch);
      if (list.count == 0) return nullptr;
    }
  }

  void move_by_regret() {
    Scratch scratch = this->scratch();
    const auto move_of = [&](int64_t m, const Target& target) {
      const double regret = (target.distance - lists_[m].own) / weights_[movable_[m]];
      // If both distances overflow, the regret is unknown and the item moves last.
      return Move{std::isnan(regret) ? std::numeric_limits<double>::infinity() : regret, m};
    };
    std::vector<Move> moves;
    moves.reserve(movable_.size());
    for (int64_t m = 0; m < movable(); ++m)
      if (const Target* target = target_of(m, scratch)) moves.push_back(move_of(m, *target));
    std::sort(moves.begin(), moves.end(), std::greater<Move>());
    std::priority_queue<Move> again;  // moves whose target code became full
    for (auto next = moves.begin(); next != moves.end() || !again.empty();) {
      int64_t m;
      if (again.empty() || (next != moves.end() && *next > again.top())) {
        m = (next++)->m;
      } else {
        m = again.top().m;
        again.pop();
      }
      const int64_t item = movable_[m];
      const int32_t code = index_[item];
      if (load_[code] <= capacity_[code]) continue;
      const int32_t wanted = lists_[m].targets[lists_[m].next].code;
      const Target* target = target_of(m, scratch);
      if (target == nullptr) continue;
      if (target->code != wanted) {
        again.push(move_of(m, *target));
        continue;
      }
      load_[code] -= weights_[item];
      load_[wanted] += weights_[item];
      index_[item] = wanted;
    }
  }

  // Checks necessary conditions for a fit: the heaviest item and the total weight.
  bool may_fit() const {
    const double heaviest = *std::max_element(weights_.begin(), weights_.end());
    const auto sum = [](const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); };
    return heaviest <= *std::max_element(capacity_.begin(), capacity_.end()) &&
           sum(weights_) <= sum(capacity_) * (1 + 1e-12);
  }

  // Assigns all items again, heaviest first, to the nearest code with room. Returns false if an item does not fit.
  bool place_heaviest_first() {
    std::vector<int64_t> order;
    for (int64_t item = 0; item < items(); ++item)
      if (index_[item] >= 0) order.push_back(item);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return weights_[a] > weights_[b]; });
    std::fill(load_.begin(), load_.end(), 0.0);
    Scratch scratch(capacity_.size());
    for (const int64_t item : order) {
      int64_t count = 0;
      for (size_t code = 0; code < capacity_.size(); ++code)
        if (has_room(static_cast<int32_t>(code), weights_[item])) scratch.codes[count++] = static_cast<int32_t>(code);
      kernels_.squared_distances(space_, item, scratch.codes.data(), count, scratch.distances.data());
      Least nearest;
      if (kernels_.select_least(scratch.distances.data(), count, 1, &nearest) == 0) return false;
      index_[item] = scratch.codes[nearest.place];
      load_[index_[item]] += weights_[item];
    }
    return true;
  }

  const Kernels& kernels_;
  Space space_;
  std::vector<double> weights_, capacity_;
  int32_t* index_;
  std::vector<double> load_;
  std::vector<int32_t> receivers_;  // codes within capacity, ascending
  std::vector<int64_t> movable_;
  std::vector<List> lists_;
};

}  // namespace recops::balance_assignment
