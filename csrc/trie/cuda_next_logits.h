// Kernel of the allowed next logits of a language model. next_logits.h says which tokens are allowed.
//
// One block per row marks the allowed tokens in a bitmap in shared memory. It then writes the row, 16 bytes at a time,
// and reads only the logits of allowed tokens. The output may be the input: each thread reads what it overwrites.
#pragma once

#include <cstdint>
#include <type_traits>

#include "common/device.h"
#include "trie/cuda.h"
#include "trie/cuda_trie.h"

namespace recops::trie::cuda {

constexpr int kRowThreads = 512;

struct NextLogitsArguments {
  DeviceTrie trie;
  int vocab, depth;
  int64_t length, prompt_length, begin_token, width, rows_per_mask;
  DevicePointer<const int64_t> sequences;
  DevicePointer<const int32_t> model_tokens, trie_tokens;
  int level_begins[kMostLevels + 1];
  int end_tokens[kMostEndTokens];
  int num_end_tokens;
};

// Logits as bits, because they are only copied.
template <class Bits>
struct LogitRows {
  DevicePointer<const Bits> logits;
  DevicePointer<Bits> out;
  Bits forbidden, nan;  // −inf and NaN
};

struct RowState {
  int level;  // tokens of its semantic ID that the sequence has
  int node;   // at the end of the sequence; −1: none
  int num_items;
  int is_wrong;
};

// One row. All methods are called by all threads of the block, those of the path by one warp.
template <class Bits>
class RowWriter {
 public:
  __device__ RowWriter(const NextLogitsArguments& a, const LogitRows<Bits>& rows, int64_t row, RowState& state,
                       DevicePointer<uint32_t> bitmap)
      : a_(a),
        sequence_(a.sequences + row * a.length),
        logits_(rows.logits + row * a.vocab),
        out_(rows.out + row * a.vocab),
        forbidden_(rows.forbidden),
        nan_(rows.nan),
        state_(state),
        bitmap_(bitmap) {
    const DeviceTrie& trie = a.trie;
    const int64_t mask = trie.mask_per_row ? row / a.rows_per_mask : 0;
    filter_.mask = trie.mask == nullptr ? trie.mask : trie.mask + mask * trie.mask_words;
    filter_.banned = {0, 0};
  }

  __device__ void run() {
    for (int i = threadIdx.x; i < words_of(a_.vocab); i += kRowThreads) bitmap_[i] = 0;
    if (threadIdx.x < kWarpSize) find_node();
    __syncthreads();
    const bool is_inside = state_.level <= a_.depth || a_.prompt_length >= 0;
    const bool goes_on = __syncthreads_or(mark_children());
    if (state_.is_wrong)
      fill(nan_);
    else if (is_inside)
      write_marked(goes_on);
    else
      copy();
  }

  // Words of the bitmap. The last is never marked, so that a read of 32 bits at any token needs no check.
  __host__ __device__ static int64_t words_of(int64_t vocab) { return (vocab + 31) / 32 + 1; }

 private:
  __device__ void find_node() {
    const int lane = threadIdx.x % kWarpSize;
    const int num_items = a_.trie.num_items();
    bool is_good = num_items >= 0;
    if (!(a_.trie.mask == nullptr))
      is_good &= a_.trie.mask_words == (num_items + 63) / 64 && a_.trie.mask_stamp[0] == a_.trie.stamp[0];
    const int level = tokens_so_far(lane);
    int node = is_good && level < a_.depth ? 0 : -1;
    for (int i = 0; i < level && node >= 0; ++i) {
      const int64_t token = sequence_[a_.length - level + i];
      const int wanted = 0 <= token && token < a_.width ? a_.trie_tokens[i * a_.width + token] : -1;
      node = a_.trie.find_child_with_warp(a_.trie.children(node, is_good), wanted, lane);
    }
    if (lane == 0) state_ = {level, node, num_items, !is_good};
  }

  // depth + 1 if the sequence has no start of a semantic ID, or a complete one.
  __device__ int tokens_so_far(int lane) const {
    if (a_.prompt_length >= 0) {
      const int64_t count = a_.length - a_.prompt_length;
      return static_cast<int>(count > a_.depth ? a_.depth + 1 : count);
    }
    const bool is_start = lane <= a_.depth && lane < a_.length && sequence_[a_.length - 1 - lane] == a_.begin_token;
    const unsigned starts = __ballot_sync(kFullWarp, is_start);
    return starts == 0 ? a_.depth + 1 : __ffs(static_cast<int>(starts)) - 1;
  }

