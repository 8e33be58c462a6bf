// Overlap of two Gaussians as a function of the squared distance q of their centres, with its slope: slope · (c_j −
// c_i) = ∂κ_ij/∂c_i.
#pragma once

#include "codebook_overlap/kernel.h"
#include "simd/exp2-inl.h"
#include "simd/root-inl.h"
#include "simd/vector-inl.h"

namespace recops::codebook_overlap::RECOPS_ISA {
namespace {

template <class T>
struct Pair {
  Vec<T> overlap, slope;
};

// 2^exponent for exponents of at most 0; exactly 1 at 0.
template <class T>
inline Vec<T> decay(Vec<T> exponent) {
  const Vec<T> power = add_exp2(Vec<T>{}, exponent);
  const Vec<T> one = broadcast(T{1});
  return power < one ? power : one;
}

// exp(−q/8σ²), where σ is that of the Bhattacharyya coefficient.
template <class T>
class Gaussian {
 public:
  explicit Gaussian(double sigma)
      : exponent_(static_cast<T>(-kLog2E / (8 * sigma * sigma))), slope_(static_cast<T>(1 / (4 * sigma * sigma))) {}

  Vec<T> overlap(Vec<T> q) const { return decay<T>(q * exponent_); }
  Pair<T> pair(Vec<T> q) const {
    const Vec<T> overlap = this->overlap(q);
    return {overlap, overlap * slope_};
  }

 private:
  T exponent_, slope_;
};

// erfc(x) = e^(−x²) · erfcx(x), where log2(erfcx(x) / t) is a polynomial in t = 1/(1 + x/2), a Chebyshev fit. The
// relative error is 6e-8 up to x = 11, where float underflows.
inline Vec<float> complementary_error(Vec<float> x, Vec<float> square) {
  const Vec<float> t = 1 / (1 + x / 2);
  Vec<float> p = t * 0.21953675f - 1.03896772f;
  p = p * t + 1.80190451f;
  p = p * t - 1.18089868f;
  p = p * t + 0.02935955f;
  p = p * t - 0.07482035f;
  p = p * t + 0.07578867f;
  p = p * t + 0.55244335f;
  p = p * t + 1.44133950f;
  p = p * t - 1.82568550f;
  return t * add_exp2(Vec<float>{}, p - square * static_cast<float>(kLog2E));
}
inline Vec<double> complementary_error(Vec<double> x, Vec<double>) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_erfc(x[i]);
  return x;
}

// erfc(√q/(2√2 σ)); the slope is defined as 0 at the cusp q = 0.
template <class T>
class Minimum {
 public:
  explicit Minimum(double sigma)
      : squared_scale_(static_cast<T>(1 / (8 * sigma * sigma))),
        slope_(static_cast<T>(kTwoOverRootPi / 8 / (sigma * sigma))) {}

  Vec<T> overlap(Vec<T> q) const {
    const Vec<T> square = q * squared_scale_;
    const Vec<T> overlap = complementary_error(square_root(square), square);
    const Vec<T> one = broadcast(T{1});
    return square > 0 ? (overlap < one ? overlap : one) : one;
  }
  Pair<T> pair(Vec<T> q) const {
    const Vec<T> square = q * squared_scale_;
    const Vec<T> slope = decay<T>(square * -static_cast<T>(kLog2E)) / square_root(square) * slope_;
    return {overlap(q), square > 0 ? slope : Vec<T>{}};
  }

 private:
  static constexpr double kTwoOverRootPi = 0x1.20dd750429b6dp+0;

  T squared_scale_, slope_;
};

// Calls f with the overlap function for `kind`.
template <class T, class F>
void with_kernel(Overlap kind, double sigma, const F& f) {
  constexpr double kRootHalf = 0x1.6a09e667f3bcdp-1;
  switch (kind) {
    case Overlap::bhattacharyya: return f(Gaussian<T>(sigma));
    case Overlap::product: return f(Gaussian<T>(sigma * kRootHalf));
    case Overlap::minimum: return f(Minimum<T>(sigma));
  }
}

}  // namespace
}  // namespace recops::codebook_overlap::RECOPS_ISA
