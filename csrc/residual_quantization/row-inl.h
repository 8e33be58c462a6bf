// Operations on one row: load, subtract a codeword, norms.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// A block of rows fits into the second-level cache together with two panels.
constexpr int64_t kBlockBytes = 320 << 10;
constexpr int64_t kMaxBlockRows = 64 * kTileRows;

// Converts a row to the compute type. Returns false if a value is not finite.
template <class S, class T = Compute<S>>
bool load_row(const S* from, int64_t dim, T* to) {
  Vec<T> excess = {};
  int64_t d = 0;
  const auto take = [&](Vec<T> v) {
    excess += v - v;  // zero for finite values, NaN for the others
    return v;
  };
  for (; d + kLanes<T> <= dim; d += kLanes<T>) store(to + d, take(load_as_compute(from + d)));
  if (d < dim) store_as(to + d, take(load_as_compute(from + d, dim - d)), dim - d);
  return reduce_add<T>(excess) == 0;
}

template <class S>
inline void prefetch(const S* from, int64_t count) {
  for (int64_t i = 0; i < count; i += kLine<S>) __builtin_prefetch(from + i);
}

template <class S, class T = Compute<S>>
void subtract(T* row, const S* codeword, int64_t dim) {
  int64_t d = 0;
  for (; d + kLanes<T> <= dim; d += kLanes<T>) store(row + d, load(row + d) - load_as_compute(codeword + d));
  if (d < dim) store_as(row + d, load_as_compute(row + d, dim - d) - load_as_compute(codeword + d, dim - d), dim - d);
}

template <class T>
T squared_norm(const T* row, int64_t dim) {
  Vec<T> sum = {};
  for (int64_t d = 0; d < dim; d += kLanes<T>) {
    const Vec<T> v = load_as_compute(row + d, dim - d);
    sum += v * v;
  }
  return reduce_add<T>(sum);
}

template <class S, class T = Compute<S>>
T squared_distance(const T* row, const S* codeword, int64_t dim) {
  Vec<T> sum = {};
  for (int64_t d = 0; d < dim; d += kLanes<T>) {
    const Vec<T> v = load_as_compute(row + d, dim - d) - load_as_compute(codeword + d, dim - d);
    sum += v * v;
  }
  return reduce_add<T>(sum);
}

int64_t block_rows(int64_t row_bytes) {
  return std::clamp(kBlockBytes / (row_bytes + 1) / kTileRows * kTileRows, int64_t{kTileRows}, kMaxBlockRows);
}

// Calls f(X{}, S{}) with the storage types of rows and codewords. Either both or neither are double.
template <class F>
int64_t dispatch_pair(Dtype x, Dtype codewords, F f) {
  return with_stored_type(codewords, [&]<class S>(S) {
    return with_stored_type(x, [&]<class X>(X) -> int64_t {
      if constexpr (std::is_same_v<Compute<X>, Compute<S>>)
        return f(X{}, S{});
      else
        return -1;
    });
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
