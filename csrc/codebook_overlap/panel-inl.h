// Codeword panels [dim][width] (see kernel.h) and the register tile of their squared distances.
#pragma once

#include <algorithm>
#include <cstdint>

#include "codebook_overlap/kernel.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::codebook_overlap::RECOPS_ISA {
namespace {

constexpr int kTileRows = 4;
constexpr int kTileVectors = kVectorRegisters == 32 ? 4 : 2;
template <class T>
constexpr int kWidth = kTileVectors * kLanes<T>;

template <class T>
using Tile = Vec<T>[kTileVectors];

int64_t num_panels(const Codebook& book) {
  return with_compute_type(book.wide, [&]<class T>(T) { return (book.size + kWidth<T> - 1) / kWidth<T>; });
}

// Room for the codewords of the panel and for their gradients.
int64_t panel_bytes(const Codebook& book) {
  return with_compute_type(book.wide, [&]<class T>(T) { return 2 * kWidth<T> * (book.dim + 1) * int64_t{sizeof(T)}; });
}

template <class T>
void pack_panel(const T* codewords, int64_t count, int64_t dim, T* panel) {
  for (int64_t d = 0; d < dim; ++d)
    for (int64_t i = 0; i < kWidth<T>; ++i) panel[d * kWidth<T> + i] = i < count ? codewords[i * dim + d] : T{0};
}

template <class T>
inline void load_tile(const T* from, int64_t count, Tile<T>& to) {
#pragma GCC unroll 4
  for (int v = 0; v < kTileVectors; ++v)
    to[v] = v * kLanes<T> < count ? load_as_compute(from + v * kLanes<T>, count - v * kLanes<T>) : Vec<T>{};
}

template <class T>
inline void store_tile(T* to, const Tile<T>& from, int64_t count) {
  for (int v = 0; v < kTileVectors && v * kLanes<T> < count; ++v)
    store_as(to + v * kLanes<T>, from[v], count - v * kLanes<T>);
}

// Squared distances from R codewords to the codewords of a panel.
template <int R, class T>
[[gnu::always_inline]] inline void squared_distances(const T* rows, int64_t dim, const T* panel, Tile<T> (&sum)[R]) {
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) sum[r][v] = Vec<T>{};
  for (int64_t d = 0; d < dim; ++d, panel += kWidth<T>) {
    Tile<T> codeword;
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) codeword[v] = load(panel + v * kLanes<T>);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> value = broadcast(rows[r * dim + d]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        const Vec<T> difference = codeword[v] - value;
        sum[r][v] += difference * difference;
      }
    }
  }
}

}  // namespace
}  // namespace recops::codebook_overlap::RECOPS_ISA
