// Trie tensors as ops receive them, and the view (trie.h) that CPU kernels use.
#pragma once

#include <string>
#include <vector>

#include "common/compat.h"
#include "trie/arguments.h"
#include "trie/lookup.h"
#include "trie/trie.h"

namespace recops::trie {

// Contiguous tensors of a trie. No data is read.
struct TrieTensors {
  Tensor first_child, tokens;

  TrieTensors(const char* op, const Tensor& first_child_in, const Tensor& tokens_in, int64_t depth)
      : first_child(recops::contiguous(first_child_in)), tokens(recops::contiguous(tokens_in)) {
    require_trie(op, first_child, tokens, depth);
  }
};

// A trie in host memory, and where its levels start, which is read and checked.
struct HostTrie : TrieTensors {
  std::vector<int64_t> level_starts;
  Trie view;

  HostTrie(const char* op, const Tensor& first_child_in, const Tensor& tokens_in, int64_t depth)
      : TrieTensors(op, first_child_in, tokens_in, depth), level_starts{0, 1} {
    const int64_t num_nodes = tokens.numel();
    const auto* child = static_cast<const int32_t*>(first_child.data_ptr());
    for (int64_t level = 1; level <= depth; ++level) {
      const int64_t start = level_starts.back(), next = child[start];
      require_value(start <= next && next <= num_nodes, op, ": trie must be in breadth-first order, got first_child[",
                    start, "] = ", next);
      level_starts.push_back(next);
    }
    // The nodes of the last level point to items.
    require_value(level_starts.back() == num_nodes && child[num_nodes] >= num_nodes, op, ": trie must be of depth ",
                  depth, ", got first_child of another");
    view = {.first_child = child,
            .tokens = tokens.data_ptr(),
            .wide_tokens = tokens.scalar_type() == ScalarType::Int,
            .num_nodes = num_nodes,
            .num_items = child[num_nodes] - num_nodes,
            .depth = depth,
            .level_starts = level_starts.data()};
  }
  HostTrie(const HostTrie&) = delete;
  HostTrie(HostTrie&&) = default;  // the view points to heap memory of the vector, which a move keeps
};

// Converts a node to int32 after checking that it is −1 or in the trie.
inline int32_t checked_node(const char* op, int64_t node, const Trie& trie) {
  require_index(-1 <= node && node < trie.num_nodes, op, ": nodes must be from 0 to ", trie.num_nodes - 1,
                ", or -1 for none, got ", node);
  return static_cast<int32_t>(node);
}

inline std::vector<int32_t> checked_nodes(const char* op, const Tensor& nodes_in, const Trie& trie) {
  const Tensor tensor = recops::contiguous(nodes_in);
  const Indices nodes = indices(op, "nodes", tensor);
  std::vector<int32_t> checked(tensor.numel());
  for (size_t i = 0; i < checked.size(); ++i) checked[i] = checked_node(op, nodes[static_cast<int64_t>(i)], trie);
  return checked;
}

}  // namespace recops::trie
