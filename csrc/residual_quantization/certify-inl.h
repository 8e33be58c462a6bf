// Nearest codewords of a level from lower bounds on scores, which dot products of small integers give. The results are
// exactly those of the scores in kernel.h.
//
//   1. Bound all scores of a row from below. The codeword with the least bound gets a float dot product, which gives an
//      upper bound on its score and so on the best score.
//   2. Exclude codewords whose lower bound is above that. The others, usually one or a few, also get float dot
//   products.
//   3. If these differ by no more than possible rounding, compute the exact scores in the tile's order of operations.
// A row that leaves too many codewords is scored by float tiles instead.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "residual_quantization/grid-inl.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/rounding-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr int64_t kMostSurvivors = 64;
constexpr int32_t kUndecided = -1;

int64_t scan_stride(int64_t codewords) { return panels_of<float>(codewords) * kWidth<float>; }

// Costs of the search methods per row, in cycles of a core that starts one vector multiply-add per cycle. They select a
// method and affect no result. A dot product loads two vectors per multiply-add and reduces lanes at the end. Exact
// scores of a few codewords need those codewords transposed.
struct Costs {
  static constexpr int64_t kDotVector = 2, kDotEnd = 40, kScoresValue = 6, kScoresEnd = 50;

  int64_t floats, dot, scores;

  Costs(int64_t codewords, int64_t dim)
      : floats(scan_stride(codewords) * dim / kLanes<float>),
        dot(kDotVector * dim / kLanes<float> + kDotEnd),
        scores(kScoresValue * dim + kScoresEnd) {}

  template <class Grid>
  int64_t scan() const {
    return floats / Grid::kGroup;
  }
  // With this many dot products, a row costs about half as much as in the float tiles.
  int64_t most_survivors() const { return std::clamp(floats / dot / 2, int64_t{2}, kMostSurvivors); }
};

// Bounds on rounding for the codewords of one level.
template <class S>
struct Certifier {
  Panels<S> panels;
  Costs costs;
  float share;  // estimate_rounding

  explicit Certifier(const Panels<S>& of) : panels(of), costs(of.count, of.dim), share(estimate_rounding(of.dim)) {}

  float half(int64_t k) const {
    return panels.packed[k / kWidth<float> * panel_size<float>(panels.dim) + k % kWidth<float>];
  }

  Vec<float> codeword(int64_t k, int64_t d) const {
    return load_codeword(panels.codewords + k * panels.dim, d, panels.dim, panels.shift);
  }

  // Scores of N codewords in another order of summation. Several at once hide latency and load the row only once.
  template <int N>
  void estimate(const float* row, const int64_t (&k)[N], float (&scores)[N]) const {
    Vec<float> sum[N] = {};
    int64_t d = 0;
    if (panels.shift == nullptr)
      for (; d + kLanes<float> <= panels.dim; d += kLanes<float>) {
        const Vec<float> values = load(row + d);
#pragma GCC unroll 4
        for (int i = 0; i < N; ++i)
          sum[i] = multiply_add<float>(sum[i], values, load_as_compute(panels.codewords + k[i] * panels.dim + d));
      }
    for (; d < panels.dim; d += kLanes<float>) {
      const Vec<float> values = load_as_compute(row + d, panels.dim - d);
      for (int i = 0; i < N; ++i) sum[i] = multiply_add<float>(sum[i], values, codeword(k[i], d));
    }
    if constexpr (N == 4)
      add_lanes<float>(sum, scores);
    else
      for (int i = 0; i < N; ++i) scores[i] = reduce_add<float>(sum[i]);
    for (int i = 0; i < N; ++i) scores[i] = half(k[i]) - scores[i];
  }

  float estimate(const float* row, int64_t k) const {
    const int64_t one[1] = {k};
    float score[1];
    estimate(row, one, score);
    return score[0];
  }

