// Checks of dtype and shape for residual quantization, and conversion of tensors to kernel arguments. No data is read.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "common/arguments.h"
#include "common/compat.h"
#include "residual_quantization/kernel.h"

namespace recops::residual_quantization {

inline Matrix matrix(const char* op, const char* name, const Tensor& tensor) {
  require_dim(op, name, tensor, 2);
  return {tensor.data_ptr(), dtype_of(op, name, tensor), tensor.size(0), tensor.size(1)};
}

// Row offsets of each level in the matrix of all codewords, plus the end. Their total must fit int32 indices.
inline std::vector<int64_t> offsets_of(const char* op, const std::vector<int64_t>& sizes) {
  total_size(op, "sizes", sizes, std::numeric_limits<int32_t>::max());
  std::vector<int64_t> offsets{0};
  for (int64_t size : sizes) offsets.push_back(offsets.back() + size);
  return offsets;
}

inline Codebooks codebooks(const char* op, const Tensor& codewords, const std::vector<int64_t>& offsets) {
  const Codebooks books{matrix(op, "codewords", codewords), offsets.data(), static_cast<int64_t>(offsets.size()) - 1};
  require_value(offsets.back() == books.codewords.rows, op, ": sizes must add up to the number of codewords, ",
                books.codewords.rows, ", got ", offsets.back());
  return books;
}

// Checks for ops that choose codes: at least one level, and at least one codeword in each level.
inline void require_codewords(const char* op, const Codebooks& books) {
  require_value(books.levels >= 1, op, ": codebooks must have at least one level, got none");
  for (int64_t level = 0; level < books.levels; ++level)
    require_value(books.offsets[level] < books.offsets[level + 1], op, ": codebooks[", level,
                  "] must have at least one codeword, got none");
}

inline void require_same_space(const char* op, const Matrix& x, const Codebooks& books) {
  require_value(x.dim == books.codewords.dim, op, ": x must have the codewords' dimension, ", books.codewords.dim,
                ", got ", x.dim);
  require_value(compute_type(x.dtype) == compute_type(books.codewords.dtype), op,
                ": x must have the codewords' precision, got float64 and another dtype");
}

// Checks that codes are [rows, levels], or [rows] for one level.
inline void require_codes(const char* op, const char* name, const Tensor& codes, int64_t rows, int64_t levels) {
  require_value(codes.dim() >= 1 && codes.size(0) == rows && codes.numel() == rows * levels, op, ": ", name,
                " must be [", rows, ", ", levels, "], got ", shape_of(codes));
}

// 0 lets the op choose the grids.
inline void require_bits(const char* op, int64_t bits, std::initializer_list<int64_t> grids) {
  std::string names = "0";
  for (int64_t grid : grids) {
    if (bits == grid) return;
    names += concat(", ", grid);
  }
  require_value(bits == 0 || bits == 32, op, ": bits must be ", names, " or 32, got ", bits);
}

// Candidates have int32 numbers: beam · codebook size + code.
inline void require_beams(const char* op, int64_t beam, int64_t kept, const std::vector<int64_t>& sizes) {
  int64_t largest = 1;
  for (int64_t size : sizes) largest = std::max(largest, size);
  require_between(op, "beam", beam, 1, std::numeric_limits<int32_t>::max() / largest);
  require_between(op, "kept", kept, 1, beam);
}

// An upper limit per call: the caller can stop only between calls, not between the samples of a row.
inline constexpr int64_t kMostSamples = int64_t{1} << 20;

// Draws have int32 numbers: sample · levels + level.
inline void require_samples(const char* op, int64_t samples, int64_t levels) {
  const int64_t counted = std::numeric_limits<int32_t>::max() / std::max<int64_t>(levels, 1);
  require_between(op, "samples", samples, 1, std::min(kMostSamples, counted));
}

}  // namespace recops::residual_quantization
