// Search for the best codeword of every row in a block.
#pragma once

#include <algorithm>
#include <cstdint>

#include "residual_quantization/panel-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Best codeword of a row so far, per lane: its score, and its index divided by the number of lanes.
template <class T>
struct Best {
  Vec<T> score;
  Vec<Lane<T>> ordinal;
};

template <int R, class T>
[[gnu::noinline]] void update_best(const T* rows, int64_t dim, const T* panel, int64_t ordinal, Best<T>* best,
                                   Upcoming<T> upcoming) {
  Vec<T> score[R][kTileVectors];
  score_tile<R, T>(rows, dim, panel, score, upcoming);
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
    Best<T> b = best[i];
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) {
      // Comparing with the minimum, not with the score, keeps compilers from replacing the minimum by a blend.
      const Vec<T> least = score[i][v] < b.score ? score[i][v] : b.score;
      const auto less = least < b.score;  // strict: each lane keeps its lowest index
      b.ordinal = less ? broadcast(static_cast<Lane<T>>(ordinal + v)) : b.ordinal;
      b.score = least;
    }
    best[i] = b;
  }
}

// Processes tiles of R rows, then the remaining rows in smaller tiles. A row's score does not depend on its tile.
template <int R, class T>
void update_block(const T* rows, int64_t count, int64_t dim, const T* panel, int64_t ordinal, Best<T>* best,
                  Upcoming<T> upcoming) {
  for (; count >= R; count -= R, rows += R * dim, best += R, upcoming.line += dim / upcoming.every * kLine<T>)
    update_best<R>(rows, dim, panel, ordinal, best, upcoming);
  if constexpr (R > 1) update_block<R - 1>(rows, count, dim, panel, ordinal, best, upcoming);
}

// Reduces one vector's worth of rows at once, one row per lane. Each result is the lowest index among the lanes of the
// row's `best` with the least score, or 0 if no score was below +inf. Results after `count` rows have no meaning.
template <class T>
Vec<Lane<T>> best_indices(const Best<T>* best, int64_t count) {
  constexpr int lanes = kLanes<T>;
  Vec<T> score[lanes];
  Vec<Lane<T>> ordinal[lanes];
  for (int i = 0; i < lanes; ++i) {
    score[i] = best[i < count ? i : 0].score;
    ordinal[i] = best[i < count ? i : 0].ordinal;
  }
  transpose<T>(score);
  transpose<Lane<T>>(ordinal);
  Vec<T> least = score[0];
  Vec<Lane<T>> index = ordinal[0] * lanes;
#pragma GCC unroll 16
  for (int i = 1; i < lanes; ++i) {
    const Vec<Lane<T>> candidate = ordinal[i] * lanes + i;
    const auto better = (score[i] < least) | ((score[i] == least) & (candidate < index));
    least = better ? score[i] : least;
    index = better ? candidate : index;
  }
  return index;
}

// Finds a level's nearest codeword for each of `count` consecutive rows. The outer loop is over panels, the inner loop
// over tiles of rows. `best` is scratch of `count` elements. Returns the first codeword with a bad norm that packing
// met, or −1.
template <class S, class T = Compute<S>>
int64_t nearest_of_level(const T* rows, int64_t count, const Panels<S>& panels, Best<T>* best, int32_t* index) {
  const int64_t dim = panels.dim;
  for (int64_t n = 0; n < count; ++n) best[n] = {broadcast(infinity<T>()), Vec<Lane<T>>{}};
  // Packed panels follow one another, so each tile prefetches its share of the next panel.
  const int64_t every = std::max(count / kTileRows * kLine<T> / kWidth<T>, int64_t{1});
  int64_t bad = -1;
  for (int64_t p = 0; p < panels.size(); ++p) {
    const T* panel = panels.get(p, bad);
    update_block<kTileRows>(rows, count, dim, panel, p * kTileVectors, best, {panel + panel_size<T>(dim), every});
  }
  for (int64_t n = 0; n < count; n += kLanes<T>) {
    const Vec<Lane<T>> found = best_indices(best + n, count - n);
    for (int64_t i = 0; i < kLanes<T> && n + i < count; ++i) index[n + i] = static_cast<int32_t>(found[i]);
  }
  return bad;
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
