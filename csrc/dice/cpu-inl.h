// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
//
// Each lane is a column. A strip is a few vectors of columns, so that rows are read by whole cache lines. The sums of a
// strip stay in registers during the loop over rows.
#pragma once

#include <algorithm>
#include <type_traits>

#include "dice/kernel.h"
#include "simd/root-inl.h"
#include "simd/sigmoid-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::dice::RECOPS_ISA {
namespace {

constexpr int kStripVectors = 4;
// Partial sums over this many rows are added in a second step, so that float keeps its accuracy for thousands of rows.
constexpr int64_t kPartialRows = 64;

// V vectors of columns. A strip of one vector may be the last and then uses only the lanes of existing columns.
template <class S, int V>
class Strip {
  using T = Compute<S>;
  using Tile = Vec<T>[V];

 public:
  Strip(const Problem& problem, int64_t column)
      : problem_(problem), column_(column), count_(problem.columns - column), x_(at<S>(problem.x)) {
    load(at<T>(problem.alpha), alpha_);
    for (int v = 0; v < V; ++v) rest_[v] = T{1} - alpha_[v];
  }

  void forward(void* mean, void* var, void* to) {
    if (problem_.of_batch) {
      find_statistics();
      store(at<T>(mean), mean_);
      store(at<T>(var), var_);
    } else {
      read_statistics(mean, var);
    }
    find_scale();
    S* out = at<S>(to);
    for (int64_t row = 0; row < problem_.rows; ++row) {
      Tile x;
      load(x_ + row * problem_.columns, x);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) x[v] *= alpha_[v] + rest_[v] * sigmoid<T>(standardised(x[v], v));
      store(out + row * problem_.columns, x);
    }
  }

