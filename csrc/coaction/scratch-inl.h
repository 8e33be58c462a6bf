// Scratch memory of a group of candidates.
#pragma once

#include <algorithm>

#include "coaction/layers-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

// Limit on the streams (orders × positions) that pass through a layer together: whole tiles of positions of one order.
// More streams load the gradients of weights less often from L2 when they and a block's values exceed L1.
constexpr int64_t kBlockStreams = 36;

// Scratch of a group, in vectors. Levels are consecutive; level 0 is the feed. Allocating with Arena would take more
// instructions per forward pass.
template <class T>
struct Scratch {
  int64_t block;  // positions at a time
  Vec<T>*params, *grad_params;
  Vec<T>* values;       // [levels below the last inner one][dims[level]][orders · positions]
  Vec<T>*grad, *below;  // gradient of one level, and of the level below
  Vec<T>* sums;         // [levels][dims[level]][orders]
  Vec<T>* grad_sums;
  Vec<T>* row;    // [output_width]
  Vec<T>* times;  // [block]: how often a lane's position counts; 0 if there is none
  Vec<T>* zeros;
  int64_t vectors = 0;

  Scratch(const Net& net, void* memory)
      : block(std::max<int64_t>(1, kBlockStreams / net.orders / kTileStreams) * kTileStreams) {
    Vec<T>* base = static_cast<Vec<T>*>(memory);
    const auto take = [&](int64_t count) {
      Vec<T>* taken = base ? base + vectors : nullptr;
      vectors += count;
      return taken;
    };
    const int64_t streams = net.orders * block, *widest = std::max_element(net.dims, net.dims + net.layers + 1);
    const int64_t all = before(net, net.layers + 1);
    params = take(params_width(net)), grad_params = take(params_width(net));
    values = take(before(net, std::max<int64_t>(inner_layers(net), 1)) * streams);
    grad = take(*widest * streams), below = take(*widest * streams);
    sums = take(all * net.orders), grad_sums = take(all * net.orders);
    row = take(output_width(net));
    times = take(block);
    zeros = take((net.dims[0] + kLanes<T> - 1) / kLanes<T>);
  }

  // Number of features below `level`.
  static int64_t before(const Net& net, int64_t level) {
    int64_t count = 0;
    for (int64_t l = 0; l < level; ++l) count += net.dims[l];
    return count;
  }
};

}  // namespace
}  // namespace recops::coaction::RECOPS_ISA
