// What rounding leaves open of a score, as certified encoding counts with it: all slack is derived here, and nowhere
// else.
//
// One operation of floats is off by a share of u = 2⁻²⁴ at most, n of them in a row by γ_n = n u / (1 − n u) (Higham,
// "Accuracy and stability of numerical algorithms", 2002, lemma 3.1). With up to kMostGridDim dimensions n stays below
// 2¹⁷, so that γ_n < n u (1 + 2⁻⁶): shares are counted in kRounding = u (1 + 2⁻⁶), and what is left of that is room for
// the rounding of the bounds themselves. What underflows has no such share. Of a product no more is lost than the least
// normal number, 2⁻¹²⁶, even where the machine flushes smaller ones to zero.
#pragma once

#include <cstdint>

#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr float kRounding = 0x1.04p-24f;
constexpr int64_t kMostGridDim = 32768;

// A step of a tile's sum is a product and a difference, which a fused multiply-add rounds once.
#if defined(__FMA__) || defined(__aarch64__)
constexpr int kRoundingsOfStep = 1;
#else
constexpr int kRoundingsOfStep = 2;
#endif

// kernel.h's score, ½‖c‖² − r·c with its terms in the order of dimensions, is within this share of ½‖c‖² + ‖r‖‖c‖ of
// its value without rounding: Σ |r_d c_d| ≤ ‖r‖‖c‖, and ½‖c‖² and each product pass through a step for each dimension
// at most. Two more are for taking the share.
inline float score_rounding(int64_t dim) { return static_cast<float>(kRoundingsOfStep * dim + 2) * kRounding; }

// The same for a score against the bound that a grid gives of it: three roundings make GridHead::half, and
//   half − sum · scale · row.scale − norm · row.error − error · row.norm
// takes eight: the conversion of the sum, four products and three differences. One is to spare.
inline float bound_rounding(int64_t dim) { return score_rounding(dim) + 12 * kRounding; }

// The same for the difference of kernel.h's score and one summed in lanes. To its own roundings come those of the
// latter: a step for each vector, up to four halvings of the vector, and the difference from ½‖c‖²; the rest is room.
inline float estimate_rounding(int64_t dim) {
  return score_rounding(dim) + static_cast<float>(dim / kLanes<float> + 16) * kRounding;
}

// What √(Σ v²) taken in lanes may be short of, as a factor: a term passes through its square, a step for each vector
// and the halvings, and a root halves the share; a step for each dimension is more than all of that.
inline float norm_inflation(int64_t dim) { return 1 + static_cast<float>(dim + 16) * kRounding; }

// ½‖c‖² is a sum of up to kMostGridDim squares, so √(2 · ½‖c‖²) is less than ‖c‖ by half a share of 2⁻⁹ at most:
// 0.98e-3.
constexpr float kNormOfHalf = 1.001f;

// What underflow takes from a norm, √(dim · 2⁻¹²⁶) = 2⁻⁵⁵·⁵ at most, and from a score: 2⁻¹²⁶ = 1.2e-38 for each
// product, with room for the bounds' own products.
constexpr float kNormUnderflow = 3e-17f;
inline float score_underflow(int64_t dim) { return static_cast<float>(dim) * 1e-36f; }

// Norms of rows between which nothing else underflows or overflows: squares and products with codewords of a grid.
constexpr float kLeastNorm = 1e-12f, kMostNorm = 1e15f;

// A scale below this has no inverse among the floats.
constexpr float kLeastScale = 1e-30f;

// Added to a float of less than 2²² in size, and taken off again, it leaves the nearest integer.
constexpr float kIntegerRounder = 0x1.8p23f;

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
