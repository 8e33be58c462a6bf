// Kernel of the nodes of semantic IDs: a thread or a warp searches the children of one level after another.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "trie/cuda_trie.h"

namespace recops::trie::cuda {

constexpr int kFindThreads = 256;

struct FindArguments {
  DeviceTrie trie;
  DeviceIntegers sids;
  int64_t count;
  int length;
  DevicePointer<int32_t> nodes;
};

// kLanes threads take a semantic ID: 1, or a warp.
template <int kLanes>
__global__ void __launch_bounds__(kFindThreads) find_nodes(const __grid_constant__ FindArguments a) {
  const int64_t thread = int64_t{blockIdx.x} * kFindThreads + threadIdx.x, row = thread / kLanes;
  if (row >= a.count) return;
  const int lane = static_cast<int>(thread % kLanes);
  int node = 0;
  for (int level = 0; level < a.length && node >= 0; ++level) {
    const int64_t token = a.sids[row * a.length + level];
    bool is_consistent = true;
    const Range children = a.trie.children(node, is_consistent);
    if (token < 0 || token > INT32_MAX)
      node = -1;
    else if constexpr (kLanes == 1)
      node = a.trie.find_child(children, static_cast<int>(token));
    else
      node = a.trie.find_child_with_warp(children, static_cast<int>(token), lane);
  }
  if (lane == 0) a.nodes[row] = node;
}

}  // namespace recops::trie::cuda
