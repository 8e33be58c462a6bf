// Parts of a table row: a few vectors, which kernels hold in registers.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::embedding::RECOPS_ISA {
namespace {

// At most 32 bytes per load. Rows start at any address, and a 64-byte load nearly always crosses a cache line.
constexpr int kRowBytes = std::min(kVectorBytes, 32);

// N vectors of L values from some column on. The last vector ends at the end of the row and may overlap the previous
// one. Therefore all vectors must be loaded before one is stored. L = 0 means a single partial vector.
template <class S, int N, int L>
struct Part {
  using T = Compute<S>;
  typedef T V __attribute__((vector_size((L > 0 ? L : kLanes<T>)*sizeof(T))));
  int64_t width;  // columns from the part's first to the end of the row

  void load(const S* row, V (&v)[N]) const {
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) {
      if constexpr (L == 0)
        v[i] = load_as_compute(row, width);
      else if constexpr (std::is_same_v<S, T>)
        std::memcpy(&v[i], row + at(i), sizeof(V));
      else
        v[i] = load_as_compute(row + at(i));
    }
  }
  void store(S* row, const V (&v)[N]) const {
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) {
      if constexpr (L == 0)
        store_as(row, v[i], width);
      else if constexpr (std::is_same_v<S, T>)
        std::memcpy(row + at(i), &v[i], sizeof(V));
      else
        store_as(row + at(i), v[i]);
    }
  }

 private:
  int64_t at(int i) const { return i + 1 < N ? i * L : std::min<int64_t>(i * L, width - L); }
};

// Calls f(columns before the part, Part) for every part of a row stored as S. Only the first part may be a single
// vector: a later one would overlap the previous part and add to its sums twice.
template <class S, class F>
void for_parts(int64_t width, const F& f) {
  constexpr bool as_is = std::is_same_v<S, Compute<S>>;
  constexpr int lanes = as_is ? kRowBytes / int{sizeof(S)} : kLanes<Compute<S>>;
  if (0 < width && width < lanes) {
    if constexpr (!as_is)
      return f(0, Part<S, 1, 0>{width});
    else
      return width >= 4   ? f(0, Part<S, 2, 4>{width})
             : width >= 2 ? f(0, Part<S, 2, 2>{width})
                          : f(0, Part<S, 1, 1>{width});
  }
  for (int64_t before = 0; before < width;) {
    const int64_t left = (width - before + lanes - 1) / lanes, count = left > 5 ? 4 : left == 5 ? 3 : left;
    switch (count) {
      case 1: f(before, Part<S, 1, lanes>{width - before}); break;
      case 2: f(before, Part<S, 2, lanes>{width - before}); break;
      case 3: f(before, Part<S, 3, lanes>{width - before}); break;
      default: f(before, Part<S, 4, lanes>{width - before});
    }
    before += count * lanes;
  }
}

}  // namespace
}  // namespace recops::embedding::RECOPS_ISA
