// Codeword panels rounded to a grid, and lower bounds on scores from integer products.
//
// Integer panels have the width of float panels. Each 32-bit lane holds a group of 4 (8-bit) or 2 (16-bit)
// consecutive coordinates of one codeword:
//
//    GridHead        bias[width], scale[width], half[width], norm[width], error[width]
//    group 0         c₀[0 … g − 1]    c₁[0 … g − 1]    …  (one int32 per codeword)
//    group 1         c₀[g … 2g − 1]   c₁[g … 2g − 1]   …
//    …               the last group is filled with zeros
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/isa.h"
#include "residual_quantization/grid-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/rounding-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Per-codeword constants at the start of an integer panel. For every row, the score of kernel.h is at least
//    half − row.scale · scale · (Σ q_row · q + bias) − row.error · norm − row.norm · error.
struct GridHead {
  static constexpr int kWidth = RECOPS_ISA::kWidth<float>;

  int32_t bias[kWidth];  // cancels kRowOffset
  float scale[kWidth];
  float half[kWidth];   // ½‖c‖² minus the possible rounding of a score; +inf for a missing codeword
  float norm[kWidth];   // at least ‖c‖ and ‖scale · q‖
  float error[kWidth];  // at least ‖c − scale · q‖
};

template <class Grid>
int64_t groups_of(int64_t dim) {
  return round_up(dim, Grid::kGroup) / Grid::kGroup;
}

// Size in bytes.
template <class Grid>
int64_t grid_panel_size(int64_t dim) {
  return int64_t{sizeof(GridHead)} + groups_of<Grid>(dim) * GridHead::kWidth * 4;
}
// Packs one panel of at most `count` codewords. `half` is row 0 of their float panel.
template <class Grid, class S>
void pack_grid_panel(const S* codewords, int64_t count, int64_t dim, const float* shift, const float* half,
                     char* panel) {
  constexpr int width = GridHead::kWidth, lanes = kLanes<float>;
  GridHead& head = *reinterpret_cast<GridHead*>(panel);
  int32_t* values = reinterpret_cast<int32_t*>(panel + sizeof(GridHead));
  const float share = bound_rounding(dim), underflow = score_underflow(dim);
  for (int i = 0; i < width; ++i) {
    int32_t sum = 0;
    GridRow word{};
    if (i < count)
      word = round_to_grid<Grid>(
          dim, [&](int64_t d) { return load_codeword(codewords + i * dim, d, dim, shift); },
          [&](int64_t d, Int q) {
            sum += reduce_add<int32_t>(q);
            typename Grid::Value narrow[lanes];
            store_integers<Grid>(narrow, q);
            for (int g = 0; g < lanes / Grid::kGroup && d + g * Grid::kGroup < dim; ++g)
              std::memcpy(values + (d / Grid::kGroup + g) * width + i, narrow + g * Grid::kGroup, 4);
          });
    else
      for (int64_t g = 0; g < groups_of<Grid>(dim); ++g) values[g * width + i] = 0;
    head.bias[i] = -Grid::kRowOffset * sum;
    head.scale[i] = word.scale;
    head.half[i] = half[i] * (1 - share) - underflow;
    head.norm[i] = word.norm + word.error;
    head.error[i] = word.error;
  }
}

