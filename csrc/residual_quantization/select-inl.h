// Selection of the best extensions of a row's beams. Minima over groups of candidates give a bound, so only few
// candidates are compared one by one.
//
// Candidate (b, k) extends beam b by code k and has index b · K + k. Beams are stored in order of their paths, so
// candidate indices are in order of paths: of two equal scores, the lower index is the lower path.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "residual_quantization/nearest-inl.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/table-inl.h"
#include "simd/lanes-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

template <class T>
Vec<T> lesser(Vec<T> a, Vec<T> b) {
  return a < b ? a : b;
}

template <class T, int... I>
Vec<T> rotate(Vec<T> a, std::integer_sequence<int, I...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, a, (I + 1) % kLanes<T>...);
#else
  return __builtin_shuffle(a, Vec<Lane<T>>{(I + 1) % kLanes<T>...});
#endif
}

// The n-th least (from 0) of the values of V vectors: the largest value with at most n values below it.
template <int V, class T>
T nth_of(const T* values, int64_t n) {
  Vec<T> value[V];
  Vec<Lane<T>> rank[V] = {};
  for (int v = 0; v < V; ++v) value[v] = load(values + v * kLanes<T>);
  for (int i = 0; i < V * kLanes<T>; ++i) {
    const Vec<T> other = broadcast(values[i]);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) rank[v] -= other < value[v];
  }
  const auto greater = [](Vec<T> a, Vec<T> b) { return a < b ? b : a; };
  const Vec<T> lowest = broadcast(std::numeric_limits<T>::lowest());
  Vec<T> result = lowest;
  for (int v = 0; v < V; ++v) result = greater(result, rank[v] <= static_cast<Lane<T>>(n) ? value[v] : lowest);
  return reduce<T>(result, greater);
}

// Codewords in a piece of a level: the scores of all beams against a piece fit into the first-level cache.
constexpr int64_t kPiece = 256;

// Selection of one row at one level: the candidates so far, and the bound that they must not exceed. The bound is the
// `wanted`-th least of the minima of disjoint groups, so at least `wanted` candidates satisfy it.
template <class T>
struct Selection {
  Candidate<T>* items;  // [selection_capacity]
  T* minima;            // [sets · kGroups]
  T bound;
  int64_t count;
  int64_t needed;  // number of candidates to return; with fewer, the selection fails
};

// Number of sets of groups. A few groups per wanted candidate make the bound tight.
template <class T>
int64_t group_sets(int64_t beam) {
  return round_up(beam, kGroups<T> / 2) / (kGroups<T> / 2);
}

template <class T>
int64_t selection_capacity(int64_t beam) {
  return 2 * beam + kPiece;
}

template <class T>
void start(Selection<T>& s, int64_t sets, int64_t wanted) {
  for (int64_t i = 0; i < sets * kGroups<T>; ++i) s.minima[i] = infinity<T>();
  s.bound = std::numeric_limits<T>::max();
  s.count = 0;
  s.needed = wanted;
}

// Updates the group minima. Different beams often prefer the same codes. Rotating the groups between beams keeps their
// minima in different groups.
template <class T>
void rotate_into(T* minima, const Vec<T>* least) {
  for (int v = 0; v < kGroupVectors<T>; ++v, minima += kLanes<T>) {
    const Vec<T> turned = rotate<T>(load(minima), std::make_integer_sequence<int, kLanes<T>>{});
    store(minima, lesser<T>(least[v], turned));
  }
}

// Returns the `wanted`-th least of the group minima, or of minima over pairs of groups if there are enough groups.
// `spare` has room for all minima.
template <class T>
T bound_of(const T* minima, int64_t sets, int64_t wanted, T* spare) {
  if (sets * kGroups<T> < wanted) return infinity<T>();
  if (sets == 1 && wanted <= kGroups<T> / 8) {
    for (int v = 0; v < kGroupVectors<T> / 2; ++v)
      store(spare + v * kLanes<T>,
            lesser<T>(load(minima + v * kLanes<T>), load(minima + (v + kGroupVectors<T> / 2) * kLanes<T>)));
    return nth_of<kGroupVectors<T> / 2>(spare, wanted - 1);
  }
  if (sets == 1) return nth_of<kGroupVectors<T>>(minima, wanted - 1);
  for (int64_t i = 0; i < sets * kGroups<T>; ++i) spare[i] = minima[i];
  // The lambda keeps the template instance local to this instruction set.
  std::nth_element(spare, spare + wanted - 1, spare + sets * kGroups<T>, [](T a, T b) { return a < b; });
  return spare[wanted - 1];
}

