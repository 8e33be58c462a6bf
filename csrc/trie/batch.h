// Per-row inputs of a decoding batch: the row's trie and the items that it may recommend.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "trie/arguments.h"
#include "trie/tensors.h"

namespace recops::trie {

// Returns the trie index of each row of a batch. An empty result means that all rows use the first trie.
inline std::vector<int64_t> row_indices(const char* op, const std::optional<Tensor>& trie_index, int64_t count,
                                        int64_t batch) {
  if (!trie_index.has_value()) return {};
  const Tensor tensor = recops::contiguous(*trie_index);
  require_numel(op, "trie_index", tensor, batch);
  const Indices values = indices(op, "trie_index", tensor);
  std::vector<int64_t> rows(batch);
  for (int64_t b = 0; b < batch; ++b) {
    rows[b] = values[b];
    require_index(0 <= rows[b] && rows[b] < count, op, ": trie_index must be from 0 to ", count - 1,
                  ", got trie_index[", b, "] = ", rows[b]);
  }
  return rows;
}

// The tries of a batch, looked up by row. `tensors` holds first_child, tokens and stamp of each trie.
class Tries {
 public:
  Tries(const char* op, const std::vector<Tensor>& tensors, int64_t depth, const std::optional<Tensor>& trie_index,
        int64_t batch) {
    require_tries(op, tensors);
    for (size_t i = 0; i < tensors.size(); i += kPerTrie) {
      const Tensor& stamp = tensors[i + 2];
      require_stamp(op, stamp);
      tries_.emplace_back(op, tensors[i], tensors[i + 1], depth);
      versions_.push_back(*static_cast<const int64_t*>(stamp.data_ptr()));
    }
    index_ = row_indices(op, trie_index, size(), batch);
  }

  int64_t size() const { return static_cast<int64_t>(tries_.size()); }
  const HostTrie& operator[](int64_t t) const { return tries_[t]; }
  int64_t version(int64_t t) const { return versions_[t]; }
  int64_t index(int64_t row) const { return index_.empty() ? 0 : index_[row]; }
  const HostTrie& of_row(int64_t row) const { return tries_[index(row)]; }

 private:
  std::vector<HostTrie> tries_;
  std::vector<int64_t> versions_, index_;
};

// Returns int32 copies of nodes [batch, width], after checking that each is −1 or in its row's trie.
inline std::vector<int32_t> checked_nodes(const char* op, const Tensor& nodes_in, const Tries& tries) {
  const Tensor tensor = recops::contiguous(nodes_in);
  const Indices nodes = indices(op, "nodes", tensor);
  const int64_t width = tensor.size(1);
  std::vector<int32_t> checked(tensor.numel());
  for (int64_t b = 0; b < tensor.size(0); ++b)
    for (int64_t i = b * width; i < (b + 1) * width; ++i) checked[i] = checked_node(op, nodes[i], tries.of_row(b).view);
  return checked;
}

// The item filters of a batch, one per row. `allowed` is empty, or holds mask words ([W] or [batch, W]) and a stamp for
// each trie. `bans` is empty, or holds positions, offsets and stamps. Row b's bans are the ascending positions
// [offsets[b], offsets[b + 1]) in its trie.
class Filters {
 public:
  Filters(const char* op, const Tries& tries, const std::vector<Tensor>& allowed, const std::vector<Tensor>& bans,
          int64_t batch)
      : filters_(batch) {
    if (!allowed.empty()) read_masks(op, tries, allowed);
    if (!bans.empty()) read_bans(op, tries, bans);
  }

  const ItemFilter& operator[](int64_t row) const { return filters_[row]; }

 private:
  static void require_version(const char* op, const char* name, const Tensor& stamps_in, int64_t i, int64_t version) {
    const Tensor stamps = recops::contiguous(stamps_in);
    const int64_t found = static_cast<const int64_t*>(stamps.data_ptr())[i];
    require_value(found == version, op, ": ", name, " must be of trie version ", version, ", got version ", found);
  }

  void read_masks(const char* op, const Tries& tries, const std::vector<Tensor>& allowed) {
    const int64_t batch = static_cast<int64_t>(filters_.size());
    require_masks(op, allowed, tries.size());
    std::vector<int64_t> strides;  // distance between the mask words of consecutive rows
    for (int64_t t = 0; t < tries.size(); ++t) {
      require_stamp(op, allowed[2 * t + 1]);
      require_version(op, "allowed", allowed[2 * t + 1], 0, tries.version(t));
      const Tensor words = recops::contiguous(allowed[2 * t]);
      require_mask(op, words, tries[t].view.num_items, batch);
      held_.push_back(words);
      strides.push_back(words.dim() == 1 ? 0 : words.size(1));
    }
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t t = tries.index(b);
      filters_[b].mask = static_cast<MaskBits>(held_[t].data_ptr()) + b * strides[t];
    }
  }

  void read_bans(const char* op, const Tries& tries, const std::vector<Tensor>& tensors) {
    const int64_t batch = static_cast<int64_t>(filters_.size());
    require_bans(op, tensors, tries.size(), batch);
    for (int64_t t = 0; t < tries.size(); ++t) require_version(op, "banned", tensors[2], t, tries.version(t));
    held_.push_back(recops::contiguous(tensors[0]));
    const Tensor& bans = held_.back();
    const Tensor offsets = recops::contiguous(tensors[1]);
    const auto* position = static_cast<const int32_t*>(bans.data_ptr());
    const auto* bounds = static_cast<const int64_t*>(offsets.data_ptr());
    require_value(bounds[0] == 0 && std::is_sorted(bounds, bounds + batch + 1) && bounds[batch] == bans.numel(), op,
                  ": banned must have offsets that rise from 0 to the number of positions, ", bans.numel(),
                  ", got others");
    for (int64_t b = 0; b < batch; ++b) {
      filters_[b].bans = position + bounds[b];
      filters_[b].bans_end = position + bounds[b + 1];
      require_value(std::is_sorted(filters_[b].bans, filters_[b].bans_end) &&
                        (bounds[b] == bounds[b + 1] || position[bounds[b + 1] - 1] < tries.of_row(b).view.num_items),
                    op, ": banned must hold ascending positions below ", tries.of_row(b).view.num_items,
                    ", got others in row ", b);
    }
  }

  std::vector<ItemFilter> filters_;
  std::vector<Tensor> held_;
};

}  // namespace recops::trie
