// Scans beams, one after another, for the best of their children. See kernel.h for what is computed.
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

  // `gathered`: places for as many logits as a node has children.
  Scanner(const BeamStep& step, const BeamRow& row, Pool<T> pool, T* gathered)
      : step_(step), trie_(row.trie), of_row_(row.filter), pool_(pool), gathered_(gathered) {}

  // False where the logits that this beam reads hold a NaN or +inf, or the row has none for a child.
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
    // One that is not offered takes no part in the normalizer, and its logit may be anything.
    if (!allows_all(filter_)) remove_unoffered();
    return with_normalizer(beam, gathered_, count(), gathered_,
                           [&](const auto& normalizer) { offer_gathered(beam, normalizer); });
  }

  // offer(normalizer) if a logit of the row can win. Of a row whose exact log-sum-exp is most likely asked for, as that
  // of the row before was, it is taken at once; of others the rough one first.
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
    expects_exact_ = is_asked_for && sizeof(T) == sizeof(float);  // doubles' exponentials are taken one by one
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

  // Can a child of this logit pass the threshold, if the normalizer is at least so large? Sets the cut for the others.
  bool can_win(const Beam& beam, T logit, T normalizer) {
    set_cut(beam, normalizer);
    return logit > cut_;
  }

  // A child whose logit does not pass the cut can't pass the threshold; the margin is far above what is rounded.
  void set_cut(const Beam& beam, T normalizer) {
    constexpr T kMargin{1e-4};
    const T threshold = pool_.threshold();
    const T margin = kMargin * (1 + std::abs(threshold) + std::abs(beam.score) + std::abs(normalizer));
    cut_ = ((threshold - beam.score) + normalizer) - margin;
  }

  // Is it less work to compare the whole row than to gather the children's logits? A vector is compared in the time
  // that a few logits are gathered in.
  static constexpr int64_t kComparedPerGathered = 8;
  bool is_dense() const { return pool_.threshold() > -kInfinity<T> && count() * kComparedPerGathered >= step_.vocab; }

  // The few tokens whose logits pass `cut` are looked for among the children; should many pass, one in so many
  // children, the rest is gathered.
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
    // Only children with a ban below them can be such.
    int64_t child = children_.begin;
    for (const int32_t* ban = filter_.bans; ban != filter_.bans_end;) {
      child = child_above(child, *ban);
      const Interval items = items_below(trie_, {child, child + 1}, level_);
      if (!allows_any(filter_, items)) gathered_[child - children_.begin] = -kInfinity<T>;
      ban = first_from(ban + 1, filter_.bans_end, items.end);
    }
  }

  // The child, from `next` on, that the item at `position` is below.
  int64_t child_above(int64_t next, int64_t position) const {
    int64_t end = children_.end;
    while (end - next > 1) {
      const int64_t middle = next + (end - next) / 2;
      (items_below(trie_, {middle, middle + 1}, level_).begin <= position ? next : end) = middle;
    }
    return next;
  }

  // The first child from `next` on whose token is at least `token`. Where a good part of the tokens are children, it
  // stands about where the token does in the vocabulary: looking around that place touches a line or two of the tokens,
  // most often not in the cache, where halving touches a handful.
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

  // Of tokens beyond the vocabulary, nothing.
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
  ItemFilter filter_;  // of the beam at hand
  Pool<T> pool_;
  T* gathered_;
  T cut_ = 0;                   // what the logits of the beam at hand must pass
  bool expects_exact_ = false;  // of the next row
  bool has_logits_ = true;      // the beam at hand, for all of its children
  Interval children_ = {0, 0};  // of the beam at hand, those that are left to look at
  int64_t level_ = 0;           // theirs
};

}  // namespace
}  // namespace recops::trie::RECOPS_ISA
