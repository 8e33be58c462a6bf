// Checks of dtype and shape for balanced assignment, and conversion to kernel arguments. No data is read.
#pragma once

#include "balance_assignment/kernel.h"
#include "common/arguments.h"
#include "common/compat.h"

namespace recops::balance_assignment {

// Converts x [N, D] and codebook [K, D], both dense.
inline Space space(const char* op, const Tensor& x, const Tensor& codebook) {
  require_value(x.scalar_type() == ScalarType::Float || x.scalar_type() == ScalarType::Double, op,
                ": x must be float32 or float64, got ", name_of(x.scalar_type()));
  require_dim(op, "x", x, 2);
  require_dim(op, "codebook", codebook, 2);
  require_dtype(op, "codebook", codebook, x.scalar_type());
  require_shape(op, "codebook", codebook, {codebook.size(0), x.size(1)});
  return {x.data_ptr(), codebook.data_ptr(), x.scalar_type() == ScalarType::Double, x.size(1)};
}

// Checks float64 amounts [count].
inline void require_amounts(const char* op, const char* name, const Tensor& amounts, int64_t count) {
  require_dtype(op, name, amounts, ScalarType::Double);
  require_shape(op, name, amounts, {count});
}

inline void require_codes(const char* op, const Tensor& index, int64_t items) {
  require_dtype(op, "nearest", index, ScalarType::Int);
  require_shape(op, "nearest", index, {items});
}

}  // namespace recops::balance_assignment
