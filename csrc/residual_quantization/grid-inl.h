// Codewords and rows rounded to small integers, whose dot products are cheaper than those of floats: v ≈ scale · q. The
// rounding error is measured, so certify-inl.h can bound the float scores. One integer lane multiplies and adds a group
// of values at a time.
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

// Four signed bytes of a codeword times four bytes of a row. The row's values are made nonnegative by an offset.
struct Grid8 {
  using Value = int8_t;
  static constexpr int kGroup = 4;
  static constexpr int32_t kRowOffset = 128;
  static constexpr float kMost = 127;
  static constexpr float kNorm = infinity<float>();

  static void multiply_add(Int& sum, Int row, Int codeword) {
#if defined(__AVX512BW__)
    // An instruction instead of the intrinsic, because GCC 12 spills the accumulators around the intrinsic.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(codeword));
#else
#pragma GCC unroll 4
    for (int bits = 0; bits < 32; bits += 8) sum += ((row >> bits) & 0xff) * ((codeword << (24 - bits)) >> 24);
#endif
  }
};

// Pairs of 16-bit values. Sums stay below 2³¹ because the norms of both vectors stay below √2³¹.
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

// A vector rounded to a grid: its scale, and upper bounds on its norm and on the norm of its rounding error.
struct GridRow {
  float scale, norm, error;
};

// Whether the integer search can handle the row. Rows with other norms or NaN use floats, so underflow and overflow
// need no bounds here.
bool on_grid(const GridRow& row) { return row.norm > kLeastNorm && row.norm < kMostNorm; }

// Size in bytes.
template <class Grid>
int64_t grid_row_size(int64_t dim) {
  return round_up(dim, kLanes<float>) * int64_t{sizeof(typename Grid::Value)};
}

// Rounds value(0), value(kLanes) … to the grid and passes every integer vector to emit(d, q). The returned norm and
// error are upper bounds. A zero vector gives zeros.
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
  // A scale too small for a float inverse gives q = 0; the rounding error is then the whole vector.
  const float inverse = scale > kLeastScale ? 1 / scale : 0.0f;
  const Vec<float> round = broadcast(kIntegerRounder);
  Vec<float> errors = {};
  for (int64_t d = 0; d < dim; d += kLanes<float>) {
    const Vec<float> v = value(d), rounded = v * inverse + round;
    const Vec<float> error = v - (rounded - round) * scale;
    errors += error * error;
    emit(d, (Int)rounded - (Int)round);
  }
  // Computing each error rounds twice, at q · scale and at the difference; each rounding is at most a share of the
  // value.
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
