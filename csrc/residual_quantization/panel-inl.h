// Codeword panels and the register tile that scores rows against them. See kernel.h for the layout.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "common/arena.h"
#include "residual_quantization/kernel.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// The register tile: rows × vectors of codewords. The accumulators, one panel row and one broadcast value fill the
// register file. With 24 accumulators, 10 loads serve 24 multiply-adds.
constexpr int kTileRows = 6;
constexpr int kTileVectors = kVectorRegisters == 32 ? 4 : 2;
template <class T>
constexpr int kWidth = kTileVectors * kLanes<T>;

// Values per cache line.
template <class S>
constexpr int64_t kLine = kCacheLine / int64_t{sizeof(S)};

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

int64_t compute_bytes(const Matrix& m) { return m.dtype == Dtype::f64 ? 8 : 4; }

int64_t size_of_level(const Codebooks& books, int64_t level) { return books.offsets[level + 1] - books.offsets[level]; }

// The largest value, for integer types.
template <class T>
constexpr T infinity() {
  return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
}

template <class T>
int64_t panels_of(int64_t codewords) {
  return round_up(codewords, kWidth<T>) / kWidth<T>;
}

template <class T>
int64_t panel_size(int64_t dim) {
  return (1 + dim) * kWidth<T>;
}

// Loads coordinates d … of a codeword and subtracts the shift, if there is one. Lanes past the end are zero.
template <class S, class T = Compute<S>>
Vec<T> load_codeword(const S* codeword, int64_t d, int64_t dim, const T* shift) {
  const Vec<T> value = load_as_compute(codeword + d, dim - d);
  return shift == nullptr ? value : value - load_as_compute(shift + d, dim - d);
}

// Packs one vector's worth of codewords (or `count`, if fewer) into one vector of each panel row. Returns their squared
// norms. Hardware prefetchers cannot follow this many short streams, so the next codewords are prefetched explicitly.
template <class S, class T = Compute<S>>
Vec<T> pack_square(const S* codewords, int64_t count, int64_t dim, const T* shift, T* panel) {
  constexpr int lanes = kLanes<T>;
  Vec<T> norm = {};
  const auto pack_at = [&](int64_t d, auto whole) {
    const int columns = whole ? lanes : static_cast<int>(std::min<int64_t>(lanes, dim - d));
    const Vec<T> offset = shift == nullptr ? Vec<T>{} : load_as_compute(shift + d, dim - d);
    Vec<T> square[lanes];
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      __builtin_prefetch(codewords + lanes * (dim + d + i), 0, 2);
      if constexpr (whole)
        square[i] = load_as_compute(codewords + i * dim + d) - offset;
      else
        square[i] = i < count ? load_as_compute(codewords + i * dim + d, dim - d) - offset : Vec<T>{};
    }
    transpose<T>(square);
    for (int i = 0; i < columns; ++i) {
      norm = multiply_add<T>(norm, square[i], square[i]);  // Equal codewords in both branches get equal norms.
      store(panel + (d + i) * kWidth<T>, square[i]);
    }
  };
  int64_t d = 0;
  for (; count >= lanes && d + lanes <= dim; d += lanes) pack_at(d, std::true_type{});
  for (; d < dim; d += lanes) pack_at(d, std::false_type{});
  return norm;
}

// Packs one panel of at most `count` codewords. Returns the first codeword whose norm is not finite, or −1.
template <class S, class T = Compute<S>>
int64_t pack_panel(const S* codewords, int64_t count, int64_t dim, const T* shift, T* panel) {
  constexpr int lanes = kLanes<T>;
  int64_t bad = -1;
  for (int64_t first = 0; first < kWidth<T>; first += lanes) {
    const Vec<T> norm = pack_square(codewords + first * dim, count - first, dim, shift, panel + kWidth<T> + first);
    for (int i = 0; i < lanes; ++i) {
      const int64_t row = first + i;
      panel[row] = row < count ? norm[i] / 2 : infinity<T>();
      if (row < count && !(panel[row] < infinity<T>()) && bad < 0) bad = row;
    }
  }
  return bad;
}

