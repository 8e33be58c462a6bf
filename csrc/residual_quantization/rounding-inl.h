// Bounds on the rounding error of scores, for certified encoding. All bounds are derived in this file.
//
// One float operation has a relative error of at most u = 2⁻²⁴. A sequence of n operations has at most γ_n = n u / (1 −
// n u); see Higham, "Accuracy and stability of numerical algorithms", 2002, lemma 3.1. With at most kMostGridDim
// dimensions n stays below 2¹⁷, so γ_n < n u (1 + 2⁻⁶). The bounds count shares of kRounding = u (1 + 2⁻⁶); the
// remaining slack covers the rounding of the bounds themselves.
//
// Underflow has no relative bound. It costs a product at most the least normal number, 2⁻¹²⁶, even if the machine
// flushes subnormal numbers to zero.
#pragma once

#include <cstdint>

#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr float kRounding = 0x1.04p-24f;
constexpr int64_t kMostGridDim = 32768;

// Each step of a tile's sum is a product and a difference. A fused multiply-add rounds once.
#if defined(__FMA__) || defined(__aarch64__)
constexpr int kRoundingsOfStep = 1;
#else
constexpr int kRoundingsOfStep = 2;
#endif

// The score of kernel.h, ½‖c‖² − r·c summed in order of dimensions, is within this share of ½‖c‖² + ‖r‖‖c‖ of its exact
// value. Reason: Σ |r_d c_d| ≤ ‖r‖‖c‖, and ½‖c‖² and each product pass through at most one step per dimension. Two
// further roundings cover the multiplication by the share.
inline float score_rounding(int64_t dim) { return static_cast<float>(kRoundingsOfStep * dim + 2) * kRounding; }

// The same share for a score compared with its grid bound. Computing GridHead::half takes three roundings, and
//    half − sum · scale · row.scale − norm · row.error − error · row.norm
// takes eight: the conversion of the sum, four products and three differences. One is spare.
inline float bound_rounding(int64_t dim) { return score_rounding(dim) + 12 * kRounding; }

// The same share for the difference between the score of kernel.h and one summed in lanes. The latter adds one step per
// vector, at most four reductions of the vector, and the difference from ½‖c‖². The other roundings are slack.
inline float estimate_rounding(int64_t dim) {
  return score_rounding(dim) + static_cast<float>(dim / kLanes<float> + 16) * kRounding;
}

// Factor by which √(Σ v²), summed in lanes, may be too small. A term passes through its square, one step per vector and
// the reductions; the root halves the share. One step per dimension covers all of these.
inline float norm_inflation(int64_t dim) { return 1 + static_cast<float>(dim + 16) * kRounding; }

// ½‖c‖² is a sum of at most kMostGridDim squares, so √(2 · ½‖c‖²) is below ‖c‖ by at most half a share of 2⁻⁹: 0.98e-3.
constexpr float kNormOfHalf = 1.001f;

// Loss by underflow. A norm loses at most √(dim · 2⁻¹²⁶) = 2⁻⁵⁵·⁵. A score loses 2⁻¹²⁶ = 1.2e-38 per product; the
// constant leaves slack for the products of the bounds.
constexpr float kNormUnderflow = 3e-17f;
inline float score_underflow(int64_t dim) { return static_cast<float>(dim) * 1e-36f; }

// Range of row norms in which squares and products with grid codewords neither underflow nor overflow.
constexpr float kLeastNorm = 1e-12f, kMostNorm = 1e15f;

// Below this scale, 1 / scale is not a finite float.
constexpr float kLeastScale = 1e-30f;

// Adding and then subtracting this constant rounds a float below 2²² in magnitude to the nearest integer.
constexpr float kIntegerRounder = 0x1.8p23f;

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