// Computes lower bounds on the scores of R rows against a panel, and updates each row's lane-wise minima.
template <class Grid, int R>
[[gnu::noinline]] void bound_scores(const typename Grid::Value* rows, const GridRow* row, int64_t dim,
                                    const char* panel, float* least_scores, int64_t stride, Vec<float>* least) {
  constexpr int lanes = kLanes<float>;
  const GridHead& head = *reinterpret_cast<const GridHead*>(panel);
  const int32_t* values = reinterpret_cast<const int32_t*>(panel + sizeof(GridHead));
  const int64_t row_size = grid_row_size<Grid>(dim) / int64_t{sizeof(typename Grid::Value)};
  Int sum[R][kTileVectors];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) sum[i][v] = load(head.bias + v * lanes);
  for (int64_t d = 0; d < dim; d += Grid::kGroup, values += GridHead::kWidth) {
    Int codeword[kTileVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) codeword[v] = load(values + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      int32_t group;
      std::memcpy(&group, rows + i * row_size + d, 4);
      const Int value = broadcast(group);
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) Grid::multiply_add(sum[i][v], value, codeword[v]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kTileVectors; ++v) {
    const Vec<float> scale = load(head.scale + v * lanes), half = load(head.half + v * lanes);
    const Vec<float> norm = load(head.norm + v * lanes), error = load(head.error + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      Vec<float> score = half - __builtin_convertvector(sum[i][v], Vec<float>) * scale * row[i].scale;
      score -= norm * row[i].error;
      score -= error * row[i].norm;
      store(least_scores + i * stride + v * lanes, score);
      least[i] = score < least[i] ? score : least[i];
    }
  }
}

template <class Grid, int R = kTileRows>
void bound_block(const typename Grid::Value* rows, const GridRow* row, int64_t count, int64_t dim, const char* panel,
                 float* least_scores, int64_t stride, Vec<float>* least) {
  const int64_t row_size = grid_row_size<Grid>(dim) / int64_t{sizeof(typename Grid::Value)};
  for (; count >= R; count -= R, rows += R * row_size, row += R, least_scores += R * stride, least += R)
    bound_scores<Grid, R>(rows, row, dim, panel, least_scores, stride, least);
  if constexpr (R > 1) bound_block<Grid, R - 1>(rows, row, count, dim, panel, least_scores, stride, least);
}

// ---- Grids of all levels.

// Below these sizes, packing grids and rounding rows costs more than the integer scan saves.
constexpr int64_t kGridRows = 1024, kGridDim = kVectorRegisters == 32 ? 48 : 128, kGridCodewords = 64;

template <class F>
auto with_grid(int bits, const F& f) {
  return bits == 8 ? f(Grid8{}) : f(Grid16{});
}

// Whether this machine can use grids at all. is_fast says whether it has instructions for them.
bool has_grids(const Codebooks& books) {
  bool has = compute_bytes(books.codewords) == 4 && books.codewords.dim <= kMostGridDim;
#if defined(__AVX512BW__)
  has &= cpu_has_vnni();
#endif
  return has;
}
constexpr bool is_fast(int bits) {
#if defined(__AVX512BW__)
  return bits <= 16;
#elif defined(__AVX2__)
  return bits == 16;
#else
  return bits == 0;
#endif
}

int64_t grid_panel_bytes(const Codebooks& books, int bits) {
  if (!has_grids(books)) return 0;
  return with_grid(bits, [&]<class Grid>(Grid) { return grid_panel_size<Grid>(books.codewords.dim); });
}

bool grid_pays(const Codebooks& books, int64_t rows, int bits) {
  return is_fast(bits) && has_grids(books) && rows >= kGridRows && books.codewords.dim >= kGridDim &&
         books.codewords.rows >= kGridCodewords * books.levels;
}

void pack_grid(const Codebooks& books, const void* packed, int bits, int64_t begin, int64_t end, void* grid) {
  with_stored_type(books.codewords.dtype, [&]<class S>(S) {
    if constexpr (std::is_same_v<Compute<S>, float>)
      with_grid(bits, [&]<class Grid>(Grid) {
        const int64_t dim = books.codewords.dim;
        int64_t panel = 0;
        for (int64_t l = 0; l < books.levels; ++l)
          for (int64_t first = books.offsets[l]; first < books.offsets[l + 1]; first += kWidth<float>, ++panel) {
            if (panel < begin || panel >= end) continue;
            pack_grid_panel<Grid>(static_cast<const S*>(books.codewords.data) + first * dim,
                                  books.offsets[l + 1] - first, dim, static_cast<const float*>(books.shift_of(l)),
                                  static_cast<const float*>(packed) + panel * panel_size<float>(dim),
                                  static_cast<char*>(grid) + panel * grid_panel_size<Grid>(dim));
          }
      });
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
