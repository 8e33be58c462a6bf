// Checks of dtype and shape for the auxiliary loss. No data is read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/arguments.h"
#include "common/compat.h"
#include "next_event/kernel.h"

namespace recops::next_event {

// layers holds the weight and bias of each hidden layer and of the score. Returns their dtype.
inline ScalarType require_layers(const char* op, const Tensor& states, const std::vector<Tensor>& layers) {
  const ScalarType type = compute_type(dtype_of(op, "states", states));
  require_value(layers.size() % 2 == 0 && layers.size() >= 4 && layers.size() / 2 - 1 <= kMostHidden, op,
                ": layers must be a weight and a bias of 2 to ", kMostHidden + 1, " layers, got ", layers.size(),
                " tensors");
  int64_t inputs = 2 * states.size(2);
  for (size_t l = 0; l < layers.size(); l += 2) {
    const Tensor &weight = layers[l], &bias = layers[l + 1];
    require_dtype(op, "layers", weight, type);
    require_dtype(op, "layers", bias, type);
    require_dim(op, "layers", bias, 1);
    require_shape(op, "layers", weight, {bias.size(0), inputs});
    inputs = bias.size(0);
  }
  require_value(inputs == 1, op, ": layers must end in one score, got ", inputs);
  return type;
}

// Checks states and events [B, T, d], drawn [B, T − 1] and lengths [B].
inline void require_sequences(const char* op, const Tensor& states, const Tensor& events, const Tensor& drawn,
                              const Tensor& lengths) {
  require_dim(op, "states", states, 3);
  const int64_t rows = states.size(0), steps = states.size(1);
  require_dtype(op, "events", events, states.scalar_type());
  require_shape(op, "events", events, {rows, steps, states.size(2)});
  require_dtype(op, "drawn", drawn, ScalarType::Long);
  require_shape(op, "drawn", drawn, {rows, std::max<int64_t>(steps - 1, 0)});
  require_dtype(op, "lengths", lengths, ScalarType::Long);
  require_shape(op, "lengths", lengths, {rows});
}

}  // namespace recops::next_event
