// A trie as its ops receive it: tensors, checked for what memory safety asks, beside the view (trie.h) that kernels
// use. That the arrays agree with one another is SidTrie's to guarantee (SidTrie.validate).
#pragma once

#include <string>
#include <vector>

#include "common/compat.h"
#include "trie/lookup.h"
#include "trie/trie.h"

namespace recops::trie {

struct TrieTensors {
  Tensor first_child, tokens;
  std::vector<int64_t> level_starts;
  Trie view;
  int64_t num_items;

  TrieTensors(const char* op, const Tensor& first_child_in, const Tensor& tokens_in, int64_t depth)
      : first_child(recops::contiguous(first_child_in)), tokens(recops::contiguous(tokens_in)), level_starts{0, 1} {
    const int64_t num_nodes = tokens.numel();
    const bool wide = tokens.scalar_type() == ScalarType::Int;
    require_value(first_child.scalar_type() == ScalarType::Int && first_child.numel() == num_nodes + 1 &&
                      num_nodes >= 1 && (wide || tokens.scalar_type() == ScalarType::UInt16),
                  op, ": trie: first_child must be int32 and one longer than tokens, which are uint16 or int32");
    const auto* child = static_cast<const int32_t*>(first_child.data_ptr());
    for (int64_t level = 1; level <= depth; ++level) {
      const int64_t start = level_starts.back();
      require_value(0 <= start && start <= num_nodes, op, ": trie: not in breadth-first order");
      level_starts.push_back(child[start]);
    }
    // What the last level's nodes point to are items.
    require_value(level_starts.back() == num_nodes, op, ": trie: not of depth ", depth);
    level_starts.back() = num_nodes;
    num_items = child[num_nodes] - num_nodes;
    view = {child, tokens.data_ptr(), wide, num_nodes, depth, level_starts.data()};
  }
  TrieTensors(const TrieTensors&) = delete;
  TrieTensors(TrieTensors&&) = default;  // the view points to what the vector holds elsewhere
};

// The node as int32, −1 or in the trie.
inline int32_t checked_node(const char* op, int64_t node, const Trie& trie) {
  require_index(-1 <= node && node < trie.num_nodes, op, ": nodes hold ", node, ", but the trie has nodes 0 to ",
                trie.num_nodes - 1, " (and −1: none)");
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
