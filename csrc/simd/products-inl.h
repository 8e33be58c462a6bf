// Products of a few rows with a matrix packed into panels, and sums of outer products. Every sum adds its terms in
// order in any tile, so a row's result does not depend on its neighbours.
//
// Op families import these names with `using namespace ::recops::RECOPS_ISA`, because bench/instructions.py counts
// instructions per such namespace.
#pragma once

#include <algorithm>

#include "simd/vector-inl.h"

namespace recops::RECOPS_ISA {
namespace {

// 24 or 12 accumulators, one row of panel vectors, and one broadcast value from the left matrix.
constexpr int kTileRows = kVectorRegisters == 32 ? 8 : 4;
constexpr int kTileVectors = 3;

// Length of a row of `count` values after rounding up to whole vectors.
template <class T>
constexpr int64_t padded(int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// Types for the columns of a tile: whole vectors, or half a vector for the last columns.
template <class T>
struct Whole {
  using Vector = Vec<T>;
  static constexpr int64_t kColumns = kLanes<T>;
  static Vector multiply_add(Vector sum, Vector a, Vector b) { return recops::multiply_add<T>(sum, a, b); }
};

// Cores that split 512-bit operations (Zen 4) need half the time for a half vector; on other cores it costs no more.
constexpr bool kHalves = kVectorBytes == 64;
template <class T>
struct Half {
  using Vector = typename VectorOf<T>::half;
  static constexpr int64_t kColumns = kLanes<T> / 2;
  static Vector multiply_add(Vector sum, Vector a, Vector b) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 8) return (Vector)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)sum);
    if constexpr (sizeof(T) == 4) return (Vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#else
    return a * b + sum;
#endif
  }
};

template <class Part, class T>
inline typename Part::Vector load_part(const T* from) {
  typename Part::Vector v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}

template <class Part, class T>
inline void store_part(T* to, typename Part::Vector v) {
  std::memcpy(to, &v, sizeof(v));
}

// Calls f(V, part, first) for every panel of a matrix of this width. V is the constant number of vectors, `part` their
// type (Whole or Half), and `first` the first column.
template <class T, class F>
void for_panels(int64_t width, const F& f) {
  const bool half = kHalves && width % kLanes<T> > 0 && width % kLanes<T> <= Half<T>::kColumns;
  const int64_t vectors = padded<T>(width) / kLanes<T> - half;
  int64_t first = 0;
  for (; first + kTileVectors <= vectors; first += kTileVectors)
    f(std::integral_constant<int, kTileVectors>{}, Whole<T>{}, first * kLanes<T>);
  if (vectors - first == 2) f(std::integral_constant<int, 2>{}, Whole<T>{}, first * kLanes<T>);
  if (vectors - first == 1) f(std::integral_constant<int, 1>{}, Whole<T>{}, first * kLanes<T>);
  if constexpr (kHalves)
    if (half) f(std::integral_constant<int, 1>{}, Half<T>{}, vectors * kLanes<T>);
}

// A matrix [depth, width] with a bias, packed into panels of kTileVectors vectors of columns; the last panel is as
// narrow as possible. With C = kTileVectors · lanes columns per panel:
//
//   panel 0:  bias[0 … C − 1]          panel 1:  bias[C … 2C − 1]         …  last panel: zeros after `width`
//             row 0 [0 … C − 1]                  row 0 [C … 2C − 1]
//             …                                  …
//             row depth − 1 [0 … C − 1]          row depth − 1 [C … 2C − 1]
template <class T>
struct Panels {
  const T* data = nullptr;
  int64_t depth = 0, width = 0;

  static int64_t size(int64_t depth, int64_t width) { return (depth + 1) * padded<T>(width); }
};

// Packs the matrix with entries value(k, c) in row k, column c, and with bias(c).
template <class T, class Value, class Bias>
void pack_panels(int64_t depth, int64_t width, T* to, const Value& value, const Bias& bias) {
  for_panels<T>(width, [&](auto vectors, auto part, int64_t first) {
    const int64_t columns = vectors * decltype(part)::kColumns;
    const int64_t real = std::min(columns, width - first);
    for (int64_t k = -1; k < depth; ++k, to += columns) {
      for (int64_t c = 0; c < real; ++c) to[c] = k < 0 ? bias(first + c) : value(k, first + c);
      for (int64_t c = real; c < columns; ++c) to[c] = T{0};
    }
  });
}

