// Codewords and rows rounded to a grid of small integers, whose dot products cost a fraction of the floats'. What the
// rounding leaves is measured, so that certify-inl.h knows what the integers leave undecided.
//
// v ≈ scale · q. A lane multiplies and adds a group of values at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "residual_quantization/panel-inl.h"
#include "residual_quantization/rounding-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

using Int = Vec<int32_t>;

// Four bytes of a codeword, signed, times four of a row, kept above zero by an offset.
struct Grid8 {
  using Value = int8_t;
  static constexpr int kGroup = 4;
  static constexpr int32_t kRowOffset = 128;
  static constexpr float kMost = 127;
  static constexpr float kNorm = infinity<float>();

  static void multiply_add(Int& sum, Int row, Int codeword) {
#if defined(__AVX512BW__)
    // GCC 12 spills the accumulators around the intrinsic.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(codeword));
#else
#pragma GCC unroll 4
    for (int bits = 0; bits < 32; bits += 8) sum += ((row >> bits) & 0xff) * ((codeword << (24 - bits)) >> 24);
#endif
  }
};

// Pairs of 16 bits. Their sum stays below 2³¹ in size because the norms of both vectors stay below √2³¹.
struct Grid16 {
  using Value = int16_t;
  static constexpr int kGroup = 2;
  static constexpr int32_t kRowOffset = 0;
  static constexpr float kMost = 32767;
  static constexpr float kNorm = 46000;

  static void multiply_add(Int& sum, Int row, Int codeword) {
#if defined(__AVX512BW__)
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(codeword));
#elif defined(__AVX2__)
    sum += (Int)_mm256_madd_epi16((__m256i)row, (__m256i)codeword);
#else
    sum += ((row << 16) >> 16) * ((codeword << 16) >> 16) + (row >> 16) * (codeword >> 16);
#endif
  }
};

// A vector rounded to a grid: the scale, its norm and that of its error, or more than those.
struct GridRow {
  float scale, norm, error;
};

// Rows of other norms, and of NaN, are left to the floats: what underflows or overflows is then out of account.
bool on_grid(const GridRow& row) { return row.norm > kLeastNorm && row.norm < kMostNorm; }

// Bytes.
template <class Grid>
int64_t grid_row_size(int64_t dim) {
  return round_up(dim, kLanes<float>) * int64_t{sizeof(typename Grid::Value)};
}

// Rounds value(0), value(kLanes) … to the grid and hands every vector of integers to emit(d, q). Of the result, norm
// and error are upper bounds; for zeros all is zero.
template <class Grid, class Load, class Emit>
GridRow round_to_grid(int64_t dim, const Load& value, const Emit& emit) {
  Vec<float> most = {}, squares = {};
  for (int64_t d = 0; d < dim; d += kLanes<float>) {
    const Vec<float> v = value(d), size = v < 0 ? -v : v;
    most = most < size ? size : most;
    squares += v * v;
  }
  const float inflation = norm_inflation(dim);
  const float largest = reduce<float>(most, [](Vec<float> a, Vec<float> b) { return a < b ? b : a; });
  const float norm = largest == 0 ? 0.0f : std::sqrt(reduce_add<float>(squares)) * inflation + kNormUnderflow;
  const float scale = std::max(largest / Grid::kMost, norm / Grid::kNorm);
  // Of a scale without an inverse zeros are made: all of the vector is then error.
  const float inverse = scale > kLeastScale ? 1 / scale : 0.0f;
  const Vec<float> round = broadcast(kIntegerRounder);
  Vec<float> errors = {};
  for (int64_t d = 0; d < dim; d += kLanes<float>) {
    const Vec<float> v = value(d), rounded = v * inverse + round;
    const Vec<float> error = v - (rounded - round) * scale;
    errors += error * error;
    emit(d, (Int)rounded - (Int)round);
  }
  // An error is off by the roundings of q · scale and of the difference, each a share of the value.
  return {scale, norm, std::sqrt(reduce_add<float>(errors)) * inflation + 2 * kRounding * norm + kNormUnderflow};
}

template <class Grid>
void store_integers(typename Grid::Value* to, Int q) {
  typedef typename Grid::Value Narrow __attribute__((vector_size(kLanes<float> * sizeof(typename Grid::Value))));
  const Narrow narrow = __builtin_convertvector(q, Narrow);
  std::memcpy(to, &narrow, sizeof(narrow));
}

template <class Grid>
GridRow round_row(const float* row, int64_t dim, typename Grid::Value* to) {
  return round_to_grid<Grid>(
      dim, [&](int64_t d) { return load_as_compute(row + d, dim - d); },
      [&](int64_t d, Int q) { store_integers<Grid>(to + d, q + Grid::kRowOffset); });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
