// Checks of dtype and shape for Dice, and conversion to kernel arguments. No data is read.
#pragma once

#include "common/arguments.h"
#include "common/compat.h"
#include "dice/kernel.h"

namespace recops::dice {

// Converts x [N, D] and alpha [D], both dense.
inline Problem problem_of(const char* op, const Tensor& x, const Tensor& alpha, double eps, bool of_batch) {
  const Dtype dtype = dtype_of(op, "x", x);
  require_dim(op, "x", x, 2);
  require_value(eps >= 0, op, ": eps must be at least 0, got ", eps);
  require_dtype(op, "alpha", alpha, compute_type(dtype));
  require_shape(op, "alpha", alpha, {x.size(1)});
  return {dtype, of_batch, x.size(0), x.size(1), eps, x.data_ptr(), alpha.data_ptr()};
}

inline void require_statistics(const char* op, const char* name, const Tensor& statistic, const Tensor& alpha) {
  require_dtype(op, name, statistic, alpha.scalar_type());
  require_shape(op, name, statistic, {alpha.size(0)});
}

inline void require_gradient(const char* op, const Tensor& grad, const Tensor& x) {
  require_dtype(op, "grad", grad, x.scalar_type());
  require_shape(op, "grad", grad, {x.size(0), x.size(1)});
}

}  // namespace recops::dice
