// Users in lanes: a value of a block is a row of kUsers numbers, one a user, and every step of every user is computed
// by the same instructions, whoever stands beside it. Nothing is summed across lanes but gradients of weights.
#pragma once

#include "common/arena.h"
#include "memory/kernel.h"
#include "simd/exp2-inl.h"
#include "simd/lanes-inl.h"
#include "simd/logarithm-inl.h"
#include "simd/products-inl.h"
#include "simd/root-inl.h"
#include "simd/sigmoid-inl.h"
#include "simd/stored-inl.h"
#include "simd/tanh-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

using namespace ::recops::RECOPS_ISA;

// Two vectors: a weight that is broadcast serves both.
template <class T>
constexpr int64_t kUsers = 2 * kLanes<T>;

// f(i) for every vector of `values` rows.
template <class T, class F>
void for_vectors(int64_t values, const F& f) {
  for (int64_t i = 0; i < values * kUsers<T>; i += kLanes<T>) f(i);
}

template <class T>
Vec<T> exponential(Vec<T> x) {
  return add_exp2(Vec<T>{}, x * static_cast<T>(kLog2E));
}

// log(1 + e^x)
template <class T>
Vec<T> softplus(Vec<T> x) {
  const Vec<T> zero{}, size = x < zero ? -x : x;
  return (x > zero ? x : zero) + logarithm(broadcast(T{1}) + exponential<T>(-size));
}

template <class T>
Vec<T> clipped(Vec<T> x) {
  return at_most<T>(at_least<T>(x, T{-20}), T{20});
}

// The gradient, or 0 where x was clipped.
template <class T>
Vec<T> unclipped(Vec<T> grad, Vec<T> x) {
  return (x < T{-20}) | (x > T{20}) ? Vec<T>{} : grad;
}

// ---- Weights times values.

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

// out = weights · in + bias, the bias null for zeros; each row's sum runs over the columns in order.
template <class T>
void multiply(const Matrix<T>& weights, const T* in, const T* bias, T* out) {
  multiply_lanes(weights, in, bias, out, false);
}

// out += weights · in
template <class T>
void multiply_into(const Matrix<T>& weights, const T* in, T* out) {
  multiply_lanes<T>(weights, in, nullptr, out, true);
}

// The transpose of a part of a matrix, dense, in memory that `pack` writes to: what a gradient goes back through.
template <class T>
Matrix<T> transposed(const Matrix<T>& of, Arena& arena, bool pack) {
  T* const to = arena.take<T>(of.rows * of.columns);
  for (int64_t r = 0; pack && r < of.rows; ++r)
    for (int64_t c = 0; c < of.columns; ++c) to[c * of.rows + r] = of.data[r * of.stride + c];
  return {to, of.rows, of.columns, of.rows};
}

// ---- Rows of users into lanes and back.

// Lanes begin up to end get `width` values each from the rows `index` of an array stored as S.
enum class Others { zero, keep };
template <class S>
void load_rows(const S* rows, int64_t width, const int64_t* index, int64_t begin, int64_t end, Others others,
               Compute<S>* lanes) {
  using T = Compute<S>;
  for (int64_t first = 0; first < kUsers<T>; first += kLanes<T>) {
    const int64_t from = begin - first, to = end - first;
    if (others == Others::keep && (from >= kLanes<T> || to <= 0)) continue;
    Vec<Lane<T>> mine;
    for (int i = 0; i < kLanes<T>; ++i) mine[i] = i >= from && i < to ? -1 : 0;
    int64_t e = 0;
    if (from <= 0 && to >= kLanes<T>) {  // whole squares, which stay in registers
      for (; e + kLanes<T> <= width; e += kLanes<T>) {
        Vec<T> square[kLanes<T>];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) square[i] = load_as_compute(rows + index[first + i] * width + e);
        transpose<T>(square);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) store(lanes + (e + i) * kUsers<T> + first, square[i]);
      }
    }
    for (; e < width; e += kLanes<T>) {
      Vec<T> square[kLanes<T>];
      for (int i = 0; i < kLanes<T>; ++i)
        square[i] = i >= from && i < to ? load_as_compute(rows + index[first + i] * width + e, width - e) : Vec<T>{};
      transpose<T>(square);
      T* to_lanes = lanes + e * kUsers<T> + first;
      for (int i = 0; i < kLanes<T> && e + i < width; ++i, to_lanes += kUsers<T>)
        store(to_lanes, others == Others::keep ? (mine ? square[i] : load(to_lanes)) : square[i]);
    }
  }
}

