// Score matrices, and the table of products between codewords of different levels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "residual_quantization/grid-inl.h"
#include "residual_quantization/grid-panel-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/rounding-inl.h"
#include "residual_quantization/shift-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr int64_t kTableRows = 8 * kTileRows;  // codewords per piece of work

// Scores are stored in whole groups: the lanes of a few vectors, whose minima stay in registers.
template <class T>
constexpr int kGroupVectors = sizeof(T) == 2 ? 2 : 4;
template <class T>
constexpr int kGroups = kGroupVectors<T> * kLanes<T>;
static_assert(kGroupVectors<float> % kTileVectors == 0);

template <int R, class T>
[[gnu::noinline]] void store_scores(const T* rows, int64_t dim, const T* panel, T* out, int64_t stride) {
  Vec<T> score[R][kTileVectors];
  score_tile<R, T>(rows, dim, panel, score);
  for (int i = 0; i < R; ++i)
    for (int v = 0; v < kTileVectors; ++v) store(out + i * stride + v * kLanes<T>, score[i][v]);
}

// out[i][k] = ½‖c_k‖² − rows_i·c_k for the codewords k of a panel.
template <int R, class T>
void score_block(const T* rows, int64_t count, int64_t dim, const T* panel, T* out, int64_t stride) {
  for (; count >= R; count -= R, rows += R * dim, out += R * stride) store_scores<R>(rows, dim, panel, out, stride);
  if constexpr (R > 1) score_block<R - 1>(rows, count, dim, panel, out, stride);
}

// ---- The product table. The part of level l has one row per codeword of the earlier levels.
//
//    part of level 1:  offsets[1] rows (codewords of level 0)        × stride(1) columns (codewords of level 1)
//    part of level 2:  offsets[2] rows (codewords of levels 0 and 1) × stride(2) columns (codewords of level 2)
//    …
// Entry (c_m, c) is c_m·c. stride(l) is the size of level l rounded up to whole groups.

template <class T>
int64_t table_stride(const Codebooks& books, int64_t level) {
  return round_up(size_of_level(books, level), kGroups<T>);
}

// Number of values in the parts of levels below `levels`.
template <class T>
int64_t table_values(const Codebooks& books, int64_t levels) {
  int64_t total = 0;
  for (int64_t l = 1; l < levels; ++l) total += books.offsets[l] * table_stride<T>(books, l);
  return total;
}

int64_t table_bytes(const Codebooks& books) {
  return compute_bytes(books.codewords) == 8 ? 8 * table_values<double>(books, books.levels)
                                             : 4 * table_values<float>(books, books.levels);
}

int64_t table_pieces(const Codebooks& books) {
  int64_t total = 0;
  for (int64_t l = 1; l < books.levels; ++l) total += round_up(books.offsets[l], kTableRows) / kTableRows;
  return total;
}

int64_t table_scratch(const Codebooks& books) {
  return kTableRows * books.codewords.dim * compute_bytes(books.codewords);
}

// ---- The same table in 16 bits. Each level has its own unit, chosen so that the sum of one product per earlier level
// stays within ±kProductUnits.

constexpr float kProductUnits = 16000;
constexpr int64_t kCoarseLevels = 64;  // each level may add half a unit of rounding to such a sum
constexpr int64_t kCoarseRows = 256;   // with fewer rows, rounding codewords and products costs more than it saves

int64_t coarse_bytes(const Codebooks& books) {
  return has_grids(books) && books.levels <= kCoarseLevels ? 2 * table_values<int16_t>(books, books.levels) : 0;
}

// Only with fast 8-bit products: with only 16-bit products, as on AVX2, the integer search saves nothing.
bool coarse_pays(const Codebooks& books, int64_t rows) {
  return coarse_bytes(books) > 0 && rows >= kCoarseRows && grid_pays(books, std::max(rows, kGridRows), 8);
}

inline float unit_of_products(float longest, float before) {
  return std::max(longest * before / kProductUnits, kLeastScale);
}

// ½‖c‖² of the longest of `count` codewords, from their panels.
template <class T>
T longest_half(const T* panels, int64_t count, int64_t dim) {
  T half = 0;
  for (int64_t first = 0; first < count; first += kWidth<T>, panels += panel_size<T>(dim))
    for (int64_t k = 0; k < std::min<int64_t>(kWidth<T>, count - first); ++k) half = std::max(half, panels[k]);
  return half;
}

// Rounds `count` products to units and fills up to `stride` values with zeros.
inline void round_products(const float* products, int64_t count, float unit, int64_t stride, int16_t* out) {
  const float inverse = 1 / unit;
  const Vec<float> round = broadcast(kIntegerRounder);
  for (int64_t k = 0; k < stride; k += kLanes<float>) {
    const Vec<float> value = k < count ? load_as_compute(products + k, count - k) : Vec<float>{};
    store_integers<Grid16>(out + k, (Int)(value * inverse + round) - (Int)round);
  }
}

void fill_table(const Codebooks& books, const void* packed, int64_t begin, int64_t end, void* table, void* coarse,
                void* scratch) {
  with_stored_type(books.codewords.dtype, [&]<class S>(S) {
    using T = Compute<S>;
    const int64_t dim = books.codewords.dim;
    const S* codewords = static_cast<const S*>(books.codewords.data);
    const T* panels = static_cast<const T*>(packed);
    T* rows = static_cast<T*>(scratch);
    int64_t piece = 0;
    T before = 0;  // sum over earlier levels of the longest codeword's norm
    for (int64_t l = 1; l < books.levels; ++l) {
      before += std::sqrt(2 * longest_half(panels, size_of_level(books, l - 1), dim));
      panels += panels_of<T>(size_of_level(books, l - 1)) * panel_size<T>(dim);
      const int64_t size = size_of_level(books, l), stride = table_stride<T>(books, l);
      const T longest = std::sqrt(2 * longest_half(panels, size, dim));
      for (int64_t first = 0; first < books.offsets[l]; first += kTableRows, ++piece) {
        if (piece < begin || piece >= end) continue;
        const int64_t count = std::min(kTableRows, books.offsets[l] - first);
        T* out = static_cast<T*>(table) + table_values<T>(books, l) + first * stride;
        for (int64_t n = 0; n < count; ++n)
          load_shifted(codewords + (first + n) * dim, dim, first + n < books.offsets[1] ? books.shift : nullptr,
                       rows + n * dim);
        for (int64_t p = 0; p < panels_of<T>(size); ++p) {
          const T* panel = panels + p * panel_size<T>(dim);
          score_block<kTileRows>(rows, count, dim, panel, out + p * kWidth<T>, stride);
          for (int64_t n = 0; n < count; ++n)
            for (int64_t k = p * kWidth<T>; k < (p + 1) * kWidth<T>; ++k)
              out[n * stride + k] = panel[k - p * kWidth<T>] - out[n * stride + k];
        }
        for (int64_t n = 0; n < count; ++n)
          for (int64_t k = size; k < stride; ++k) out[n * stride + k] = 0;
        if constexpr (std::is_same_v<T, float>) {
          const int64_t coarse_stride = table_stride<int16_t>(books, l);
          int16_t* units = static_cast<int16_t*>(coarse) + table_values<int16_t>(books, l) + first * coarse_stride;
          for (int64_t n = 0; coarse != nullptr && n < count; ++n)
            round_products(out + n * stride, size, unit_of_products(longest, before), coarse_stride,
                           units + n * coarse_stride);
        }
      }
    }
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
