// Checks of dtype and shape that all op families share. They read no data, so CPU and GPU ops can use the same checks.
// Checks specific to a family are in its arguments.h.
//
// Users normally see the errors of recops/ops, which repeats these checks before a graph is built. The checks here keep
// memory safe for any caller.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "common/compat.h"

namespace recops {

// Python name of a type, for example "int64".
inline std::string name_of(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::Half: return "float16";
    case ScalarType::Long: return "int64";
    case ScalarType::Int: return "int32";
    default: return concat("torch's ", torch::headeronly::toString(type));
  }
}

// Shape as text, for example "[2, 3]".
inline std::string shape_of(const Tensor& tensor) {
  std::string shape = "[";
  for (int64_t d = 0; d < tensor.dim(); ++d) shape += concat(d > 0 ? ", " : "", tensor.size(d));
  return shape + "]";
}

inline void require_dtype(const char* op, const char* name, const Tensor& tensor, ScalarType type) {
  require_value(tensor.scalar_type() == type, op, ": ", name, " must be ", name_of(type), ", got ",
                name_of(tensor.scalar_type()));
}

inline void require_dim(const char* op, const char* name, const Tensor& tensor, int64_t dim) {
  require_value(tensor.dim() == dim, op, ": ", name, " must have ", dim, " dimensions, got ", shape_of(tensor));
}

inline void require_shape(const char* op, const char* name, const Tensor& tensor,
                          std::initializer_list<int64_t> sizes) {
  bool fits = tensor.dim() == static_cast<int64_t>(sizes.size());
  int64_t d = 0;
  for (int64_t size : sizes) fits = fits && tensor.size(d++) == size;
  if (fits) return;
  std::string wanted;
  for (int64_t size : sizes) wanted += concat(wanted.empty() ? "" : ", ", size);
  require_value(false, op, ": ", name, " must be [", wanted, "], got ", shape_of(tensor));
}

// Checks the number of values; any shape is accepted.
inline void require_numel(const char* op, const char* name, const Tensor& tensor, int64_t count) {
  require_value(tensor.numel() == count, op, ": ", name, " must have ", count, " values, got ", shape_of(tensor));
}

inline void require_between(const char* op, const char* name, int64_t value, int64_t least, int64_t most) {
  require_value(least <= value && value <= most, op, ": ", name, " must be from ", least, " to ", most, ", got ",
                value);
}

inline int64_t total_size(const char* op, const char* name, const std::vector<int64_t>& sizes, int64_t most) {
  int64_t total = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    require_value(0 <= sizes[i] && sizes[i] <= most - total, op, ": ", name, " must be at least 0 and add up to ", most,
                  " at most, got ", name, "[", i, "] = ", sizes[i]);
    total += sizes[i];
  }
  return total;
}

}  // namespace recops
