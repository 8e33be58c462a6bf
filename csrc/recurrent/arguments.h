// Checks of recurrent scan arguments: options, dtypes and shapes. No data is read.
#pragma once

#include <cstdint>
#include <string>

#include "common/arguments.h"
#include "common/compat.h"
#include "recurrent/kernel.h"

namespace recops::recurrent {

inline Mix mix_of(const char* op, const std::string& cell, const std::string& update) {
  const bool paper = update == "paper";
  require_value(paper || update == "or", op, ": update must be 'paper' or 'or', got '", update, "'");
  if (cell == "gru") return {1, 0, -1, 0};
  if (cell == "agru") return {0, 1, 0, 0};
  require_value(cell == "augru", op, ": cell must be 'gru', 'agru' or 'augru', got '", cell, "'");
  return paper ? Mix{0, 1, 0, -1} : Mix{1, 0, -1, 1};
}

inline bool reset_before(const char* op, const std::string& reset) {
  require_value(reset == "after" || reset == "before", op, ": reset must be 'after' or 'before', got '", reset, "'");
  return reset == "before";
}

inline Keep keep_of(const char* op, const std::string& keep, Dtype dtype) {
  if (keep == "nothing") return Keep::nothing;
  require_value(keep == "states" || keep == "gates", op, ": keep must be 'nothing', 'states' or 'gates', got '", keep,
                "'");
  // 16-bit outputs are not exact states, so the states are kept. Keeping gates as well would store five values per
  // step.
  if (dtype == Dtype::bf16 || dtype == Dtype::f16) return Keep::states;
  return keep == "gates" ? Keep::gates : Keep::nothing;
}

// Checks the dtype and number of values of an optional tensor; any shape is accepted.
inline void require_values(const char* op, const char* name, const Maybe& tensor, int64_t count, ScalarType type) {
  if (!tensor) return;
  require_dtype(op, name, *tensor, type);
  require_numel(op, name, *tensor, count);
}

// Checks w_hh [3 H, H] and the input: x [S, T, I] if there is w_ih [3 H, I], otherwise gates [S, T, 3 H]. Returns H.
inline int64_t require_weights(const char* op, const Tensor& input, const Maybe& w_ih, const Tensor& w_hh) {
  const char* name = w_ih ? "x" : "gates";
  const ScalarType type = compute_type(dtype_of(op, name, input));
  require_dim(op, name, input, 3);
  require_dim(op, "w_hh", w_hh, 2);
  require_dtype(op, "w_hh", w_hh, type);
  const int64_t hidden = w_hh.size(1);
  require_shape(op, "w_hh", w_hh, {3 * hidden, hidden});
  if (w_ih) {
    require_dtype(op, "w_ih", *w_ih, type);
    require_shape(op, "w_ih", *w_ih, {3 * hidden, input.size(2)});
  } else {
    require_shape(op, "gates", input, {input.size(0), input.size(1), 3 * hidden});
  }
  return hidden;
}

}  // namespace recops::recurrent
