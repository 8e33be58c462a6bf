// Kernel of the tokens that may follow nodes: a block marks the tokens of a node's children.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "trie/cuda_lookups.h"
#include "trie/cuda_trie.h"

namespace recops::trie::cuda {

constexpr int kTokenThreads = 128;

struct AllowedTokensArguments {
  DeviceTrie trie;
  DeviceIntegers nodes;
  int64_t vocab_size;
  DevicePointer<bool> allowed;
  DevicePointer<Report> report;
};

__global__ void __launch_bounds__(kTokenThreads) mark_tokens(const __grid_constant__ AllowedTokensArguments a) {
  const int64_t row = blockIdx.x, node = a.nodes[row];
  bool is_good = -1 <= node && node < a.trie.num_nodes;
  Range children{0, 0};
  if (is_good && node >= 0) children = a.trie.children(static_cast<int>(node), is_good);
  for (int child = children.begin + static_cast<int>(threadIdx.x); child < children.end; child += kTokenThreads) {
    const int token = a.trie.token(child);
    if (0 <= token && token < a.vocab_size)
      a.allowed[row * a.vocab_size + token] = true;
    else
      is_good = false;
  }
  if (!is_good) a.report[0].is_wrong = 1;
}

}  // namespace recops::trie::cuda
