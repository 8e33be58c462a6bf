// The shift that moves rows and codewords of level 0 near the origin. See kernel.h for its definition.
#pragma once

#include <cstdint>
#include <limits>

#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/row-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr int64_t kShiftSample = 64;

template <class T>
Vec<T> magnitude(Vec<T> v) {
  return v < 0 ? -v : v;
}

// The power of two above each value, computed from its exponent; 0 for 0.
template <class T>
Vec<T> power_above(Vec<T> v) {
  constexpr Lane<T> exponent = sizeof(T) == 8 ? static_cast<Lane<T>>(0x7ff0000000000000) : 0x7f800000;
  return 2 * (Vec<T>)((Vec<Lane<T>>)v & exponent);
}

template <class S, class T = Compute<S>>
bool find_shift_of(const S* codewords, int64_t count, int64_t dim, T* shift) {
  const int64_t step = (count + kShiftSample - 1) / kShiftSample;
  const T share = T{1} / static_cast<T>((count + step - 1) / step);
  const Vec<T> whole =
      broadcast(T{1.5} / std::numeric_limits<T>::epsilon());  // adding and subtracting it rounds to an integer
  bool shifts = false;
  for (int64_t d = 0; d < dim; d += kLanes<T>) {
    const auto mean_of = [&](auto term) {
      Vec<T> sum = {};
      for (int64_t k = 0; k < count; k += step) sum += term(load_as_compute(codewords + k * dim + d, dim - d));
      return sum * share;
    };
    const Vec<T> mean = mean_of([](Vec<T> v) { return v; });
    const Vec<T> grid = power_above<T>(2 * mean_of([&](Vec<T> v) { return magnitude<T>(v - mean); }));
    const Vec<T> steps = mean / grid;
    Vec<T> value = magnitude<T>(steps) < whole[0] / 4 ? (steps + whole - whole) * grid : mean;
    value = magnitude<T>(value) <= std::numeric_limits<T>::max() ? value : Vec<T>{};  // no shift by infinity or NaN
    store_as(shift + d, value, dim - d);
    shifts |= any<T>(value != 0);
  }
  return shifts;
}

bool find_shift(const Codebooks& books, void* shift) {
  if (books.levels == 0 || size_of_level(books, 0) == 0) return false;
  return with_stored_type(books.codewords.dtype, [&]<class S>(S) {
    return find_shift_of(static_cast<const S*>(books.codewords.data), size_of_level(books, 0), books.codewords.dim,
                         static_cast<Compute<S>*>(shift));
  });
}

// Converts a row to the compute type and subtracts the shift, if there is one. Returns false if a value is not finite.
template <class S, class T = Compute<S>>
bool load_shifted(const S* from, int64_t dim, const void* shift, T* to) {
  const bool finite = load_row(from, dim, to);
  if (shift != nullptr) subtract(to, static_cast<const T*>(shift), dim);
  return finite;
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