// The other way: lanes begin up to end into the rows `index`, `stride` apart.
template <class S>
void store_rows(const Compute<S>* lanes, int64_t width, const int64_t* index, int64_t begin, int64_t end,
                int64_t stride, S* rows) {
  using T = Compute<S>;
  for (int64_t first = 0; first < end; first += kLanes<T>) {
    const int64_t from = begin - first, to = end - first;
    if (from >= kLanes<T>) continue;
    int64_t e = 0;
    if (from <= 0 && to >= kLanes<T>) {  // whole squares, which stay in registers
      for (; e + kLanes<T> <= width; e += kLanes<T>) {
        Vec<T> square[kLanes<T>];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) square[i] = load(lanes + (e + i) * kUsers<T> + first);
        transpose<T>(square);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i) store_as(rows + index[first + i] * stride + e, square[i]);
      }
    }
    for (; e < width; e += kLanes<T>) {
      Vec<T> square[kLanes<T>];
      for (int i = 0; i < kLanes<T>; ++i)
        square[i] = e + i < width ? load(lanes + (e + i) * kUsers<T> + first) : Vec<T>{};
      transpose<T>(square);
      for (int i = 0; i < kLanes<T>; ++i)
        if (i >= from && i < to) store_as(rows + index[first + i] * stride + e, square[i], width - e);
    }
  }
}

// Fetches a row that will be loaded, and then written.
template <class T>
void fetch(const T* rows, int64_t row, int64_t width) {
  constexpr int64_t kLine = 64 / int64_t{sizeof(T)};
  for (int64_t e = 0; e < width; e += kLine) __builtin_prefetch(rows + row * width + e, 1, 2);
}

// Where the inputs of step t stand, for the first `live` lanes.
inline void input_rows(const Block& block, int64_t t, int64_t live, int64_t* index) {
  for (int64_t i = 0; i < live; ++i) {
    const int64_t e = block.first[i] + t;
    index[i] = block.events == nullptr ? e : block.events[e];
  }
}

// How many rows take step t.
inline int64_t live_at(const Block& block, int64_t t) {
  int64_t live = 0;
  while (live < block.count && block.lengths[live] > t) ++live;
  return live;
}

// ---- Sums over users.

// Lanes as samples, for the outer products that make up a gradient of weights.
template <class T>
class SampleRows {
 public:
  SampleRows(Arena& arena, int64_t most_values) : most_(padded<T>(most_values)) {
    arena.take(data_, kUsers<T> * most_);
    for (int64_t i = 0; i < kUsers<T>; ++i) identity_[i] = i;
  }

  // The first `live` lanes of these values, until the next call.
  Samples<T> of(const T* lanes, int64_t values, int64_t live) {
    store_rows<T>(lanes, values, identity_, 0, live, most_, data_);
    return {data_, most_, values};
  }
  Samples<T> of(const T* lanes, int64_t values, const T* others, int64_t other_values, int64_t live) {
    store_rows<T>(others, other_values, identity_, 0, live, most_, data_ + values);
    store_rows<T>(lanes, values, identity_, 0, live, most_, data_);
    return {data_, most_, values + other_values};
  }

 private:
  int64_t most_;
  T* data_ = nullptr;
  int64_t identity_[kUsers<T>];
};

template <class T>
Samples<T> part(const Samples<T>& samples, int64_t first, int64_t values) {
  return {samples.data + first, samples.stride, values};
}

// sums += lanes, user by user.
template <class T>
void add_values(const T* lanes, int64_t values, T* sums) {
  for_vectors<T>(values, [&](int64_t i) { store(sums + i, load(sums + i) + load(lanes + i)); });
}

template <class T>
T sum_of_lanes(const T* lanes) {
  return reduce_add<T>(load(lanes) + load(lanes + kLanes<T>));
}

// Rows of padded width, added up by outer products, into a matrix.
template <class T>
void unpad(const T* sums, int64_t rows, int64_t columns, int64_t stride, T* to) {
  for (int64_t r = 0; r < rows; ++r) std::copy_n(sums + r * padded<T>(columns), columns, to + r * stride);
}

template <class T>
void sum_lanes(const T* sums, int64_t values, T* to) {
  for (int64_t i = 0; i < values; ++i) to[i] = sum_of_lanes(sums + i * kUsers<T>);
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
