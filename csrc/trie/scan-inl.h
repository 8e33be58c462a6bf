// Scan of beams, one after another, for their best children. See kernel.h for what is computed.
#pragma once

#include <algorithm>
#include <cmath>

#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"
#include "trie/gather-inl.h"
#include "trie/kernel.h"
#include "trie/log_sum_exp-inl.h"
#include "trie/pool-inl.h"

namespace recops::trie::RECOPS_ISA {
namespace {

template <class S>
class Scanner {
 public:
  using T = Compute<S>;

  struct Beam {
    const S* row;
    const S* upcoming;  // the next beam's row
    int32_t parent;
    T score;
    int64_t node;
  };

  // `gathered` has room for one logit per child of a node.
  Scanner(const BeamStep& step, const BeamRow& row, Pool<T> pool, T* gathered)
      : step_(step), trie_(row.trie), of_row_(row.filter), pool_(pool), gathered_(gathered) {}

  // Returns false if the logits that this beam reads contain NaN or +inf, or if the row has no logit for a child.
  bool scan(const Beam& beam) {
    has_logits_ = true;
    return scan_children(beam) && has_logits_;
  }

  int64_t finish() { return pool_.finish(); }

 private:
  bool scan_children(const Beam& beam) {
    children_ = children_of(trie_, beam.node);
    if (children_.begin == children_.end) return true;
    const int64_t level = level_of(trie_, beam.node);
    level_ = level + 1;
    filter_ = of_row_;
    if (filter_.bans != filter_.bans_end)
      filter_ = within(filter_, items_below(trie_, {beam.node, beam.node + 1}, level));
    switch (step_.normalize) {
      case Normalize::vocab: return scan_over_vocab(beam);
      case Normalize::children: return scan_over_children(beam);
      default: return scan_raw(beam);
    }
  }

  bool scan_over_vocab(const Beam& beam) {
    return with_normalizer(beam, beam.row, step_.vocab, beam.upcoming, [&](const auto& normalizer) {
      if (is_dense()) {
        offer_row(beam, normalizer);
      } else {
        gather_children(beam);
        offer_gathered(beam, normalizer);
      }
    });
  }

  bool scan_over_children(const Beam& beam) {
    gather_children(beam);
    // Children that are not offered are not in the normalizer, and their logits may have any value.
    if (!allows_all(filter_)) remove_unoffered();
    return with_normalizer(beam, gathered_, count(), gathered_,
                           [&](const auto& normalizer) { offer_gathered(beam, normalizer); });
  }

  // Calls offer(normalizer) if a logit of the row can win. Computes the rough log-sum-exp first; if the previous row
  // needed the exact one, this row starts with the exact one.
  template <class V, class Offer>
  bool with_normalizer(const Beam& beam, const V* row, int64_t count, const V* upcoming, const Offer& offer) {
    bool is_exact = expects_exact_, is_asked_for = false;
    LogSumExp<T> sum = is_exact ? log_sum_exp(row, count, upcoming) : rough_log_sum_exp(row, count, upcoming);
    if (!sum.valid) return false;
    if (can_win(beam, sum.max, sum.total()))
      offer([&] {
        if (!is_exact) sum = log_sum_exp(row, count, upcoming);
        is_exact = is_asked_for = true;
        return sum;
      });
    expects_exact_ =
        is_asked_for &&
        sizeof(T) == sizeof(float);  // double exponentials are not vectorized, so the rough sum always comes first
    return true;
  }

  bool scan_raw(const Beam& beam) {
    const auto normalizer = [] { return LogSumExp<T>{}; };
    if (is_dense()) {
      const Extent<T> row = extent(beam.row, step_.vocab);
      if (row.valid) {
        if (can_win(beam, row.max, 0)) offer_row(beam, normalizer);
        return true;
      }
    }
    gather_children(beam);
    Extent<T> logits = extent(gathered_, count());
    if (!logits.valid && !allows_all(filter_)) {
      remove_unoffered();
      logits = extent(gathered_, count());
    }
    if (!logits.valid) return false;
    if (can_win(beam, logits.max, 0)) offer_gathered(beam, normalizer);
    return true;
  }

  // Whether a child with this logit can pass the threshold, given a lower bound on the normalizer. Sets the cut for the
  // others.
  bool can_win(const Beam& beam, T logit, T normalizer) {
    set_cut(beam, normalizer);
    return logit > cut_;
  }

  // A child whose logit does not pass the cut cannot pass the threshold. The margin is far above rounding errors.
  void set_cut(const Beam& beam, T normalizer) {
    constexpr T kMargin{1e-4};
    const T threshold = pool_.threshold();
    const T margin = kMargin * (1 + std::abs(threshold) + std::abs(beam.score) + std::abs(normalizer));
    cut_ = ((threshold - beam.score) + normalizer) - margin;
  }

