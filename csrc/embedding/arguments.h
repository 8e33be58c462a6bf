// Checks of dtype and shape for embedding tables. No data is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/arguments.h"
#include "common/compat.h"
#include "embedding/update.h"

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

// Checks tables, their optimizer states and the gradient of their bags, whose features are those of require_features.
// Returns the rule of the update.
inline UpdateRule require_update(const char* op, const std::vector<Tensor>& weights, const std::vector<Tensor>& states,
                                 const Tensor& grad, const std::string& optimizer, double lr, double eps,
                                 double weight_decay) {
  require_weights(op, weights);
  require_dtype(op, "grad", grad, weights[0].scalar_type());
  require_value(optimizer == "sgd" || optimizer == "adagrad" || optimizer == "rowwise_adagrad", op,
                ": optimizer must be 'sgd', 'adagrad' or 'rowwise_adagrad', got '", optimizer, "'");
  const Optimizer kind = optimizer == "sgd"       ? Optimizer::sgd
                         : optimizer == "adagrad" ? Optimizer::adagrad
                                                  : Optimizer::rowwise_adagrad;
  const size_t num_states = kind == Optimizer::sgd ? 0 : weights.size();
  require_value(states.size() == num_states, op, ": states must have ", num_states, " tensors, got ", states.size());
  const ScalarType type = compute_type(dtype_of(op, "weights", weights[0]));
  for (size_t i = 0; i < weights.size(); ++i) {
    require_value(weights[i].is_contiguous(), op, ": weights must be contiguous");
    if (kind == Optimizer::sgd) continue;
    require_dtype(op, "states", states[i], type);
    require_value(states[i].is_contiguous(), op, ": states must be contiguous");
    if (kind == Optimizer::adagrad)
      require_shape(op, "states", states[i], {weights[i].size(0), weights[i].size(1)});
    else
      require_shape(op, "states", states[i], {weights[i].size(0)});
  }
  return {kind, lr, eps, weight_decay};
}

}  // namespace recops::embedding
