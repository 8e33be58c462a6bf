// Conversion of user rows to lanes and back, by transposing squares of registers.
#pragma once

#include "memory/lanes-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

// Loads `width` values per lane into lanes [begin, end), from the rows `index` of an array stored as S. Other lanes are
// zeroed or kept.
enum class Others { zero, keep };
template <class S>
void load_rows(const S* rows, int64_t width, const int64_t* index, int64_t begin, int64_t end, Others others,
               Compute<S>* lanes) {
  using T = Compute<S>;
  for (int64_t first = 0; first < kUsers<T>; first += kLanes<T>) {
    const int64_t from = begin - first, to = end - first;
    if (others == Others::keep && (from >= kLanes<T> || to <= 0)) continue;
    Vec<Lane<T>> mine;
    for (int i = 0; i < kLanes<T>; ++i) mine[i] = i >= from && i < to ? -1 : 0;
    int64_t e = 0;
    if (from <= 0 && to >= kLanes<T>) {  // whole squares, which stay in registers
      for (; e + kLanes<T> <= width; e += kLanes<T>) {
        Vec<T> square[kLanes<T>];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) square[i] = load_as_compute(rows + index[first + i] * width + e);
        transpose<T>(square);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) store(lanes + (e + i) * kUsers<T> + first, square[i]);
      }
    }
    for (; e < width; e += kLanes<T>) {
      Vec<T> square[kLanes<T>];
      for (int i = 0; i < kLanes<T>; ++i)
        square[i] = i >= from && i < to ? load_as_compute(rows + index[first + i] * width + e, width - e) : Vec<T>{};
      transpose<T>(square);
      T* to_lanes = lanes + e * kUsers<T> + first;
      for (int i = 0; i < kLanes<T> && e + i < width; ++i, to_lanes += kUsers<T>)
        store(to_lanes, others == Others::keep ? (mine ? square[i] : load(to_lanes)) : square[i]);
    }
  }
}

// Stores lanes [begin, end) into the rows `index`, which are `stride` apart.
template <class S>
void store_rows(const Compute<S>* lanes, int64_t width, const int64_t* index, int64_t begin, int64_t end,
                int64_t stride, S* rows) {
  using T = Compute<S>;
  for (int64_t first = 0; first < end; first += kLanes<T>) {
    const int64_t from = begin - first, to = end - first;
    if (from >= kLanes<T>) continue;
    int64_t e = 0;
    if (from <= 0 && to >= kLanes<T>) {  // whole squares, which stay in registers
      for (; e + kLanes<T> <= width; e += kLanes<T>) {
        Vec<T> square[kLanes<T>];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) square[i] = load(lanes + (e + i) * kUsers<T> + first);
        transpose<T>(square);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) store_as(rows + index[first + i] * stride + e, square[i]);
      }
    }
    for (; e < width; e += kLanes<T>) {
      Vec<T> square[kLanes<T>];
      for (int i = 0; i < kLanes<T>; ++i)
        square[i] = e + i < width ? load(lanes + (e + i) * kUsers<T> + first) : Vec<T>{};
      transpose<T>(square);
      for (int i = 0; i < kLanes<T>; ++i)
        if (i >= from && i < to) store_as(rows + index[first + i] * stride + e, square[i], width - e);
    }
  }
}

// Prefetches a row that is loaded and written later.
template <class T>
void fetch(const T* rows, int64_t row, int64_t width) {
  constexpr int64_t kLine = 64 / int64_t{sizeof(T)};
  for (int64_t e = 0; e < width; e += kLine) __builtin_prefetch(rows + row * width + e, 1, 2);
}

// Input numbers of step t for the first `live` lanes.
inline void input_rows(const Block& block, int64_t t, int64_t live, int64_t* index) {
  for (int64_t i = 0; i < live; ++i) {
    const int64_t e = block.first[i] + t;
    index[i] = block.events == nullptr ? e : block.events[e];
  }
}

// Number of rows that take step t.
inline int64_t live_at(const Block& block, int64_t t) {
  int64_t live = 0;
  while (live < block.count && block.lengths[live] > t) ++live;
  return live;
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