  // Whether comparing the whole row is cheaper than gathering the children's logits. Comparing a vector takes the time
  // of gathering a few logits.
  static constexpr int64_t kComparedPerGathered = 8;
  bool is_dense() const { return pool_.threshold() > -kInfinity<T> && count() * kComparedPerGathered >= step_.vocab; }

  // Looks up the few tokens whose logits pass the cut among the children. If more than one in kChildrenPerLookup
  // children would be looked up, the remaining children are gathered.
  static constexpr int64_t kChildrenPerLookup = 16;
  template <class F>
  void offer_row(const Beam& beam, const F& normalizer) {
    int64_t next = children_.begin, spare = count() / kChildrenPerLookup;
    for_each_above(beam.row, step_.vocab, cut_, [&](int64_t token, T logit) {
      next = first_child_from(next, token);
      if (next == children_.end || --spare < 0) return false;
      if (token_of(trie_, next) == token) offer(beam, next++, logit, normalizer);
      return true;
    });
    if (next == children_.end || spare >= 0) return;
    children_.begin = next;
    gather_children(beam);
    offer_gathered(beam, normalizer);
  }

  template <class F>
  void offer_gathered(const Beam& beam, const F& normalizer) {
    for_each_above(gathered_, count(), cut_, [&](int64_t i, T logit) {
      offer(beam, children_.begin + i, logit, normalizer);
      return true;
    });
  }

  template <class F>
  void offer(const Beam& beam, int64_t child, T logit, const F& normalizer) {
    const LogSumExp<T> sum = normalizer();
    const T score = sum.subtracted_from(logit) + beam.score;
    if (!pool_.wants(score, beam.parent) || !is_offered(child)) return;
    if (pool_.offer(score, beam.parent, child)) set_cut(beam, sum.total());
  }

  int64_t count() const { return children_.end - children_.begin; }

  bool is_offered(int64_t child) const {
    return allows_all(filter_) || allows_any(filter_, items_below(trie_, {child, child + 1}, level_));
  }

  void remove_unoffered() {
    if (filter_.mask != nullptr) {
      for (int64_t i = 0; i < count(); ++i)
        if (!is_offered(children_.begin + i)) gathered_[i] = -kInfinity<T>;
      return;
    }
    // Only a child with a ban below it can lose all of its items.
    int64_t child = children_.begin;
    for (const int32_t* ban = filter_.bans; ban != filter_.bans_end;) {
      child = child_above(child, *ban);
      const Interval items = items_below(trie_, {child, child + 1}, level_);
      if (!allows_any(filter_, items)) gathered_[child - children_.begin] = -kInfinity<T>;
      ban = first_from(ban + 1, filter_.bans_end, items.end);
    }
  }

  // The child in [next, end) whose items include `position`.
  int64_t child_above(int64_t next, int64_t position) const {
    int64_t end = children_.end;
    while (end - next > 1) {
      const int64_t middle = next + (end - next) / 2;
      (items_below(trie_, {middle, middle + 1}, level_).begin <= position ? next : end) = middle;
    }
    return next;
  }

  // The first child from `next` on whose token is at least `token`. When children cover much of the vocabulary, a
  // child's index is roughly proportional to its token. A search around that estimate touches one or two cache lines,
  // often uncached; a plain binary search touches several.
  static constexpr int64_t kFirstStep = 8;
  int64_t first_child_from(int64_t next, int64_t token) const {
    int64_t begin = next, end = children_.end;
    int64_t place = children_.begin + token * count() / step_.vocab;
    for (int64_t step = kFirstStep; begin <= place && place < end; step *= 2) {
      if (token_of(trie_, place) < token) {
        begin = place + 1;
        if (end != children_.end) break;
        place += step;
      } else {
        end = place;
        if (begin != next) break;
        place -= step;
      }
    }
    while (begin < end) {
      const int64_t middle = begin + (end - begin) / 2;
      if (token_of(trie_, middle) < token)
        begin = middle + 1;
      else
        end = middle;
    }
    return begin;
  }

  // If a token is outside the vocabulary, no child is gathered.
  void gather_children(const Beam& beam) {
    const auto gather_of = [&](const auto* tokens) {
      has_logits_ = are_tokens(tokens + children_.begin, count(), step_.vocab);
      if (!has_logits_) children_.end = children_.begin;
      gather(beam.row, tokens + children_.begin, count(), gathered_);
    };
    if (trie_.wide_tokens)
      gather_of(static_cast<const int32_t*>(trie_.tokens));
    else
      gather_of(static_cast<const uint16_t*>(trie_.tokens));
  }

  const BeamStep& step_;
  const Trie& trie_;
  const ItemFilter& of_row_;
  ItemFilter filter_;  // filter of the current beam
  Pool<T> pool_;
  T* gathered_;
  T cut_ = 0;                   // cut for the logits of the current beam
  bool expects_exact_ = false;  // whether the next row is likely to need the exact sum
  bool has_logits_ = true;      // whether the row has logits for all children of the current beam
  Interval children_ = {0, 0};  // children of the current beam that are not examined yet
  int64_t level_ = 0;           // level of those children
};

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
