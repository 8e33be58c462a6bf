// Kernel body, compiled once per instruction set. See kernel.h for what it computes.
#include <algorithm>
#include <cmath>

#include "simd.h"
#include "trie/kernel.h"
#include "trie/log_sum_exp.h"

namespace recops::trie::RECOPS_ISA {
namespace {

template <class T>
struct Candidate {
  T score;
  int32_t parent;
  int32_t node;
};

struct Better {
  template <class T>
  bool operator()(const Candidate<T>& a, const Candidate<T>& b) const {
    if (a.score != b.score) return a.score > b.score;
    if (a.parent != b.parent) return a.parent < b.parent;
    return a.node < b.node;  // siblings are in order of tokens
  }
};

// The best `keep` of the candidates offered in order of parent and token: once there are as many, a heap with the worst
// on top.
template <class T>
struct Pool {
  Candidate<T>* candidates;  // [keep]
  int64_t keep;
  int64_t size = 0;
  T threshold = -kInfinity<T>;  // what does not pass it is not among the best

  void add(const Candidate<T>& candidate) {
    if (size < keep) {
      candidates[size++] = candidate;
      if (size < keep) return;
      std::make_heap(candidates, candidates + keep, Better{});
    } else {
      replace_top(candidate);
    }
    threshold = candidates[0].score;
  }

 private:
  void replace_top(const Candidate<T>& candidate) {
    int64_t hole = 0;
    for (int64_t child = 1; child < keep; child = 2 * hole + 1) {
      if (child + 1 < keep && Better{}(candidates[child], candidates[child + 1])) ++child;
      if (!Better{}(candidate, candidates[child])) break;
      candidates[hole] = candidates[child];
      hole = child;
    }
    candidates[hole] = candidate;
  }
};

// values[i] = row[tokens[i]].
template <class S, class Token>
void gather(const S* row, const Token* tokens, int64_t count, Compute<S>* values) {
  using T = Compute<S>;
  if constexpr (std::is_same_v<S, T>) {
#pragma GCC unroll 8
    for (int64_t i = 0; i < count; ++i) values[i] = row[tokens[i]];
  } else {
    S lanes[kLanes<T>] = {};
    int64_t i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>) {
      for (int j = 0; j < kLanes<T>; ++j) lanes[j] = row[tokens[i + j]];
      store(values + i, load_as_compute(lanes));
    }
    for (int64_t j = 0; i + j < count; ++j) lanes[j] = row[tokens[i + j]];
    store_as(values + i, load_as_compute(lanes), count - i);
  }
}

template <class S>
struct Scanner {
  using T = Compute<S>;
  static constexpr int64_t kBlock = 4 * kLanes<T>;

  const BeamStep& step;
  MaskBits mask;
  Pool<T> pool;
  T* children;  // [most children of a node]

  // False where the logits that this beam reads hold a NaN or +inf. `upcoming` is the next beam's row.
  bool scan(const S* row, const S* upcoming, int32_t parent, int64_t node, T score) {
    const Trie& trie = step.trie;
    const Interval nodes = children_of(trie, node);
    const int64_t count = nodes.end - nodes.begin;
    if (count == 0) return true;
    const int64_t level = level_of(trie, node) + 1;
    const auto is_child = [&](int64_t child) {
      return mask == nullptr || any_allowed(mask, items_below(trie, {child, child + 1}, level));
    };

    T normalizer = 0;
    if (step.normalize == Normalize::vocab) {
      const T at_least = rough_log_sum_exp(row, step.vocab);
      if (at_least != at_least) return false;
      gather_children(row, nodes);
      const T best = extent(children, count).max;
      if (best == -kInfinity<T>) return true;
      // A child passes the threshold only if the normalizer stays below this; the margin is far above what is rounded.
      const T margin = T{1e-4} * (1 + std::abs(best) + std::abs(score) + std::abs(at_least));
      if (at_least > (best + score) - pool.threshold + margin) return true;
      normalizer = log_sum_exp(row, step.vocab, at_least, upcoming);
    } else {
      gather_children(row, nodes);
      Extent<T> logits = extent(children, count);
      // One that is not offered takes no part in the normalizer, and its logit may be anything.
      if (mask != nullptr && (step.normalize == Normalize::children || !logits.valid)) {
        for (int64_t i = 0; i < count; ++i)
          if (!is_child(nodes.begin + i)) children[i] = -kInfinity<T>;
        logits = extent(children, count);
      }
      if (!logits.valid) return false;
      if (logits.max == -kInfinity<T>) return true;
      if (step.normalize == Normalize::children) normalizer = log_sum_exp(children, count, logits.max, children);
    }

    for (int64_t begin = 0; begin < count; begin += kBlock) {
      const int64_t end = std::min(begin + kBlock, count);
      if (!((block_max(begin, end) - normalizer) + score > pool.threshold)) continue;
      for (int64_t i = begin; i < end; ++i) {
        const T total = (children[i] - normalizer) + score;
        if (total > pool.threshold && is_child(nodes.begin + i))
          pool.add({total, parent, static_cast<int32_t>(nodes.begin + i)});
      }
    }
    return true;
  }