template <class T>
void drop_all_but(Selection<T>& s, int64_t wanted) {
  std::nth_element(s.items, s.items + wanted - 1, s.items + s.count);
  s.count = wanted;
  s.bound = std::min(s.bound, s.items[wanted - 1].key);
}

// Keeps the candidates within the bound, out of `count` scores to which `cost` is added; `count` is a multiple of
// kGroups. Only groups whose minimum `least` is within the bound are examined.
template <class T>
void keep(Selection<T>& s, const T* scores, int64_t count, const Vec<T>* least, T cost, int64_t first_index,
          int64_t wanted) {
  for (int v = 0; v < kGroupVectors<T>; ++v) {
    for (uint32_t bits = mask_bits<T>(least[v] <= s.bound); bits != 0; bits &= bits - 1) {
      const int64_t group = v * kLanes<T> + __builtin_ctz(bits);
      int64_t kept = s.count;
      for (int64_t k = group; k < count; k += kGroups<T>) {
        const T score = scores[k] + cost;
        s.items[kept] = {score, static_cast<int32_t>(first_index + k)};
        kept += score <= s.bound;
      }
      s.count = kept;
      if (kept > selection_capacity<T>(wanted) - kPiece / kGroups<T> - 1) drop_all_but(s, wanted);
    }
  }
}

// Sorts by index. A few candidates are ranked without branches, each against all others.
template <class T>
void sort_by_index(Candidate<T>* items, int64_t count) {
  if (count > kGroups<T>) {
    std::sort(items, items + count, [](const Candidate<T>& a, const Candidate<T>& b) { return a.index < b.index; });
    return;
  }
  Lane<T> index[kGroups<T>], rank[kGroups<T>];
  Candidate<T> unsorted[kGroups<T>];
  for (int64_t i = 0; i < count; ++i) {
    unsorted[i] = items[i];
    index[i] = items[i].index;
  }
  for (int64_t i = count; i < kGroups<T>; ++i) index[i] = std::numeric_limits<Lane<T>>::max();
  for (int64_t first = 0; first < count; first += kLanes<T>) {
    const Vec<Lane<T>> own = load(index + first);
    Vec<Lane<T>> less = {};
    for (int64_t i = 0; i < count; ++i) less -= broadcast(index[i]) < own;
    store(rank + first, less);
  }
  for (int64_t i = 0; i < count; ++i) items[rank[i]] = unsorted[i];
}

// Reduces the selection to the best `needed` candidates, in order of index. Returns false if there are fewer.
template <class T>
bool finish(Selection<T>& s) {
  const int64_t wanted = s.needed;
  if (s.count < wanted) return false;
  if (s.count > kGroups<T> && s.count > wanted) drop_all_but(s, wanted);
  sort_by_index(s.items, s.count);
  if (s.count == wanted) return true;
  T keys[kGroups<T>];
  for (int i = 0; i < kGroups<T>; ++i) keys[i] = i < s.count ? s.items[i].key : infinity<T>();
  const T last = s.count <= kLanes<T>       ? nth_of<1>(keys, wanted - 1)
                 : s.count <= 2 * kLanes<T> ? nth_of<2>(keys, wanted - 1)
                                            : nth_of<kGroupVectors<T>>(keys, wanted - 1);
  int64_t ties = wanted, kept = 0;
  for (int64_t i = 0; i < s.count; ++i) ties -= s.items[i].key < last;
  for (int64_t i = 0; i < s.count; ++i) {
    const Candidate<T> item = s.items[i];
    s.items[kept] = item;
    kept += item.key < last || (item.key == last && ties > 0);
    ties -= item.key == last;
  }
  s.count = wanted;
  return true;
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
