// Tensors of trie ops on a GPU, as the launchers take them. No data is read.
#pragma once

#include <cstdint>
#include <vector>

#include "common/compat.h"
#include "trie/arguments.h"
#include "trie/cuda.h"

namespace recops::trie {

// Tensors whose memory the arguments of a launcher point to.
class DeviceTensors {
 public:
  template <class T>
  const T* contiguous(const Tensor& tensor) {
    tensors_.push_back(recops::contiguous(tensor));
    return static_cast<const T*>(tensors_.back().data_ptr());
  }

  Indices contiguous_indices(const char* op, const char* name, const Tensor& tensor) {
    const auto* data = contiguous<void>(tensor);
    return {data, indices(op, name, tensor).wide};
  }

  cuda::TrieArrays trie(const char* op, const Tensor& first_child, const Tensor& tokens, int64_t depth) {
    require_trie(op, first_child, tokens, depth);
    cuda::TrieArrays arrays{};
    arrays.first_child = contiguous<int32_t>(first_child);
    arrays.tokens = contiguous<void>(tokens);
    arrays.wide_tokens = tokens.scalar_type() == ScalarType::Int;
    arrays.num_nodes = tokens.numel();
    return arrays;
  }

  // first_child, tokens and stamp.
  cuda::TrieArrays trie(const char* op, const Tensor& first_child, const Tensor& tokens, const Tensor& stamp,
                        int64_t depth) {
    require_stamp(op, stamp);
    cuda::TrieArrays arrays = trie(op, first_child, tokens, depth);
    arrays.stamp = contiguous<int64_t>(stamp);
    return arrays;
  }

  // `rows`: of the batch, if each has a mask.
  void add_mask(const char* op, const Tensor& words, const Tensor& stamp, int64_t rows, cuda::TrieArrays& arrays) {
    constexpr int64_t kWordBits = 64;
    // The kernel compares the width with the number of items.
    require_mask(op, words, words.dim() == 0 ? 0 : words.size(words.dim() - 1) * kWordBits, rows);
    require_stamp(op, stamp);
    arrays.mask = contiguous<uint64_t>(words);
    arrays.mask_words = words.size(words.dim() - 1);
    arrays.mask_per_row = words.dim() == 2;
    arrays.mask_stamp = contiguous<int64_t>(stamp);
  }

 private:
  std::vector<Tensor> tensors_;
};

}  // namespace recops::trie
