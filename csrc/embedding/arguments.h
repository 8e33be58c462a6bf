// Checks of dtype and shape for embedding tables. No data is read.
#pragma once

#include <cstdint>
#include <vector>

#include "common/arguments.h"
#include "common/compat.h"

namespace recops::embedding {

// Checks that weights are matrices [N_i, D_i] of one dtype.
inline void require_weights(const char* op, const std::vector<Tensor>& weights) {
  require_value(!weights.empty(), op, ": weights must hold at least one table, got none");
  for (const Tensor& weight : weights) {
    require_dim(op, "weights", weight, 2);
    require_dtype(op, "weights", weight, weights[0].scalar_type());
  }
}

// Checks ids [B] or [B, T] of each feature, which are rows of table tables[f]. Table i has num_rows[i] rows (−1: not
// needed) and widths[i] columns. Returns B.
inline int64_t require_features(const char* op, const std::vector<int64_t>& num_rows,
                                const std::vector<int64_t>& widths, const std::vector<Tensor>& ids,
                                const std::vector<int64_t>& tables) {
  require_value(!ids.empty() && ids.size() == tables.size() && num_rows.size() == widths.size(), op,
                ": tables must name one for each of at least one feature, got ", tables.size(), " for ", ids.size());
  constexpr int64_t kMostWidth = int64_t{1} << 31;
  total_size(op, "widths", widths, kMostWidth);
  for (int64_t rows : num_rows)
    require_value(rows >= -1, op, ": num_rows must be at least 0, or -1 for none, got ", rows);
  const int64_t count = ids[0].dim() > 0 ? ids[0].size(0) : 0;
  int64_t width = 0;
  for (size_t f = 0; f < ids.size(); ++f) {
    require_between(op, "tables", tables[f], 0, static_cast<int64_t>(widths.size()) - 1);
    require_value((ids[f].dim() == 1 || ids[f].dim() == 2) && ids[f].size(0) == count, op, ": ids must be [", count,
                  "] or [", count, ", T], got ", shape_of(ids[f]));
    require_value(widths[tables[f]] <= kMostWidth - width, op, ": widths must add up to ", kMostWidth,
                  " at most over features, got more");
    width += widths[tables[f]];
  }
  return count;
}

}  // namespace recops::embedding
