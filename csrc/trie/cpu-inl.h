// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#pragma once

#include <algorithm>

#include "common/arena.h"
#include "simd/stored-inl.h"
#include "trie/kernel.h"
#include "trie/pool-inl.h"
#include "trie/scan-inl.h"

namespace recops::trie::RECOPS_ISA {
namespace {

// Beams point to random nodes of the trie, so the children of the next two beams are prefetched during this one.
inline void prefetch_children(const Trie& trie, int32_t after_next, int32_t next) {
  constexpr int64_t kLines = 8;
  if (after_next >= 0) __builtin_prefetch(trie.first_child + after_next);
  if (next < 0) return;
  const Interval children = children_of(trie, next);
  const int64_t size = trie.wide_tokens ? 4 : 2;
  const int64_t bytes = std::min((children.end - children.begin) * size, kLines * kCacheLine);
  const char* tokens = static_cast<const char*>(trie.tokens) + children.begin * size;
  for (int64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(tokens + i);
}

int64_t pool_bytes(Dtype dtype, int64_t keep) {
  return with_stored_type(dtype, [&](auto s) { return Pool<Compute<decltype(s)>>::bytes(keep); });
}

int64_t scratch_bytes(Dtype dtype, int64_t max_children) {
  return with_stored_type(dtype,
                          [&](auto s) -> int64_t { return max_children * int64_t{sizeof(Compute<decltype(s)>)}; });
}

int64_t scan(const BeamStep& step, const BeamRow& row, int64_t begin, int64_t stride, int64_t width, int64_t keep,
             void* pool, void* scratch) {
  return with_stored_type(step.dtype, [&](auto s) -> int64_t {
    using S = decltype(s);
    using T = Compute<S>;
    const S* logits = static_cast<const S*>(row.logits);
    const T* scores = static_cast<const T*>(row.scores);
    Scanner<S> scanner(step, row, Pool<T>(pool, keep), static_cast<T*>(scratch));
    const auto node_at = [&](int64_t place) { return place < width ? row.nodes[row.beam_at(place)] : -1; };
    for (int64_t place = begin; place < width; place += stride) {
      prefetch_children(row.trie, node_at(place + 2 * stride), node_at(place + stride));
      const int64_t m = row.beam_at(place);
      if (row.nodes[m] < 0 || scores[m] == -kInfinity<T>) continue;
      const int64_t next = place + stride < width ? row.beam_at(place + stride) : m;
      if (!scanner.scan({logits + m * step.beam_stride, logits + next * step.beam_stride, static_cast<int32_t>(m),
                         scores[m], row.nodes[m]}))
        return -1 - place;
    }
    return scanner.finish();
  });
}

template <class T>
void merge(const BeamStep& step, const Trie& trie, int64_t keep, const int64_t* counts, int64_t chunks, char* pools,
           const BeamOutputs& out) {
  Pool<T> best(pools, keep, counts[0]);
  for (int64_t chunk = 1; chunk < chunks; ++chunk)
    best.offer_all(Pool<T>(pools + chunk * Pool<T>::bytes(keep), keep, counts[chunk]));
  T* scores = static_cast<T*>(out.scores);
  const int64_t size = best.finish();
  best.for_each_in_order([&](int64_t place, T score, int32_t parent, int32_t node) {
    scores[place] = score;
    out.tokens[place] = static_cast<int32_t>(token_of(trie, node));
    out.parents[place] = parent;
    out.nodes[place] = node;
  });
  std::fill(scores + size, scores + step.num_beams, -kInfinity<T>);
  for (int32_t* indices : {out.tokens, out.parents, out.nodes}) std::fill(indices + size, indices + step.num_beams, -1);
}

void merge(const BeamStep& step, const BeamRow& row, int64_t keep, const int64_t* counts, int64_t chunks, void* pools,
           const BeamOutputs& out) {
  with_stored_type(step.dtype, [&](auto s) {
    merge<Compute<decltype(s)>>(step, row.trie, keep, counts, chunks, static_cast<char*>(pools), out);
  });
}

}  // namespace

extern const Kernels kernels = {
    .pool_bytes = pool_bytes,
    .scratch_bytes = scratch_bytes,
    .scan = scan,
    .merge = merge,
};

}  // namespace recops::trie::RECOPS_ISA
