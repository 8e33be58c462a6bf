// Decoding, and its transpose: sums of rows by code.
#pragma once

#include <cstdint>

#include "residual_quantization/kernel.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Returns the first level whose code is neither −1 nor in the level's codebook, or `levels`.
template <class I>
inline int64_t first_invalid(const I* code, const int64_t* offsets, int64_t levels) {
  int64_t l = 0;
  while (l < levels && code[l] >= -1 && code[l] < offsets[l + 1] - offsets[l]) ++l;
  return l;
}

int64_t find_invalid(const Indices& codes, const int64_t* offsets, int64_t levels, int64_t begin, int64_t end) {
  return with_index_type(codes, [&](const auto* code) -> int64_t {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t l = first_invalid(code + n * levels, offsets, levels);
      if (l < levels) return n * levels + l;
    }
    return -1;
  });
}

// Decodes V vectors of a row at once, so that they share one lookup of each code. `left` columns remain from the first
// on.
template <int V, class I, class S, class T = Compute<S>>
[[gnu::always_inline]] inline void decode_columns(const I* code, const S* codewords, const int64_t* offsets,
                                                  int64_t levels, int64_t stride, int64_t left, S* out) {
  Vec<T> sum[V] = {};
  for (int64_t l = 0; l < levels; ++l) {
    if (code[l] < 0) continue;
    const S* codeword = codewords + (offsets[l] + code[l]) * stride;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v)
      sum[v] += V == 1 ? load_as_compute(codeword, left) : load_as_compute(codeword + v * kLanes<T>);
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) V == 1 ? store_as(out, sum[v], left) : store_as(out + v * kLanes<T>, sum[v]);
}

int64_t decode(const Indices& codes, const Codebooks& books, int64_t begin, int64_t end, void* out) {
  return with_stored_type(books.codewords.dtype, [&]<class S>(S) {
    return with_index_type(codes, [&](const auto* code) -> int64_t {
      constexpr int64_t lanes = kLanes<Compute<S>>;
      const int64_t dim = books.codewords.dim, levels = books.levels;
      const int64_t* offsets = books.offsets;
      const S* codewords = static_cast<const S*>(books.codewords.data);
      for (int64_t n = begin; n < end; ++n) {
        const auto* own = code + n * levels;
        const int64_t invalid = first_invalid(own, offsets, levels);
        if (invalid < levels) return n * levels + invalid;
        S* row = static_cast<S*>(out) + n * dim;
        int64_t d = 0;
        for (; d + 4 * lanes <= dim; d += 4 * lanes)
          decode_columns<4>(own, codewords + d, offsets, levels, dim, dim - d, row + d);
        for (; d < dim; d += lanes) decode_columns<1>(own, codewords + d, offsets, levels, dim, dim - d, row + d);
      }
      return -1;
    });
  });
}

void accumulate(const Matrix& x, const Indices& codes, const void* weight, const int64_t* offsets, int64_t levels,
                int64_t begin, int64_t end, void* sums) {
  with_stored_type(x.dtype, [&]<class X>(X) {
    using T = Compute<X>;
    with_index_type(codes, [&](const auto* code) {
      T* total = static_cast<T*>(sums);
      for (int64_t k = 0; k < offsets[levels]; ++k)
        for (int64_t d = begin; d < end; ++d) total[k * x.dim + d] = 0;
      for (int64_t n = 0; n < x.rows; ++n) {
        const T scale = weight == nullptr ? T{1} : static_cast<const T*>(weight)[n];
        const X* row = static_cast<const X*>(x.data) + n * x.dim;
        for (int64_t l = 0; l < levels; ++l) {
          if (code[n * levels + l] < 0) continue;
          T* sum = total + (offsets[l] + code[n * levels + l]) * x.dim;
          int64_t d = begin;
          for (; d + kLanes<T> <= end; d += kLanes<T>) store(sum + d, load(sum + d) + scale * load_as_compute(row + d));
          if (d < end)
            store_as(sum + d, load_as_compute(sum + d, end - d) + scale * load_as_compute(row + d, end - d), end - d);
        }
      }
    });
  });
}

void accumulate_weight(const Indices& codes, const void* weight, Dtype weight_dtype, int64_t rows, int64_t num_codes,
                       double* totals) {
  for (int64_t k = 0; k < num_codes; ++k) totals[k] = 0;
  with_stored_type(weight_dtype, [&]<class S>(S) {
    with_index_type(codes, [&](const auto* code) {
      for (int64_t n = 0; n < rows; ++n)
        if (code[n] >= 0)
          totals[code[n]] += weight == nullptr ? 1.0 : double{static_cast<const Compute<S>*>(weight)[n]};
    });
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
