// Paths of codewords: what they leave of a row, and how far rounding can put that off.
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

// ‖x − Σ c‖², subtracted level by level as greedy encoding does.
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

// The longest codewords of all levels: the sum of their norms, and of the squares of those.
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

  // A path of row x whose cost is further than this from the least cannot have the least sq_error. It bounds, for two
  // paths, the rounding of costs, which are sums of dot products of `dim` terms, and of sq_error itself.
  T margin(const T* row, int64_t dim, int64_t levels) const {
    const T scale = std::sqrt(squared_norm(row, dim)) + sum;
    return static_cast<T>(dim + levels + 8) * std::numeric_limits<T>::epsilon() *
           (T{1.5} * scale * scale + static_cast<T>(levels) * squares / 2);
  }
};

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
