// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
//
// The lanes of a panel are the codewords whose sums are taken; all codewords pass by, a few at a time. The K × K matrix
// exists one register tile at a time.
#pragma once

#include <algorithm>

#include "codebook_overlap/kernel.h"
#include "simd/exp2-inl.h"
#include "simd/root-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::codebook_overlap::RECOPS_ISA {
namespace {

constexpr int kTileRows = 4;
constexpr int kTileVectors = kVectorRegisters == 32 ? 4 : 2;
template <class T>
constexpr int kWidth = kTileVectors * kLanes<T>;
// Partial sums over so many codewords, then the sum of those: float holds a sum of thousands to its last digits.
constexpr int64_t kPartialRows = 16 * kTileRows;

template <class T>
using Tile = Vec<T>[kTileVectors];

// f(T{}) with T the compute type.
template <class F>
auto with_compute_type(bool wide, const F& f) {
  return wide ? f(double{}) : f(float{});
}

// ---- Overlap of two Gaussians, from their squared distance. slope · (c_j − c_i) is ∂κ_ij/∂c_i.

template <class T>
struct Pair {
  Vec<T> overlap, slope;
};

// 2^exponent for exponents of at most 0, exactly 1 at 0.
template <class T>
inline Vec<T> decay(Vec<T> exponent) {
  const Vec<T> power = add_exp2(Vec<T>{}, exponent);
  const Vec<T> one = broadcast(T{1});
  return power < one ? power : one;
}

// exp(−q/8σ²), with the σ of Bhattacharyya's coefficient.
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

// e^(−x²) · erfcx(x), with log2(erfcx(x) / t) a polynomial in t = 1/(1 + x/2): relative error 6e-8 up to x = 11, where
// float ends. The coefficients are a Chebyshev fit.
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

// erfc(√q/(2√2 σ)), with slope 0 at its cusp.
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

// f(kernel) with the kernel of that kind.
template <class T, class F>
void with_kernel(Overlap kind, double sigma, const F& f) {
  constexpr double kRootHalf = 0x1.6a09e667f3bcdp-1;
  switch (kind) {
    case Overlap::bhattacharyya: return f(Gaussian<T>(sigma));
    case Overlap::product: return f(Gaussian<T>(sigma * kRootHalf));
    case Overlap::minimum: return f(Minimum<T>(sigma));
  }
}

// ---- Panels: [dim][width], zero past the last codeword.

int64_t num_panels(const Codebook& book) {
  return with_compute_type(book.wide, [&]<class T>(T) { return (book.size + kWidth<T> - 1) / kWidth<T>; });
}

// The codewords of the panel, and as much again for their gradients.
int64_t panel_bytes(const Codebook& book) {
  return with_compute_type(book.wide, [&]<class T>(T) { return 2 * kWidth<T> * (book.dim + 1) * int64_t{sizeof(T)}; });
}

template <class T>
void pack_panel(const T* codewords, int64_t count, int64_t dim, T* panel) {
  for (int64_t d = 0; d < dim; ++d)
    for (int64_t i = 0; i < kWidth<T>; ++i) panel[d * kWidth<T> + i] = i < count ? codewords[i * dim + d] : T{0};
}

template <class T>
inline void load_tile(const T* from, int64_t count, Tile<T>& to) {
#pragma GCC unroll 4
  for (int v = 0; v < kTileVectors; ++v)
    to[v] = v * kLanes<T> < count ? load_as_compute(from + v * kLanes<T>, count - v * kLanes<T>) : Vec<T>{};
}

template <class T>
inline void store_tile(T* to, const Tile<T>& from, int64_t count) {
  for (int v = 0; v < kTileVectors && v * kLanes<T> < count; ++v)
    store_as(to + v * kLanes<T>, from[v], count - v * kLanes<T>);
}

// ---- Squared distances of R codewords to those of a panel.

template <int R, class T>
[[gnu::always_inline]] inline void squared_distances(const T* rows, int64_t dim, const T* panel, Tile<T> (&sum)[R]) {
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) sum[r][v] = Vec<T>{};
  for (int64_t d = 0; d < dim; ++d, panel += kWidth<T>) {
    Tile<T> codeword;
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) codeword[v] = load(panel + v * kLanes<T>);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> value = broadcast(rows[r * dim + d]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) {
        const Vec<T> difference = codeword[v] - value;
        sum[r][v] += difference * difference;
      }
    }
  }
}

// ---- Forward.

template <int R, class T, class Kernel>
[[gnu::noinline]] void add_overlaps(const T* rows, const T* usage, int64_t dim, const T* panel, const Kernel& kernel,
                                    Tile<T>& sum) {
  Tile<T> q[R];
  squared_distances<R>(rows, dim, panel, q);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) sum[v] += usage[r] * kernel.overlap(q[r][v]);
}

template <class T, class Kernel>
void panel_row_sums(const Codebook& book, const Kernel& kernel, const T* panel, Tile<T>& total) {
  const T* codewords = static_cast<const T*>(book.codewords);
  const T* usage = static_cast<const T*>(book.usage);
  for (int64_t first = 0; first < book.size; first += kPartialRows) {
    const int64_t end = std::min(first + kPartialRows, book.size);
    Tile<T> sum = {};
    int64_t j = first;
    for (; j + kTileRows <= end; j += kTileRows)
      add_overlaps<kTileRows>(codewords + j * book.dim, usage + j, book.dim, panel, kernel, sum);
    for (; j < end; ++j) add_overlaps<1>(codewords + j * book.dim, usage + j, book.dim, panel, kernel, sum);
    for (int v = 0; v < kTileVectors; ++v) total[v] += sum[v];
  }
}