  // Bound on |estimate − score of kernel.h| for a row of norm `norm` and a codeword with ½‖c‖² = `half`.
  float rounding_bound(float norm, float half) const {
    return share * (half + norm * std::sqrt(2 * half) * kNormOfHalf) + score_underflow(panels.dim);
  }

  // Exact scores (kernel.h) of up to one vector's worth of codewords, one per lane, with products in order of
  // dimensions. Scalar code would not do: compilers separate its products from the differences and round both.
  Vec<float> scores(const float* row, const int32_t* k, int64_t count) const {
    constexpr int lanes = kLanes<float>;
    const auto codeword_of = [&](int lane) { return k[lane < count ? lane : 0]; };
    float halves[lanes];
    for (int i = 0; i < lanes; ++i) halves[i] = half(codeword_of(i));
    Vec<float> score = load(halves);
    for (int64_t d = 0; d < panels.dim; d += lanes) {
      Vec<float> value[lanes];
      for (int i = 0; i < lanes; ++i) value[i] = codeword(codeword_of(i), d);
      transpose<float>(value);
      for (int i = 0; i < lanes && d + i < panels.dim; ++i) score -= broadcast(row[d + i]) * value[i];
    }
    return score;
  }

  // Nearest codeword of a zero row, which a perfect fit leaves: its scores are the values ½‖c‖².
  int32_t nearest_to_zero() const {
    int64_t index = 0;
    for (int64_t k = 1; k < panels.count; ++k)
      if (half(k) < half(index)) index = k;
    return static_cast<int32_t>(index);
  }

  // Returns the codeword with the least value of `least_scores`; `least` holds the lane-wise minima.
  int64_t most_likely(const float* least_scores, Vec<float> least) const {
    const Vec<float> value = broadcast(reduce<float>(least, [](Vec<float> a, Vec<float> b) { return a < b ? a : b; }));
    int64_t k = 0;
    uint32_t bits = 0;
    for (; bits == 0 && k < panels.count; k += kLanes<float>) bits = mask_bits<float>(load(least_scores + k) == value);
    return bits == 0 ? 0 : std::min(k - kLanes<float> + __builtin_ctz(bits), panels.count - 1);
  }

  // Returns the nearest codeword of a row, or kUndecided. Adds the cost of the float work to `cost`.
  int32_t decide(const float* row, const GridRow& rounded, const float* least_scores, int64_t likely,
                 int64_t& cost) const {
    float most = estimate(row, likely) + rounding_bound(rounded.norm, half(likely));  // upper bound on the best score
    int32_t survivors[kMostSurvivors];
    int64_t count = 0;
    const int64_t limit = costs.most_survivors();
    for (int64_t k = 0; k < panels.count; k += kLanes<float>)
      for (uint32_t bits = mask_bits<float>(load(least_scores + k) <= most); bits != 0; bits &= bits - 1) {
        if (count == limit) return kUndecided;
        survivors[count++] = static_cast<int32_t>(k + __builtin_ctz(bits));
      }
    if (count == 1) return static_cast<int32_t>(likely);
    float least[kMostSurvivors];
    for (int64_t i = 0; i < count; ++i) {
      const bool out = least_scores[survivors[i]] > most;
      cost += out ? 0 : costs.dot;
      const float value = out ? infinity<float>() : estimate(row, survivors[i]);
      const float error = rounding_bound(rounded.norm, half(survivors[i]));
      least[i] = value - error;
      most = std::min(most, value + error);
    }
    int64_t left = 0;
    for (int64_t i = 0; i < count; ++i)
      if (least[i] <= most) survivors[left++] = survivors[i];
    if (left == 1) return survivors[0];
    float best = infinity<float>();
    int32_t index = kUndecided;
    for (int64_t i = 0; i < left; i += kLanes<float>) {
      float score[kLanes<float>];
      store(score, scores(row, survivors + i, left - i));
      for (int64_t j = 0; j < kLanes<float> && i + j < left; ++j)
        if (score[j] < best) best = score[j], index = survivors[i + j];
      cost += costs.scores;
    }
    return index;
  }
};

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