  void backward(const void* mean, const void* var, const void* grad, void* grad_x, void* grad_alpha) {
    read_statistics(mean, var);
    find_scale();
    const S* const gradients = at<S>(grad);
    S* const to = at<S>(grad_x);
    // grad_x temporarily holds p, unless it is stored in 16 bits, which would round p.
    constexpr bool kKeepsGate = std::is_same_v<S, T>;
    Tile alpha_sum{}, g{}, gs{};
    for_partial_sums<3>({&alpha_sum, &g, &gs}, [&](int64_t row, Vec<T>(&sum)[3][V]) {
      Tile x, gradient;
      load(x_ + row * problem_.columns, x);
      load(gradients + row * problem_.columns, gradient);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec<T> s = standardised(x[v], v), p = sigmoid<T>(s);
        const Terms terms = terms_of(x[v], gradient[v], p, v);
        sum[0][v] += terms.grad_alpha;
        sum[1][v] += terms.g;
        sum[2][v] += terms.g * s;
        x[v] = problem_.of_batch ? p : terms.direct + scale_[v] * terms.g;
      }
      if (kKeepsGate || !problem_.of_batch) store(to + row * problem_.columns, x);
    });
    store(at<T>(grad_alpha), alpha_sum);
    if (!problem_.of_batch) return;
    for (int v = 0; v < V; ++v) {
      g[v] /= num_rows();
      gs[v] /= num_rows();
    }
    for (int64_t row = 0; row < problem_.rows; ++row) {
      Tile x, gradient, gate;
      load(x_ + row * problem_.columns, x);
      load(gradients + row * problem_.columns, gradient);
      if (kKeepsGate) load(to + row * problem_.columns, gate);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec<T> s = standardised(x[v], v), p = kKeepsGate ? gate[v] : sigmoid<T>(s);
        const Terms terms = terms_of(x[v], gradient[v], p, v);
        x[v] = terms.direct + scale_[v] * (terms.g - g[v] - gs[v] * s);
      }
      store(to + row * problem_.columns, x);
    }
  }

 private:
  struct Terms {
    Vec<T> grad_alpha, g, direct;  // direct: the part of grad_x that does not pass through the gate's argument
  };

  template <class U, class Pointer>
  auto at(Pointer* values) const {
    if constexpr (std::is_const_v<Pointer>)
      return static_cast<const U*>(values) + column_;
    else
      return static_cast<U*>(values) + column_;
  }

  template <class U>
  void load(const U* from, Tile& to) const {
    if constexpr (V == 1) {
      to[0] = load_as_compute(from, count_);
    } else {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) to[v] = load_as_compute(from + v * kLanes<T>);
    }
  }

  template <class U>
  void store(U* to, const Tile& from) const {
    if constexpr (V == 1) {
      store_as(to, from[0], count_);
    } else {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store_as(to + v * kLanes<T>, from[v]);
    }
  }

  T num_rows() const { return static_cast<T>(std::max<int64_t>(problem_.rows, 1)); }

  // Calls add(row, sums) for all rows.
  template <int N, class Add>
  void for_partial_sums(Tile* const (&total)[N], const Add& add) const {
    for (int64_t first = 0; first < problem_.rows; first += kPartialRows) {
      const int64_t end = std::min(first + kPartialRows, problem_.rows);
      Vec<T> sum[N][V] = {};
      for (int64_t row = first; row < end; ++row) add(row, sum);
      for (int i = 0; i < N; ++i)
        for (int v = 0; v < V; ++v) (*total[i])[v] += sum[i][v];
    }
  }

  // The sum of differences from the mean shows the rounding error of the mean, which is then corrected. So an offset
  // much larger than the spread costs neither statistic any digits.
  void find_statistics() {
    Tile sum{}, differences{}, squares{};
    for_partial_sums<1>({&sum}, [&](int64_t row, Vec<T>(&part)[1][V]) {
      Tile x;
      load(x_ + row * problem_.columns, x);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) part[0][v] += x[v];
    });
    for (int v = 0; v < V; ++v) mean_[v] = sum[v] / num_rows();
    for_partial_sums<2>({&differences, &squares}, [&](int64_t row, Vec<T>(&part)[2][V]) {
      Tile x;
      load(x_ + row * problem_.columns, x);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec<T> difference = x[v] - mean_[v];
        part[0][v] += difference;
        part[1][v] += difference * difference;
      }
    });
    for (int v = 0; v < V; ++v) {
      const Vec<T> rounding = differences[v] / num_rows();
      mean_[v] += rounding;
      var_[v] = at_least(squares[v] / num_rows() - rounding * rounding, T{0});
    }
  }

  void read_statistics(const void* mean, const void* var) {
    load(at<T>(mean), mean_);
    load(at<T>(var), var_);
  }

  void find_scale() {
    const T eps = static_cast<T>(problem_.eps);
    for (int v = 0; v < V; ++v) scale_[v] = T{1} / square_root(var_[v] + eps);
  }

  Vec<T> standardised(Vec<T> x, int v) const { return (x - mean_[v]) * scale_[v]; }

  Terms terms_of(Vec<T> x, Vec<T> grad, Vec<T> p, int v) const {
    const Vec<T> grad_alpha = grad * x * (T{1} - p);
    // Rounded explicitly so that g has the same value everywhere: with a single row, g − ⟨g⟩ must be exactly zero.
    return {grad_alpha, rounded<T>(grad_alpha * p * rest_[v]), grad * (alpha_[v] + rest_[v] * p)};
  }

  const Problem& problem_;
  const int64_t column_, count_;
  const S* const x_;
  Tile alpha_, rest_, mean_, var_, scale_;
};

// Calls f(strip) for strips of columns [begin, end).
template <class F>
void for_strips(const Problem& problem, int64_t begin, int64_t end, const F& f) {
  with_stored_type(problem.dtype, [&]<class S>(S) {
    constexpr int64_t kLane = kLanes<Compute<S>>, kWidth = kStripVectors * kLane;
    static_assert(kColumns % kWidth == 0);
    int64_t column = begin;
    for (; column + kWidth <= end; column += kWidth) f(Strip<S, kStripVectors>(problem, column));
    for (; column < end; column += kLane) f(Strip<S, 1>(problem, column));
  });
}

void forward(const Problem& problem, int64_t begin, int64_t end, void* mean, void* var, void* out) {
  for_strips(problem, begin, end, [&](auto strip) { strip.forward(mean, var, out); });
}

void backward(const Problem& problem, int64_t begin, int64_t end, const void* mean, const void* var, const void* grad,
              void* grad_x, void* grad_alpha) {
  for_strips(problem, begin, end, [&](auto strip) { strip.backward(mean, var, grad, grad_x, grad_alpha); });
}

}  // namespace

extern const Kernels kernels = {
    .forward = forward,
    .backward = backward,
};

}  // namespace recops::dice::RECOPS_ISA
