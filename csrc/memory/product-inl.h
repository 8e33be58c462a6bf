// Products of weights, each broadcast to all users, with the values of a block.
#pragma once

#include "common/arena.h"
#include "memory/lanes-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

template <class T>
struct Matrix {
  const T* data;
  int64_t stride, rows, columns;

  Matrix part(int64_t first_row, int64_t count) const { return {data + first_row * stride, stride, count, columns}; }
  Matrix columns_from(int64_t first, int64_t count) const { return {data + first, stride, rows, count}; }
};

template <int R, class T>
[[gnu::noinline]] void multiply_lanes_tile(const T* weights, int64_t stride, int64_t depth, const T* in, const T* bias,
                                           T* out, bool add) {
  Vec<T> sum[R][2];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v)
      sum[r][v] = add ? load(out + r * kUsers<T> + v * kLanes<T>) : bias == nullptr ? Vec<T>{} : broadcast(bias[r]);
  for (int64_t k = 0; k < depth; ++k, in += kUsers<T>) {
    const Vec<T> low = load(in), high = load(in + kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> weight = broadcast(weights[r * stride + k]);
      sum[r][0] = multiply_add<T>(sum[r][0], weight, low);
      sum[r][1] = multiply_add<T>(sum[r][1], weight, high);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) store(out + r * kUsers<T> + v * kLanes<T>, sum[r][v]);
}

template <class T>
void multiply_lanes(const Matrix<T>& weights, const T* in, const T* bias, T* out, bool add) {
  int64_t row = 0;
  const auto tiles = [&]<int R>(std::integral_constant<int, R>) {
    for (; row + R <= weights.rows; row += R)
      multiply_lanes_tile<R>(weights.data + row * weights.stride, weights.stride, weights.columns, in,
                             bias == nullptr ? nullptr : bias + row, out + row * kUsers<T>, add);
  };
  tiles(std::integral_constant<int, kTileRows>{});
  if constexpr (kTileRows > 4) tiles(std::integral_constant<int, 4>{});
  tiles(std::integral_constant<int, 2>{});
  tiles(std::integral_constant<int, 1>{});
}

// out = weights · in + bias; a null bias means zeros. Each row's sum adds the columns in order.
template <class T>
void multiply(const Matrix<T>& weights, const T* in, const T* bias, T* out) {
  multiply_lanes(weights, in, bias, out, false);
}

// out += weights · in
template <class T>
void multiply_into(const Matrix<T>& weights, const T* in, T* out) {
  multiply_lanes<T>(weights, in, nullptr, out, true);
}

// Transposes a matrix into contiguous memory, for the backward pass. Writes only if `pack`.
template <class T>
Matrix<T> transposed(const Matrix<T>& of, Arena& arena, bool pack) {
  T* const to = arena.take<T>(of.rows * of.columns);
  for (int64_t r = 0; pack && r < of.rows; ++r)
    for (int64_t c = 0; c < of.columns; ++c) to[c * of.rows + r] = of.data[r * of.stride + c];
  return {to, of.rows, of.columns, of.rows};
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
