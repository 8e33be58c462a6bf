// A trie as its ops receive it: tensors, checked for what memory safety asks, beside the view (trie.h) that kernels
// use. That the arrays agree with one another is SidTrie's to guarantee (SidTrie.validate).
#pragma once

#include <string>
#include <vector>

#include "compat.h"
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
};

inline Indices indices(const char* op, const char* name, const Tensor& tensor) {
  const bool wide = tensor.scalar_type() == ScalarType::Long;
  require_value(wide || tensor.scalar_type() == ScalarType::Int, op, ": ", name, " must be int32 or int64");
  return {tensor.data_ptr(), wide};
}

// int32 copies of nodes that are all in the trie, or −1.
inline std::vector<int32_t> checked_nodes(const char* op, const Tensor& nodes_in, const Trie& trie) {
  const Tensor tensor = recops::contiguous(nodes_in);
  const Indices nodes = indices(op, "nodes", tensor);
  std::vector<int32_t> checked(tensor.numel());
  for (size_t i = 0; i < checked.size(); ++i) {
    require_index(-1 <= nodes[i] && nodes[i] < trie.num_nodes, op, ": nodes hold ", nodes[i],
                  ", but the trie has nodes 0 to ", trie.num_nodes - 1, " (and −1: none)");
    checked[i] = static_cast<int32_t>(nodes[i]);
  }
  return checked;
}

// The words of a mask [rows, W] or [W] made for this very trie; `stride` is the way from one row to the next.
struct MaskTensors {
  Tensor words;
  MaskBits bits = nullptr;
  int64_t stride = 0;

  MaskTensors(const char* op, const std::optional<Tensor>& mask, const std::optional<Tensor>& mask_stamp,
              const Tensor& stamp, int64_t rows, int64_t num_items) {
    if (!mask.has_value()) return;
    require_value(mask_stamp.has_value(), op, ": allowed: no version");
    const auto version_of = [](const Tensor& tensor) { return *static_cast<const int64_t*>(tensor.data_ptr()); };
    require_value(mask_stamp->numel() == 1 && stamp.numel() == 1 && mask_stamp->scalar_type() == ScalarType::Long &&
                      stamp.scalar_type() == ScalarType::Long,
                  op, ": versions must be int64 scalars");
    require_value(version_of(*mask_stamp) == version_of(stamp), op, ": allowed is of trie version ",
                  version_of(*mask_stamp), ", but the trie is version ", version_of(stamp));
    words = recops::contiguous(*mask);
    const int64_t width = (num_items + 63) / 64;
    require_value(words.scalar_type() == ScalarType::Long && (words.dim() == 1 || words.dim() == 2) &&
                      words.size(words.dim() - 1) == width,
                  op, ": allowed does not hold ", num_items, " items");
    require_value(words.dim() == 1 || words.size(0) == rows, op, ": allowed has ", words.size(0),
                  " rows, but the batch has ", rows);
    bits = static_cast<MaskBits>(words.data_ptr());
    stride = words.dim() == 1 ? 0 : width;
  }
};

}  // namespace recops::trie
