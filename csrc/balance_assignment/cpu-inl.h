// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#pragma once

#include <algorithm>
#include <bit>
#include <limits>

#include "balance_assignment/kernel.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::balance_assignment::RECOPS_ISA {
namespace {

// Distances to four codewords at once, so that one step reduces the lanes of all four.
template <class T>
void distances_to(const T* row, const T* const (&codewords)[4], int64_t dim, T (&out)[4]) {
  Vec<T> sum[4] = {};
  const auto add = [&](int64_t d, const auto& values) {
    const Vec<T> own = values(row + d);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Vec<T> difference = own - values(codewords[i] + d);
      sum[i] = multiply_add<T>(sum[i], difference, difference);
    }
  };
  int64_t d = 0;
  for (; d + kLanes<T> <= dim; d += kLanes<T>) add(d, [](const T* from) { return load(from); });
  if (d < dim) add(d, [&](const T* from) { return load_as_compute(from, dim - d); });
  add_lanes<T>(sum, out);
}

template <class T>
void distances_of(const Space& space, int64_t row, const int32_t* codes, int64_t count, double* out) {
  const T* from = static_cast<const T*>(space.rows) + row * space.dim;
  for (int64_t i = 0; i < count; i += 4) {
    const T* codewords[4];
    for (int64_t j = 0; j < 4; ++j)
      codewords[j] = static_cast<const T*>(space.codewords) + codes[i + j < count ? i + j : i] * space.dim;
    T distances[4];
    distances_to<T>(from, codewords, space.dim, distances);
    for (int64_t j = 0; j < 4 && i + j < count; ++j) out[i + j] = distances[j];
  }
}

void squared_distances(const Space& space, int64_t row, const int32_t* codes, int64_t count, double* out) {
  space.wide ? distances_of<double>(space, row, codes, count, out) : distances_of<float>(space, row, codes, count, out);
}

int64_t select_least(double* values, int64_t count, int64_t limit, Least* to) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::fill(values + count, values + padded_values(count), kNone);
  for (int64_t taken = 0; taken < limit; ++taken) {
    const auto lesser = [](Vec<double> a, Vec<double> b) { return a < b ? a : b; };  // returns b if a is NaN
    Vec<double> least = broadcast(std::numeric_limits<double>::infinity());
    for (int64_t i = 0; i < count; i += kLanes<double>) least = lesser(load(values + i), least);
    const double value = reduce<double>(least, lesser);
    int64_t position = 0;
    uint32_t hits = 0;
    for (; position < count; position += kLanes<double>)
      if ((hits = mask_bits<double>(load(values + position) == broadcast(value))) != 0) break;
    if (hits == 0) return taken;
    position += std::countr_zero(hits);
    to[taken] = {value, static_cast<int32_t>(position)};
    values[position] = kNone;
  }
  return limit;
}

}  // namespace

extern const Kernels kernels = {
    .squared_distances = squared_distances,
    .select_least = select_least,
};

}  // namespace recops::balance_assignment::RECOPS_ISA
