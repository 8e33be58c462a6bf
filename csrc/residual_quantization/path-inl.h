// Squared errors of paths, and bounds on their rounding.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/row-inl.h"
#include "residual_quantization/table-inl.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// ‖x − Σ c‖², subtracted level by level as in greedy encoding.
template <class S, class T = Compute<S>>
T path_error(const T* row, const S* codewords, const int64_t* offsets, const int32_t* path, int64_t levels,
             int64_t dim) {
  Vec<T> sum = {};
  for (int64_t d = 0; d < dim; d += kLanes<T>) {
    Vec<T> v = load_as_compute(row + d, dim - d);
    for (int64_t l = 0; l < levels; ++l) v -= load_as_compute(codewords + (offsets[l] + path[l]) * dim + d, dim - d);
    sum += v * v;
  }
  return reduce_add<T>(sum);
}

// Longest codewords of all levels: the sum of their norms and of their squared norms.
template <class T>
struct Longest {
  T sum, squares;

  Longest(const Codebooks& books, const T* panel) : sum(0), squares(0) {
    for (int64_t l = 0; l < books.levels; ++l) {
      const int64_t size = size_of_level(books, l), dim = books.codewords.dim;
      const T half = longest_half(panel, size, dim);
      panel += panels_of<T>(size) * panel_size<T>(dim);
      sum += std::sqrt(2 * half);
      squares += 2 * half;
    }
  }

  // A path whose cost exceeds the least by more than this cannot have the least sq_error. For two paths, this bounds
  // the rounding of costs (sums of dot products of `dim` terms) and of sq_error itself.
  T margin(const T* row, int64_t dim, int64_t levels) const {
    const T scale = std::sqrt(squared_norm(row, dim)) + sum;
    return static_cast<T>(dim + levels + 8) * std::numeric_limits<T>::epsilon() *
           (T{1.5} * scale * scale + static_cast<T>(levels) * squares / 2);
  }
};

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
