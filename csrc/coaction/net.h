// The shape of a co-action network, and what follows from it. In an anonymous namespace, as kernels include it
// (common/isa.h).
#pragma once

#include <cstdint>

namespace recops::coaction {

enum class Activation { none, relu, tanh, selu };

struct Net {
  const int64_t* dims;  // [layers + 1]: what is fed, then what each layer yields
  int64_t layers;       // at least 1
  int64_t orders;       // at least 1
  Activation activation;
  bool bias, activate_last, concat_hidden, mean, order_independent;
};

namespace {

// Layers up to the last with an activation run at every position. Those behind are linear, so they run once, on sums.
inline int64_t inner_layers(const Net& net) {
  if (net.activation == Activation::none) return 0;
  return net.activate_last ? net.layers : net.layers - 1;
}

inline bool emitted(const Net& net, int64_t level) { return level == net.layers || (level > 0 && net.concat_hidden); }

// Of one order.
inline int64_t num_features(const Net& net) {
  int64_t count = 0;
  for (int64_t level = 1; level <= net.layers; ++level) count += emitted(net, level) ? net.dims[level] : 0;
  return count;
}

inline int64_t layer_size(const Net& net, int64_t layer) { return (net.dims[layer - 1] + net.bias) * net.dims[layer]; }

// Of one set of weights and biases.
inline int64_t set_size(const Net& net) {
  int64_t count = 0;
  for (int64_t layer = 1; layer <= net.layers; ++layer) count += layer_size(net, layer);
  return count;
}

inline int64_t num_sets(const Net& net) { return net.order_independent ? net.orders : 1; }

inline int64_t output_width(const Net& net) { return net.orders * num_features(net); }
inline int64_t params_width(const Net& net) { return num_sets(net) * set_size(net); }

// Multiplications and additions for a candidate at one position.
inline int64_t position_flops(const Net& net) {
  constexpr int64_t kActivation = 8;  // about as many as a tanh is
  int64_t count = net.dims[0];
  for (int64_t layer = 1; layer <= inner_layers(net); ++layer)
    count += layer_size(net, layer) + kActivation * net.dims[layer];
  return 2 * net.orders * count;
}

}  // namespace
}  // namespace recops::coaction