 private:
  void gather_children(const S* row, Interval nodes) const {
    const int64_t count = nodes.end - nodes.begin;
    if (step.trie.wide_tokens)
      gather(row, static_cast<const int32_t*>(step.trie.tokens) + nodes.begin, count, children);
    else
      gather(row, static_cast<const uint16_t*>(step.trie.tokens) + nodes.begin, count, children);
  }

  T block_max(int64_t begin, int64_t end) const {
    if (end - begin < kBlock) return *std::max_element(children + begin, children + end);
    const T* block = children + begin;
    return reduce_max<T>(larger<T>(larger<T>(load(block), load(block + kLanes<T>)),
                                   larger<T>(load(block + 2 * kLanes<T>), load(block + 3 * kLanes<T>))));
  }
};

// Beams point anywhere into the trie: what the next two read of it is fetched while this one is worked on.
inline void prefetch_children(const Trie& trie, const int32_t* nodes, int64_t m, int64_t end) {
  constexpr int64_t kLine = 64, kLines = 8;
  if (m + 2 < end && nodes[m + 2] >= 0) __builtin_prefetch(trie.first_child + nodes[m + 2]);
  if (m + 1 >= end || nodes[m + 1] < 0) return;
  const Interval next = children_of(trie, nodes[m + 1]);
  const int64_t size = trie.wide_tokens ? 4 : 2;
  const int64_t bytes = std::min((next.end - next.begin) * size, kLines * kLine);
  const char* tokens = static_cast<const char*>(trie.tokens) + next.begin * size;
  for (int64_t i = 0; i < bytes; i += kLine) __builtin_prefetch(tokens + i);
}

int64_t candidate_bytes(Dtype dtype) {
  return with_stored_type(dtype, [](auto s) -> int64_t { return sizeof(Candidate<Compute<decltype(s)>>); });
}

int64_t scratch_bytes(const BeamStep& step, int64_t max_children) {
  return with_stored_type(step.dtype, [&](auto s) -> int64_t {
    using S = decltype(s);
    return max_children * int64_t{sizeof(Compute<S>)};
  });
}

int64_t scan(const BeamStep& step, int64_t row, int64_t begin, int64_t end, int64_t keep, void* pool, void* scratch) {
  return with_stored_type(step.dtype, [&](auto s) -> int64_t {
    using S = decltype(s);
    using T = Compute<S>;
    const S* logits = static_cast<const S*>(step.logits) + row * step.batch_stride;
    const int32_t* nodes = step.nodes + row * step.width;
    const T* scores = static_cast<const T*>(step.scores) + row * step.width;
    Scanner<S> scanner{step,
                       step.mask == nullptr ? nullptr : step.mask + row * step.mask_stride,
                       {static_cast<Candidate<T>*>(pool), keep},
                       static_cast<T*>(scratch)};
    for (int64_t m = begin; m < end; ++m) {
      prefetch_children(step.trie, nodes, m, end);
      if (nodes[m] < 0 || scores[m] == -kInfinity<T>) continue;
      const S* upcoming = logits + std::min(m + 1, end - 1) * step.beam_stride;
      if (!scanner.scan(logits + m * step.beam_stride, upcoming, static_cast<int32_t>(m), nodes[m], scores[m]))
        return -1 - m;
    }
    return scanner.pool.size;
  });
}

template <class T>
void merge(const BeamStep& step, int64_t row, int64_t keep, const int64_t* counts, int64_t chunks,
           Candidate<T>* candidates, const BeamOutputs& out) {
  int64_t size = counts[0];
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    const Candidate<T>* pool = candidates + chunk * keep;
    std::copy(pool, pool + counts[chunk], candidates + size);
    size += counts[chunk];
  }
  if (size > keep) std::nth_element(candidates, candidates + keep - 1, candidates + size, Better{});
  size = std::min(size, keep);
  std::sort(candidates, candidates + size, Better{});

  for (int64_t i = 0; i < step.num_beams; ++i) {
    const int64_t at = row * step.num_beams + i;
    const bool taken = i < size;
    static_cast<T*>(out.scores)[at] = taken ? candidates[i].score : -kInfinity<T>;
    out.tokens[at] = taken ? static_cast<int32_t>(token_of(step.trie, candidates[i].node)) : -1;
    out.parents[at] = taken ? candidates[i].parent : -1;
    out.nodes[at] = taken ? candidates[i].node : -1;
  }
}

void merge(const BeamStep& step, int64_t row, int64_t keep, const int64_t* counts, int64_t chunks, void* pools,
           const BeamOutputs& out) {
  with_stored_type(step.dtype, [&](auto s) {
    using T = Compute<decltype(s)>;
    merge(step, row, keep, counts, chunks, static_cast<Candidate<T>*>(pools), out);
  });
}

}  // namespace

extern const Kernels kernels = {candidate_bytes, scratch_bytes, scan, merge};

}  // namespace recops::trie::RECOPS_ISA