void row_sums(const Codebook& book, Overlap kind, double sigma, int64_t begin, int64_t end, void* scratch, void* out) {
  with_compute_type(book.wide, [&]<class T>(T) {
    with_kernel<T>(kind, sigma, [&](const auto& kernel) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t first = p * kWidth<T>, count = std::min<int64_t>(kWidth<T>, book.size - first);
        T* panel = reinterpret_cast<T*>(static_cast<char*>(scratch) + p * panel_bytes(book));
        pack_panel(static_cast<const T*>(book.codewords) + first * book.dim, count, book.dim, panel);
        Tile<T> total = {};
        panel_row_sums(book, kernel, panel, total);
        store_tile(static_cast<T*>(out) + first, total, count);
      }
    });
  });
}

double overlap(const Codebook& book, const void* row_sums) {
  return with_compute_type(book.wide, [&]<class T>(T) {
    double total = 0;
    for (int64_t i = 0; i < book.size; ++i)
      total += double{static_cast<const T*>(book.usage)[i]} * double{static_cast<const T*>(row_sums)[i]};
    return total;
  });
}

// ---- Backward.

// A panel, the values that belong to its codewords, and the sums that are taken for them.
template <class T>
struct PanelGradient {
  const T* panel;
  Tile<T> usage, grad_row_sums;  // u_i and a_i
  Tile<T> grad_usage;
  T* grad_codewords;  // [dim][width]
};

template <int R, class T, class Kernel>
[[gnu::noinline]] void add_gradients(const T* rows, const T* usage, int64_t dim, T g, const T* h, const Kernel& kernel,
                                     PanelGradient<T>& own) {
  Tile<T> force[R];  // squared distances first
  squared_distances<R>(rows, dim, own.panel, force);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const T u = usage[r], a = g * u + h[r];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      const Pair<T> pair = kernel.pair(force[r][v]);
      own.grad_usage[v] += (a + g * u) * pair.overlap;
      force[r][v] = (own.grad_row_sums[v] * u + own.usage[v] * a) * pair.slope;
    }
  }
  const T* panel = own.panel;
  T* gradient = own.grad_codewords;
  for (int64_t d = 0; d < dim; ++d, panel += kWidth<T>, gradient += kWidth<T>) {
    Tile<T> codeword, sum = {};
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) codeword[v] = load(panel + v * kLanes<T>);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> value = broadcast(rows[r * dim + d]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sum[v] += force[r][v] * (value - codeword[v]);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) store(gradient + v * kLanes<T>, load(gradient + v * kLanes<T>) + sum[v]);
  }
}

template <class T>
void unpack_panel(const T* panel, int64_t count, int64_t dim, T* rows) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < dim; ++d) rows[i * dim + d] = panel[d * kWidth<T> + i];
}

void backward(const Codebook& book, Overlap kind, double sigma, const void* g_data, const void* h_data, int64_t begin,
              int64_t end, void* scratch, void* grad_codewords, void* grad_usage) {
  with_compute_type(book.wide, [&]<class T>(T) {
    with_kernel<T>(kind, sigma, [&](const auto& kernel) {
      const T* codewords = static_cast<const T*>(book.codewords);
      const T* usage = static_cast<const T*>(book.usage);
      const T g = *static_cast<const T*>(g_data);
      const T* h = static_cast<const T*>(h_data);
      const int64_t dim = book.dim;
      for (int64_t p = begin; p < end; ++p) {
        const int64_t first = p * kWidth<T>, count = std::min<int64_t>(kWidth<T>, book.size - first);
        T* panel = reinterpret_cast<T*>(static_cast<char*>(scratch) + p * panel_bytes(book));
        pack_panel(codewords + first * dim, count, dim, panel);
        PanelGradient<T> own{panel, {}, {}, {}, panel + dim * kWidth<T>};
        std::fill_n(own.grad_codewords, dim * kWidth<T>, T{0});
        load_tile(usage + first, count, own.usage);
        load_tile(h + first, count, own.grad_row_sums);
        for (int v = 0; v < kTileVectors; ++v) own.grad_row_sums[v] += g * own.usage[v];
        int64_t j = 0;
        for (; j + kTileRows <= book.size; j += kTileRows)
          add_gradients<kTileRows>(codewords + j * dim, usage + j, dim, g, h + j, kernel, own);
        for (; j < book.size; ++j) add_gradients<1>(codewords + j * dim, usage + j, dim, g, h + j, kernel, own);
        unpack_panel(own.grad_codewords, count, dim, static_cast<T*>(grad_codewords) + first * dim);
        store_tile(static_cast<T*>(grad_usage) + first, own.grad_usage, count);
      }
    });
  });
}

int64_t find_not_finite(const void* values, bool wide, int64_t count) {
  return with_compute_type(wide, [&]<class T>(T) -> int64_t {
    const T* value = static_cast<const T*>(values);
    for (int64_t i = 0; i < count; ++i)
      if (!(value[i] - value[i] == 0)) return i;
    return -1;
  });
}

}  // namespace

extern const Kernels kernels = {num_panels, panel_bytes, find_not_finite, row_sums, overlap, backward};

}  // namespace recops::codebook_overlap::RECOPS_ISA