// Panels of one level, either packed beforehand or packed one by one.
template <class S, class T = Compute<S>>
struct Panels {
  const S* codewords;
  int64_t count;
  int64_t dim;
  const T* shift;
  const T* packed;  // null: pack each panel into `single`
  T* single;

  int64_t size() const { return panels_of<T>(count); }

  const T* get(int64_t p, int64_t& bad) const {
    if (packed != nullptr) return packed + p * panel_size<T>(dim);
    const int64_t first = p * kWidth<T>;
    const int64_t found = pack_panel(codewords + first * dim, count - first, dim, shift, single);
    if (found >= 0 && bad < 0) bad = first + found;
    return single;
  }
};

// Panels of level l. They start at panel `first_panel` of `packed`, which may be null.
template <class S, class T = Compute<S>>
Panels<S> panels_of_level(const Codebooks& books, int64_t l, const T* packed, int64_t first_panel, T* single) {
  const int64_t dim = books.codewords.dim;
  return {static_cast<const S*>(books.codewords.data) + books.offsets[l] * dim,
          size_of_level(books, l),
          dim,
          static_cast<const T*>(books.shift_of(l)),
          packed == nullptr ? nullptr : packed + first_panel * panel_size<T>(dim),
          single};
}

int64_t num_panels(const Codebooks& books) {
  int64_t total = 0;
  for (int64_t l = 0; l < books.levels; ++l)
    total += compute_bytes(books.codewords) == 8 ? panels_of<double>(size_of_level(books, l))
                                                 : panels_of<float>(size_of_level(books, l));
  return total;
}

int64_t panel_bytes(const Codebooks& books) {
  const int64_t dim = books.codewords.dim;
  return compute_bytes(books.codewords) == 8 ? panel_size<double>(dim) * 8 : panel_size<float>(dim) * 4;
}

int64_t pack(const Codebooks& books, int64_t begin, int64_t end, void* packed) {
  return with_stored_type(books.codewords.dtype, [&]<class S>(S) -> int64_t {
    using T = Compute<S>;
    const int64_t dim = books.codewords.dim;
    const S* codewords = static_cast<const S*>(books.codewords.data);
    int64_t panel = 0, bad = -1;
    for (int64_t l = 0; l < books.levels; ++l) {
      for (int64_t first = books.offsets[l]; first < books.offsets[l + 1]; first += kWidth<T>, ++panel) {
        if (panel < begin || panel >= end) continue;
        const int64_t found =
            pack_panel(codewords + first * dim, books.offsets[l + 1] - first, dim,
                       static_cast<const T*>(books.shift_of(l)), static_cast<T*>(packed) + panel * panel_size<T>(dim));
        if (found >= 0 && bad < 0) bad = first + found;
      }
    }
    return bad;
  });
}

// ---- The tile: scores of R rows against one panel, kept in registers.

// Data to prefetch into the second-level cache: one line per `every` dimensions. Fetching a tile's whole share at once
// would leave no slots for the tile's own cache misses.
template <class T>
struct Upcoming {
  const T* line = nullptr;
  int64_t every = int64_t{1} << 40;
};

template <int R, class T>
[[gnu::always_inline]] inline void score_tile(const T* rows, int64_t dim, const T* panel,
                                              Vec<T> (&score)[R][kTileVectors], Upcoming<T> upcoming = {}) {
  constexpr int lanes = kLanes<T>;
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) score[i][v] = load(panel + v * lanes);
  for (int64_t d = 0; d < dim; upcoming.line += kLine<T>) {
    __builtin_prefetch(upcoming.line, 0, 2);
    for (const int64_t end = std::min(dim, d + upcoming.every); d < end; ++d) {
      panel += kWidth<T>;
      Vec<T> codeword[kTileVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) codeword[v] = load(panel + v * lanes);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) {
        const Vec<T> value = broadcast(rows[i * dim + d]);
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) score[i][v] -= value * codeword[v];
      }
    }
  }
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