enum class Into { replace, add };

template <int R, int V, class Part, Into into, class T>
[[gnu::noinline]] void multiply_tile(const T* rows, int64_t stride, int64_t depth, const T* panel, T* out,
                                     int64_t out_stride) {
  using Vector = typename Part::Vector;
  constexpr int64_t kWidth = V * Part::kColumns;
  Vector sum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) sum[r][v] = load_part<Part>(panel + v * Part::kColumns);
  for (int64_t k = 0; k < depth; ++k) {
    panel += kWidth;
    Vector column[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) column[v] = load_part<Part>(panel + v * Part::kColumns);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vector value = rows[r * stride + k] - Vector{};
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) sum[r][v] = Part::multiply_add(sum[r][v], value, column[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) {
      T* to = out + r * out_stride + v * Part::kColumns;
      store_part<Part>(to, into == Into::add ? load_part<Part>(to) + sum[r][v] : sum[r][v]);
      if (into == Into::replace && Part::kColumns < kLanes<T>) store_part<Part>(to + Part::kColumns, Vector{});
    }
}

template <int V, class Part, Into into, class T>
void multiply_panel(const T* rows, int64_t stride, int64_t count, int64_t depth, const T* panel, T* out,
                    int64_t out_stride) {
  const auto tiles = [&]<int R>(std::integral_constant<int, R>) {
    for (; count >= R; count -= R, rows += R * stride, out += R * out_stride)
      multiply_tile<R, V, Part, into>(rows, stride, depth, panel, out, out_stride);
  };
  tiles(std::integral_constant<int, kTileRows>{});
  if constexpr (kTileRows > 4) tiles(std::integral_constant<int, 4>{});
  tiles(std::integral_constant<int, 2>{});
  tiles(std::integral_constant<int, 1>{});
}

// out[i] = bias + rows[i] · matrix, or out[i] += that. Writes rows of `out` in whole vectors.
template <Into into = Into::replace, class T>
void multiply(const T* rows, int64_t stride, int64_t count, const Panels<T>& matrix, T* out, int64_t out_stride) {
  for_panels<T>(matrix.width, [&](auto vectors, auto part, int64_t first) {
    multiply_panel<vectors, decltype(part), into>(rows, stride, count, matrix.depth,
                                                  matrix.data + first * (matrix.depth + 1), out + first, out_stride);
  });
}

// Row-major samples: sample s has `values` values from data + s · stride on.
template <class T>
struct Samples {
  const T* data;
  int64_t stride, values;
};

template <int R, int V, class Part, class T>
[[gnu::noinline]] void outer_tile(const T* left, int64_t left_stride, const T* right, int64_t right_stride,
                                  int64_t samples, T* sums, int64_t sums_stride) {
  using Vector = typename Part::Vector;
  Vector sum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) sum[r][v] = load_part<Part>(sums + r * sums_stride + v * Part::kColumns);
  for (int64_t s = 0; s < samples; ++s, left += left_stride, right += right_stride) {
    Vector column[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) column[v] = load_part<Part>(right + v * Part::kColumns);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vector value = left[r] - Vector{};
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) sum[r][v] = Part::multiply_add(sum[r][v], value, column[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store_part<Part>(sums + r * sums_stride + v * Part::kColumns, sum[r][v]);
}

// sums[k, c] += Σ_s left[s, k] · right[s, c]. Rows of `sums` have padded(right.values) values; the padding is
// undefined. Reads the samples of `right` in whole vectors.
template <class T>
void add_outer_products(const Samples<T>& left, const Samples<T>& right, int64_t samples, T* sums) {
  const int64_t stride = padded<T>(right.values);
  for_panels<T>(right.values, [&](auto vectors, auto part, int64_t first) {
    int64_t k = 0;
    const auto tiles = [&]<int R>(std::integral_constant<int, R>) {
      for (; k + R <= left.values; k += R)
        outer_tile<R, vectors, decltype(part)>(left.data + k, left.stride, right.data + first, right.stride, samples,
                                               sums + k * stride + first, stride);
    };
    tiles(std::integral_constant<int, kTileRows>{});
    if constexpr (kTileRows > 4) tiles(std::integral_constant<int, 4>{});
    tiles(std::integral_constant<int, 2>{});
    tiles(std::integral_constant<int, 1>{});
  });
}

}  // namespace
}  // namespace recops::RECOPS_ISA