  // Marks the tokens of the allowed children. Returns whether this thread marked one.
  __device__ bool mark_children() {
    bool has_marked = false, is_good = true;
    const int level = state_.level, node = state_.node;
    if (node < 0) return false;
    const Range children = a_.trie.children(node, is_good);
    for (int child = children.begin + static_cast<int>(threadIdx.x); child < children.end; child += kRowThreads) {
      const int token = a_.trie.token(child), first = a_.level_begins[level];
      int column = -1;
      if (0 <= token && token < a_.level_begins[level + 1] - first) column = a_.model_tokens[first + token];
      if (column < 0 || column >= a_.vocab) {
        is_good = false;
      } else if (filter_.allows_all() || filter_.allows_any(a_.trie.items_below(child, a_.depth, state_.num_items))) {
        atomicOr(&bitmap_[column / 32], 1u << (column % 32));
        has_marked = true;
      }
    }
    if (!is_good) atomicOr(&state_.is_wrong, 1);
    return has_marked;
  }

  // Bits of the tokens from `column` on.
  __device__ uint32_t marks(int column) const {
    const uint64_t two = bitmap_[column / 32] | uint64_t{bitmap_[column / 32 + 1]} << 32;
    return static_cast<uint32_t>(two >> (column % 32));
  }

  __device__ void write_marked(bool goes_on) {
    write([&](int column, auto count) {
      Elements<decltype(count)::value> values;
      const uint32_t marked = marks(column);
      RECOPS_UNROLL
      for (int i = 0; i < decltype(count)::value; ++i)
        values.bits[i] = (marked >> i & 1) != 0 ? logits_[column + i] : forbidden_;
      return values;
    });
    if (goes_on) return;
    __syncthreads();
    for (int i = threadIdx.x; i < a_.num_end_tokens; i += kRowThreads) out_[a_.end_tokens[i]] = 0;
  }

  __device__ void copy() {
    if (address_of(logits_) == address_of(out_)) return;
    for (int i = threadIdx.x; i < a_.vocab; i += kRowThreads) out_[i] = logits_[i];
  }

  __device__ void fill(Bits value) {
    for (int i = threadIdx.x; i < a_.vocab; i += kRowThreads) out_[i] = value;
  }

  template <int count>
  struct Elements {
    Bits bits[count];
  };

  // Writes value(column, count) to each column, in 16-byte stores where they are aligned.
  template <class Value>
  __device__ void write(const Value& value) {
    constexpr int kElements = kPerWords16<Bits>;
    const int aligned = elements_to_aligned(out_), head = aligned < a_.vocab ? aligned : a_.vocab;
    const int vectors = (a_.vocab - head) / kElements, tail = head + vectors * kElements;
    const std::integral_constant<int, 1> one;
    const std::integral_constant<int, kElements> many;
    for (int i = threadIdx.x; i < head; i += kRowThreads) out_[i] = value(i, one).bits[0];
    for (int i = threadIdx.x; i < vectors; i += kRowThreads) {
      const Elements<kElements> values = value(head + i * kElements, many);
      Words16 words;
      RECOPS_UNROLL
      for (int word = 0; word < 4; ++word) {
        if constexpr (sizeof(Bits) == 8)
          words.words[word] = static_cast<uint32_t>(values.bits[word / 2] >> (word % 2 * 32));
        else if constexpr (sizeof(Bits) == 4)
          words.words[word] = values.bits[word];
        else
          words.words[word] = values.bits[2 * word] | static_cast<uint32_t>(values.bits[2 * word + 1]) << 16;
      }
      store16<Bits>(out_ + (head + i * kElements), words);
    }
    for (int i = tail + static_cast<int>(threadIdx.x); i < a_.vocab; i += kRowThreads) out_[i] = value(i, one).bits[0];
  }

  const NextLogitsArguments& a_;
  DevicePointer<const int64_t> sequence_;
  DevicePointer<const Bits> logits_;
  DevicePointer<Bits> out_;
  Bits forbidden_, nan_;
  RowState& state_;
  DevicePointer<uint32_t> bitmap_;
  DeviceFilter filter_;
};

template <class Bits>
__global__ void __launch_bounds__(kRowThreads)
    write_next_logits(const __grid_constant__ NextLogitsArguments a, const __grid_constant__ LogitRows<Bits> rows) {
  RECOPS_SHARED(RowState, state);
  RECOPS_DYNAMIC_SHARED(memory);
  RowWriter<Bits> writer(a, rows, blockIdx.x, state,
                         shared_array<uint32_t>(memory, 0, RowWriter<Bits>::words_of(a.vocab)));
  writer.run();
}

}  // namespace recops::trie::cuda
