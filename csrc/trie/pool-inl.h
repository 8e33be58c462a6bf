// The best candidates of a beam search step in a strict order: score descending, then parent, then node ascending.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "simd/lanes-inl.h"
#include "simd/vector-inl.h"
#include "trie/log_sum_exp-inl.h"

namespace recops::trie::RECOPS_ISA {
namespace {

// Maps floats to integers with the same order. The value must not be NaN.
template <class T>
inline Lane<T> key_of(T value) {
  Lane<T> bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits < 0 ? std::numeric_limits<Lane<T>>::min() - bits : bits;
}

template <class T>
inline T value_of(Lane<T> key) {
  const Lane<T> bits = key < 0 ? std::numeric_limits<Lane<T>>::min() - key : key;
  T value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// The best `keep` of the offered candidates. Up to 2 · keep are collected, then reduced to keep. Scores are compared
// and counted by whole vectors, because a heap or a partition mispredicts a branch for every second candidate.
template <class T>
class Pool {
 public:
  static int64_t bytes(int64_t keep) { return capacity(keep) * int64_t{sizeof(T) + 3 * sizeof(int32_t)}; }

  // `memory` has bytes(keep) bytes and already contains `size` candidates.
  Pool(void* memory, int64_t keep, int64_t size = 0)
      : keep_(keep),
        size_(size),
        scores_(static_cast<T*>(memory)),
        parents_(reinterpret_cast<int32_t*>(scores_ + capacity(keep))),
        nodes_(parents_ + capacity(keep)),
        order_(nodes_ + capacity(keep)) {}

  // Candidates with a lower score are not among the best.
  T threshold() const { return worst_score_; }

  // On equal scores, the lower parent wins.
  bool wants(T score, int32_t parent) const {
    return score > worst_score_ || (score == worst_score_ && parent < worst_parent_);
  }

  // Adds a candidate for which wants() is true. Candidates of one parent must come in order of nodes. Returns whether
  // the threshold rose.
  bool offer(T score, int32_t parent, int64_t node) {
    const bool is_full = size_ == 2 * keep_;
    if (is_full) {
      halve();
      if (!wants(score, parent)) return true;
    }
    scores_[size_] = score + 0;  // −0 becomes 0: they compare equal but have different bits
    parents_[size_] = parent;
    nodes_[size_] = static_cast<int32_t>(node);
    ++size_;
    return is_full;
  }

  void offer_all(const Pool& other) {
    for (int64_t i = 0; i < other.size_; ++i)
      if (wants(other.scores_[i], other.parents_[i])) offer(other.scores_[i], other.parents_[i], other.nodes_[i]);
  }

  // Keeps only the best `keep` candidates. Returns their number.
  int64_t finish() {
    if (size_ > keep_) halve();
    return size_;
  }

  // Calls f(place, score, parent, node), best first.
  template <class F>
  void for_each_in_order(const F& f) {
    sort();
    for (int64_t place = 0; place < size_; ++place) {
      const int32_t i = order_[place];
      f(place, scores_[i], parents_[i], nodes_[i]);
    }
  }

 private:
  static int64_t capacity(int64_t keep) { return (2 * keep + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }

  bool is_better(int32_t i, int32_t j) const {
    if (scores_[i] != scores_[j]) return scores_[i] > scores_[j];
    return parents_[i] != parents_[j] ? parents_[i] < parents_[j] : nodes_[i] < nodes_[j];
  }

  // Fills the last vector with −inf for loops over whole vectors.
  void pad() { std::fill(scores_ + size_, scores_ + capacity((size_ + 1) / 2), -kInfinity<T>); }

  int64_t count_at_least(T score) const {
    Vec<Lane<T>> count = {};
    for (int64_t i = 0; i < size_; i += kLanes<T>) count -= load(scores_ + i) >= broadcast(score);
    return reduce_add<Lane<T>>(count);
  }

  // Bisects for the largest score that at least `keep` candidates reach, or any score that exactly `keep` reach.
  // `reaching` returns how many candidates reach it.
  T find_cut(int64_t& reaching) const {
    Vec<T> min = broadcast(kInfinity<T>), max = -min;
    for (int64_t i = 0; i + kLanes<T> <= size_; i += kLanes<T>) {
      const Vec<T> v = load(scores_ + i);
      min = v < min ? v : min;
      max = larger<T>(v, max);
    }
    T least = reduce<T>(min, [](Vec<T> a, Vec<T> b) { return a < b ? a : b; }), most = reduce_max<T>(max);
    for (int64_t i = size_ / kLanes<T> * kLanes<T>; i < size_; ++i) {
      least = std::min(least, scores_[i]);
      most = std::max(most, scores_[i]);
    }
    Lane<T> low = key_of(least), high = key_of(most);  // at least `keep` reach low, none is above high
    reaching = size_;
    while (low < high && reaching != keep_) {
      const Lane<T> middle =
          low + static_cast<Lane<T>>((static_cast<Unsigned>(high) - static_cast<Unsigned>(low) + 1) / 2);
      const int64_t count = count_at_least(value_of<T>(middle));
      if (count >= keep_) {
        low = middle;
        reaching = count;
      } else {
        high = middle - 1;
      }
    }
    return value_of<T>(low);
  }

  void halve() {
    pad();
    int64_t reaching;
    const T cut = find_cut(reaching);
    if (reaching > keep_) drop_ties(cut, reaching - keep_);
    worst_score_ = kInfinity<T>;
    worst_parent_ = 0;
    int64_t kept = 0;
    for (int64_t i = 0; i < size_; ++i) {
      const T score = scores_[i];
      const int32_t parent = parents_[i];
      scores_[kept] = score;
      parents_[kept] = parent;
      nodes_[kept] = nodes_[i];
      kept += score >= cut;
      if (score >= cut && score <= worst_score_) {
        worst_parent_ = score < worst_score_ ? parent : std::max(worst_parent_, parent);
        worst_score_ = score;
      }
    }
    size_ = kept;
  }

  // Removes the last `surplus` of the candidates that score exactly `cut`, by setting their scores to −inf.
  void drop_ties(T cut, int64_t surplus) {
    int64_t ties = 0;
    for (int64_t i = 0; i < size_; ++i)
      if (scores_[i] == cut) order_[ties++] = static_cast<int32_t>(i);
    const auto is_better_than = [this](int32_t i, int32_t j) { return is_better(i, j); };
    std::nth_element(order_, order_ + ties - surplus, order_ + ties, is_better_than);
    for (int64_t i = ties - surplus; i < ties; ++i) scores_[order_[i]] = -kInfinity<T>;
  }

  // Up to this size, each candidate is ranked against all others: quadratic, but without unpredictable branches.
  static constexpr int64_t kMostRanked = 64 * kLanes<T>;

  void sort() {
    const auto is_better_than = [this](int32_t i, int32_t j) { return is_better(i, j); };
    if (size_ > kMostRanked) {
      for (int64_t i = 0; i < size_; ++i) order_[i] = static_cast<int32_t>(i);
      std::sort(order_, order_ + size_, is_better_than);
      return;
    }
    pad();
    for (int64_t i = 0; i < size_; ++i) order_[rank(i)] = static_cast<int32_t>(i);
    if (std::is_sorted(order_, order_ + size_, is_better_than)) return;
    std::sort(order_, order_ + size_, is_better_than);  // some ties did not come in order
  }

  // Number of candidates that score more, or equal and come earlier.
  int64_t rank(int64_t i) const {
    const Vec<T> score = broadcast(scores_[i]);
    const int64_t own = i / kLanes<T> * kLanes<T>;
    Vec<Lane<T>> count = {};
    for (int64_t j = 0; j < own; j += kLanes<T>) count -= load(scores_ + j) >= score;
    for (int64_t j = own; j < size_; j += kLanes<T>) count -= load(scores_ + j) > score;
    int64_t rank = reduce_add<Lane<T>>(count);
    for (int64_t j = own; j < i; ++j) rank += scores_[j] == scores_[i];
    return rank;
  }

  using Unsigned = std::make_unsigned_t<Lane<T>>;

  int64_t keep_, size_;
  T* scores_;  // [capacity(keep)], like the other arrays
  int32_t *parents_, *nodes_, *order_;
  T worst_score_ = -kInfinity<T>;  // score of the keep-th best when last halved
  int32_t worst_parent_ = 0;
};

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
