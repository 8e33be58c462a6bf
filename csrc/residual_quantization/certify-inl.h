// The nearest codewords of a level by way of a grid: exactly those that kernel.h's scores choose, found from dot
// products of small integers, which bound those scores from below.
//
//   1. Bound all scores of a row from below; take the codeword of the least bound, and from its dot product in floats
//      an upper bound on its score, hence on the best.
//   2. Codewords whose lower bound is above that are out. Of the others, mostly one or a few, take dot products too.
//   3. Where those are apart by less than rounding may be, take the scores themselves, in the order of the tile.
// A row that leaves too many codewords goes to the tiles of floats instead.
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

// What the ways to find a row's codeword cost, in cycles of a core that starts a multiply-add of a whole vector in
// each: they decide between the ways, and no result depends on them. A dot product loads two vectors for each
// multiply-add and adds up lanes in the end; kernel.h's scores of a few codewords take transposed vectors of them.
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
  // So many dot products, on average as few, cost less than the tiles of floats.
  int64_t most_survivors() const { return std::clamp(floats / dot / 2, int64_t{2}, kMostSurvivors); }
};

// What rounding leaves open of the level whose codewords `panels` holds.
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

  // The scores of N codewords by another order of summation: more at a time hide latencies and load the row once.
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

  // How far that can be from kernel.h's, of a row of this norm and a codeword of this half.
  float rounding_bound(float norm, float half) const {
    return share * (half + norm * std::sqrt(2 * half) * kNormOfHalf) + score_underflow(panels.dim);
  }

  // kernel.h's scores of up to a vector's worth of codewords, one a lane: ½‖c‖² less the products in the order of
  // dimensions. Scalars would not do: compilers take their products apart from the differences and round both.
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

  // The nearest of a row of zeros, as a perfect fit leaves: its scores are the halves themselves.
  int32_t nearest_to_zero() const {
    int64_t index = 0;
    for (int64_t k = 1; k < panels.count; ++k)
      if (half(k) < half(index)) index = k;
    return static_cast<int32_t>(index);
  }

  // The codeword of the least of `least_scores`, of which `least` are the lane minima.
  int64_t most_likely(const float* least_scores, Vec<float> least) const {
    const Vec<float> value = broadcast(reduce<float>(least, [](Vec<float> a, Vec<float> b) { return a < b ? a : b; }));
    int64_t k = 0;
    uint32_t bits = 0;
    for (; bits == 0 && k < panels.count; k += kLanes<float>) bits = mask_bits<float>(load(least_scores + k) == value);
    return bits == 0 ? 0 : std::min(k - kLanes<float> + __builtin_ctz(bits), panels.count - 1);
  }

  // The nearest codeword of a row, or kUndecided. Adds to `cost` what was spent.
  int32_t decide(const float* row, const GridRow& rounded, const float* least_scores, int64_t likely,
                 int64_t& cost) const {
    float most = estimate(row, likely) + rounding_bound(rounded.norm, half(likely));  // that the best score can be
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
