// Checks of dtype and shape for codebook overlap, and conversion to kernel arguments. No data is read.
#pragma once

#include <string>

#include "codebook_overlap/kernel.h"
#include "common/arguments.h"
#include "common/compat.h"

namespace recops::codebook_overlap {

inline Overlap overlap_of(const char* op, const std::string& name) {
  if (name == "bhattacharyya") return Overlap::bhattacharyya;
  if (name == "product") return Overlap::product;
  require_value(name == "minimum", op, ": kernel must be 'bhattacharyya', 'product' or 'minimum', got '", name, "'");
  return Overlap::minimum;
}

// Converts codebook [K, D] and usage [K], both dense.
inline Codebook codebook_of(const char* op, const Tensor& codebook, const Tensor& usage, double sigma) {
  const ScalarType type = codebook.scalar_type();
  require_value(type == ScalarType::Float || type == ScalarType::Double, op,
                ": codebook must be float32 or float64, got ", name_of(type));
  require_dim(op, "codebook", codebook, 2);
  require_dtype(op, "usage", usage, type);
  require_shape(op, "usage", usage, {codebook.size(0)});
  require_value(sigma > 0, op, ": sigma must be positive, got ", sigma);
  return {codebook.data_ptr(), usage.data_ptr(), type == ScalarType::Double, codebook.size(0), codebook.size(1)};
}

// Checks the gradients of the overlap and of its row sums.
inline void require_gradients(const char* op, const Tensor& grad_overlap, const Tensor& grad_row_sums,
                              const Tensor& codebook) {
  require_dtype(op, "grad_overlap", grad_overlap, codebook.scalar_type());
  require_numel(op, "grad_overlap", grad_overlap, 1);
  require_dtype(op, "grad_row_sums", grad_row_sums, codebook.scalar_type());
  require_shape(op, "grad_row_sums", grad_row_sums, {codebook.size(0)});
}

}  // namespace recops::codebook_overlap
