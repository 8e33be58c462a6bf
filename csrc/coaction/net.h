// Shape of a co-action network and derived sizes. In an anonymous namespace because kernels include it (common/isa.h).
//
// A candidate's parameter row (params_width values) for dims = 2-3-1 with biases, without order_independent:
//
//   layer 1                               layer 2
//   W_1 [2, 3]                 b_1 [3]    W_2 [3, 1]        b_2 [1]
//   w00 w01 w02 w10 w11 w12    b0 b1 b2   w00 w10 w20       b0          = set_size values
//
// Weights are row-major [d_in, d_out]. With order_independent, one such set follows another, one per order. Without
// biases the b_l are absent. An output row holds, for each order, the output layers in ascending order.
#pragma once

#include <cstdint>

namespace recops::coaction {

enum class Activation { none, relu, tanh, selu };

struct Net {
  const int64_t* dims;  // [layers + 1]: input width, then the width of each layer
  int64_t layers;       // at least 1
  int64_t orders;       // at least 1
  Activation activation;
  bool bias, activate_last, concat_hidden, mean, order_independent;
};

namespace {

// Number of layers up to the last with an activation; they run at every position. Later layers are linear and run once,
// on sums.
inline int64_t inner_layers(const Net& net) {
  if (net.activation == Activation::none) return 0;
  return net.activate_last ? net.layers : net.layers - 1;
}

inline bool emitted(const Net& net, int64_t level) { return level == net.layers || (level > 0 && net.concat_hidden); }

// Output features per order.
inline int64_t num_features(const Net& net) {
  int64_t count = 0;
  for (int64_t level = 1; level <= net.layers; ++level) count += emitted(net, level) ? net.dims[level] : 0;
  return count;
}

inline int64_t layer_size(const Net& net, int64_t layer) { return (net.dims[layer - 1] + net.bias) * net.dims[layer]; }

// Parameters of one set of weights and biases.
inline int64_t set_size(const Net& net) {
  int64_t count = 0;
  for (int64_t layer = 1; layer <= net.layers; ++layer) count += layer_size(net, layer);
  return count;
}

inline int64_t num_sets(const Net& net) { return net.order_independent ? net.orders : 1; }

inline int64_t output_width(const Net& net) { return net.orders * num_features(net); }
inline int64_t params_width(const Net& net) { return num_sets(net) * set_size(net); }

// Multiplications and additions per candidate and position.
inline int64_t position_flops(const Net& net) {
  constexpr int64_t kActivation = 8;  // approximate cost of one tanh
  int64_t count = net.dims[0];
  for (int64_t layer = 1; layer <= inner_layers(net); ++layer)
    count += layer_size(net, layer) + kActivation * net.dims[layer];
  return 2 * net.orders * count;
}

}  // namespace
}  // namespace recops::coaction
