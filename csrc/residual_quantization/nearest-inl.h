// Search for the k nearest codewords.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/row-inl.h"
#include "residual_quantization/shift-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

template <class T>
struct Candidate {
  T key;
  int32_t index;

  bool operator<(const Candidate& other) const { return key < other.key || (key == other.key && index < other.index); }
};

// `items` contains the k least candidates so far; scores not below `threshold` cannot be among them. Items are appended
// while a whole panel still fits; then all but the k least are dropped. The amortized cost of an append is O(1).
template <class T>
struct Shortlist {
  Candidate<T>* items;
  int64_t count;
  T threshold;
};

int64_t shortlist_capacity(const Codebooks& books, int64_t k) {
  const int64_t width = compute_bytes(books.codewords) == 8 ? kWidth<double> : kWidth<float>;
  return std::min(2 * k, books.codewords.rows) + width;
}

template <int R, class T>
[[gnu::noinline]] void update_shortlists(const T* rows, int64_t dim, const T* panel, int64_t first, int64_t k,
                                         Shortlist<T>* lists) {
  Vec<T> score[R][kTileVectors];
  score_tile<R, T>(rows, dim, panel, score);
  for (int i = 0; i < R; ++i) {
    Shortlist<T> list = lists[i];
    for (int v = 0; v < kTileVectors; ++v) {
      if (!any<T>(score[i][v] < list.threshold)) continue;
      T scores[kLanes<T>];
      store(scores, score[i][v]);
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        list.items[list.count] = {scores[lane], static_cast<int32_t>(first + v * kLanes<T> + lane)};
        list.count += scores[lane] < list.threshold;  // strict: indices ascend, so the lowest index wins ties
      }
    }
    if (list.count >= 2 * k) {
      std::nth_element(list.items, list.items + k - 1, list.items + list.count);
      list.count = k;
      list.threshold = list.items[k - 1].key;
    }
    lists[i] = list;
  }
}

template <int R, class T>
void update_shortlist_block(const T* rows, int64_t count, int64_t dim, const T* panel, int64_t first, int64_t k,
                            Shortlist<T>* lists) {
  for (; count >= R; count -= R, rows += R * dim, lists += R) update_shortlists<R>(rows, dim, panel, first, k, lists);
  if constexpr (R > 1) update_shortlist_block<R - 1>(rows, count, dim, panel, first, k, lists);
}

int64_t nearest_row_bytes(const Codebooks& books, int64_t k) {
  return books.codewords.dim * compute_bytes(books.codewords) + int64_t{sizeof(Shortlist<double>)} +
         shortlist_capacity(books, k) * int64_t{sizeof(Candidate<double>)};
}

int64_t nearest_scratch(const Codebooks& books, int64_t k) {
  const int64_t row_bytes = nearest_row_bytes(books, k);
  return panel_bytes(books) + block_rows(row_bytes) * row_bytes;
}

template <class X, class S, class T = Compute<S>>
int64_t nearest_rows(const X* x, const Codebooks& books, const T* packed, int64_t k, int64_t begin, int64_t end,
                     int32_t* index, T* sq_distance, void* scratch) {
  const int64_t dim = books.codewords.dim, capacity = shortlist_capacity(books, k);
  const S* codewords = static_cast<const S*>(books.codewords.data);
  const int64_t block = block_rows(nearest_row_bytes(books, k));
  T* single = static_cast<T*>(scratch);
  Candidate<T>* items = reinterpret_cast<Candidate<T>*>(single + panel_size<T>(dim));
  Shortlist<T>* lists = reinterpret_cast<Shortlist<T>*>(items + block * capacity);
  T* rows = reinterpret_cast<T*>(lists + block);
  const Panels<S> panels = panels_of_level<S>(books, 0, packed, 0, single);
  int64_t bad = -1;
  for (int64_t first = begin; first < end; first += block) {
    const int64_t count = std::min(block, end - first);
    for (int64_t n = 0; n < count; ++n) {
      const bool finite = load_shifted(x + (first + n) * dim, dim, books.shift, rows + n * dim);
      lists[n] = {items + n * capacity, 0, finite ? infinity<T>() : -infinity<T>()};
    }
    for (int64_t p = 0; p < panels.size(); ++p)
      update_shortlist_block<kTileRows>(rows, count, dim, panels.get(p, bad), p * kWidth<T>, k, lists);
    for (int64_t n = 0; n < count; ++n) {
      Shortlist<T>& list = lists[n];
      const bool enough = list.count >= k;  // false for a row that is not finite: its threshold rejects everything
      if (enough) {
        std::nth_element(list.items, list.items + k - 1, list.items + list.count);
        if (books.shift != nullptr) load_row(x + (first + n) * dim, dim, rows + n * dim);
        for (int64_t j = 0; j < k; ++j)
          list.items[j].key = squared_distance(rows + n * dim, codewords + list.items[j].index * dim, dim);
        std::sort(list.items, list.items + k);
      }
      for (int64_t j = 0; j < k; ++j) {
        index[(first + n) * k + j] = enough ? list.items[j].index : -1;
        sq_distance[(first + n) * k + j] = enough ? list.items[j].key : std::numeric_limits<T>::quiet_NaN();
      }
    }
  }
  return bad;
}

int64_t nearest(const Matrix& x, const Codebooks& books, const void* packed, int64_t k, int64_t begin, int64_t end,
                int32_t* index, void* sq_distance, void* scratch) {
  return dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) {
    using T = Compute<S>;
    return nearest_rows<X, S>(static_cast<const X*>(x.data), books, static_cast<const T*>(packed), k, begin, end, index,
                              static_cast<T*>(sq_distance), scratch);
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
