// Kernels of the last step of a search: the items of the best leaves, their SIDs and scores.
//
// choose_items takes a row of the batch with a block. It counts the allowed items of each leaf, so that every output
// has a leaf and a rank among its items. Without priors a thread selects the item of a rank. With priors it compares
// the items of small leaves; the block selects those of large ones. write_sids then finds the path to each leaf.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/device_prefix_sums.h"
#include "trie/cuda_batch.h"
#include "trie/cuda_candidate.h"
#include "trie/cuda_selection.h"

namespace recops::trie::cuda {

constexpr int kChooseThreads = 256, kChoosePerThread = 4, kPathWarps = 8;
constexpr int kFewItems = 8;  // of a small leaf
constexpr int kNoLeaf = -1;
using ItemSelection = Selection<kChooseThreads, kChoosePerThread>;

struct DeviceItems {
  DevicePointer<const int64_t> ids;
  DevicePointer<const int32_t> rows;
  DevicePointer<const float> priors;
  int count;
};

struct BeamItemsArguments : BatchArguments {
  DeviceItems items[kMostTries];
  int beams, num_beams;
  bool has_priors;
  DeviceIntegers nodes;
  DevicePointer<const float> scores;
  DevicePointer<int32_t> leaves;  // [batch, num_beams]: kNoLeaf without an item
  DevicePointer<int64_t> item_ids;
  DevicePointer<int32_t> sids;
  DevicePointer<float> new_scores;
};

struct ChooseState {
  SelectionState selection;
  WarpSums<int, kChooseThreads> sums;
  RowContext row;
  int is_wrong;
  int num_large;  // large leaves
};

class ItemChooser {
 public:
  static int64_t shared_bytes(const BeamItemsArguments& a) {
    const int64_t keys = a.has_priors ? ItemSelection::capacity(a.num_beams) : 0;
    return keys * int64_t{sizeof(Key)} + a.beams * int64_t{sizeof(int) + sizeof(uint16_t)};
  }

  __device__ ItemChooser(const BeamItemsArguments& a, int b, ChooseState& shared, DevicePointer<unsigned char> memory)
      : a_(a), b_(b), shared_(shared), trie_(a.tries[shared.row.trie]), items_(a.items[shared.row.trie]) {
    const int64_t keys = a.has_priors ? ItemSelection::capacity(a.num_beams) : 0;
    const int64_t bytes = keys * int64_t{sizeof(Key)};
    keys_ = shared_array<Key>(memory, 0, keys);
    firsts_ = shared_array<int>(memory, bytes, a.beams);
    large_ = shared_array<uint16_t>(memory, bytes + a.beams * int64_t{sizeof(int)}, a.beams);
    filter_ = filter_of(a, shared.row, b);
  }

  // All threads of the block call it.
  __device__ void run() {
    if (!shared_.is_wrong) {
      const int total = count_items_of_leaves();
      for (int slot = threadIdx.x; slot < a_.num_beams; slot += kChooseThreads) fill(slot, total);
      if (a_.has_priors) fill_from_large_leaves();
    }
    __syncthreads();
    if (!shared_.is_wrong) return;
    for (int slot = threadIdx.x; slot < a_.num_beams; slot += kChooseThreads)
      write(slot, kNoLeaf, -1, __uint_as_float(0x7fc00000u));
  }

 private:
  __device__ int64_t index(int beam) const { return int64_t{b_} * a_.beams + beam; }

  __device__ Range items_of(int beam, bool& is_good) const {
    const int64_t node = a_.nodes[index(beam)];
    if (node == -1) return {0, 0};
    is_good = 0 <= node && node < trie_.num_nodes && trie_.first_child[node] >= trie_.num_nodes;
    return is_good ? trie_.items_below(static_cast<int>(node), a_.depth, shared_.row.num_items, is_good) : Range{0, 0};
  }

  // firsts_[beam] = the first output of each leaf. Returns the number of outputs with an item.
  __device__ int count_items_of_leaves() {
    if (threadIdx.x == 0) shared_.num_large = 0;
    __syncthreads();
    int before = 0;
    for (int first = 0; first < a_.beams; first += kChooseThreads) {
      const int beam = first + static_cast<int>(threadIdx.x);
      bool is_good = true;
      Range items{0, 0};
      if (beam < a_.beams) items = items_of(beam, is_good);
      if (!is_good) set_wrong();
      int total;
      const int count = filter_.count(items, a_.num_beams);
      const int own = before + exclusive_sum<int, kChooseThreads>(count, shared_.sums, total);
      if (beam < a_.beams) firsts_[beam] = own;
      if (count > 0 && own < a_.num_beams && items.count() > kFewItems)
        large_[atomicAdd(&shared_.num_large, 1)] = static_cast<uint16_t>(beam);
      before += total;
    }
    __syncthreads();
    return before < a_.num_beams ? before : a_.num_beams;
  }

  // The leaf of an output: the last that starts there or before.
  __device__ int beam_of(int slot) const {
    int low = 0, high = a_.beams - 1;
    while (low < high) {
      const int middle = low + (high - low + 1) / 2;
      if (firsts_[middle] <= slot)
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }

  __device__ void fill(int slot, int total) {
    if (slot >= total) return write(slot, kNoLeaf, -1, -kInfinity);
    const int beam = beam_of(slot), rank = slot - firsts_[beam];
    bool is_good = true;
    const Range items = items_of(beam, is_good);
    if (!a_.has_priors)
      write_item(slot, beam, filter_.select(items, rank));
    else if (items.count() <= kFewItems)
      write_item(slot, beam, best(items, rank));
  }

  // The item of a rank by descending prior, then by position. Every pair of items is compared.
  __device__ int best(Range items, int rank) {
    int result = items.begin;
    for (int position = items.begin; position < items.end; ++position) {
      if (!is_allowed(position)) continue;
      const float prior = prior_of(position);
      int better = 0;
      for (int other = items.begin; other < items.end; ++other) {
        if (other == position || !is_allowed(other)) continue;
        const float of_other = prior_of(other);
        better += of_other > prior || (of_other == prior && other < position);
      }
      if (better == rank) result = position;
    }
    return result;
  }

  __device__ void fill_from_large_leaves() {
    __syncthreads();
    const int num_large = shared_.num_large;
    for (int i = 0; i < num_large; ++i) {
      const int beam = large_[i], first = firsts_[beam];
      bool is_good = true;
      const Range items = items_of(beam, is_good);
      const int count = filter_.count(items, a_.num_beams - first);
      ItemSelection selection(shared_.selection, keys_, count);
      for (int begin = items.begin; begin < items.end; begin += ItemSelection::kRound) {
        for (int step = 0; step < kChoosePerThread; ++step) {
          const int position = begin + step * kChooseThreads + static_cast<int>(threadIdx.x);
          const Key key = position < items.end && is_allowed(position) ? key_of_item(items, position) : 0;
          selection.add(key != 0 && selection.wants(key), key);
        }
        selection.settle();
      }
      const int chosen = selection.finish();
      selection.sort();
      for (int rank = threadIdx.x; rank < chosen; rank += kChooseThreads)
        write_item(first + rank, beam, items.end - 1 - static_cast<int>(selection[rank] & 0xffffffff));
    }
  }

  // Larger for a larger prior, then for a lower position.
  __device__ Key key_of_item(Range items, int position) {
    return Key{ordered_bits(prior_of(position))} << 32 | Key(items.end - 1 - position);
  }

  __device__ bool is_allowed(int position) const {
    return filter_.allows_all() || filter_.allows_any({position, position + 1});
  }

  __device__ float prior_of(int position) {
    const int row = items_.rows[position];
    const bool is_good = 0 <= row && row < items_.count;
    const float prior = is_good ? items_.priors[row] : 0.0f;
    if (!is_good || prior != prior) set_wrong();
    return prior;
  }

  __device__ void write_item(int slot, int beam, int position) {
    write(slot, static_cast<int>(a_.nodes[index(beam)]), items_.ids[position], a_.scores[index(beam)]);
  }

  __device__ void write(int slot, int leaf, int64_t id, float score) {
    const int64_t out = int64_t{b_} * a_.num_beams + slot;
    a_.leaves[out] = leaf;
    a_.item_ids[out] = id;
    a_.new_scores[out] = score;
  }

  __device__ void set_wrong() { atomicOr(&shared_.is_wrong, 1); }

  const BeamItemsArguments& a_;
  int b_;
  ChooseState& shared_;
  const DeviceTrie& trie_;
  const DeviceItems& items_;
  DevicePointer<Key> keys_;
  DevicePointer<int> firsts_;
  DevicePointer<uint16_t> large_;
  DeviceFilter filter_;
};

__global__ void __launch_bounds__(kChooseThreads, 2) choose_items(const __grid_constant__ BeamItemsArguments a) {
  RECOPS_SHARED(ChooseState, shared);
  RECOPS_DYNAMIC_SHARED(memory);
  const int b = blockIdx.x;
  if (threadIdx.x == 0) {
    shared.row = read_row(a, b);
    shared.is_wrong = shared.row.is_wrong || a.items[shared.row.trie].count != shared.row.num_items;
  }
  __syncthreads();
  ItemChooser(a, b, shared, memory).run();
}

// A warp per output.
__global__ void __launch_bounds__(kPathWarps* kWarpSize)
    write_sids(const __grid_constant__ BeamItemsArguments a, int64_t outputs) {
  const int64_t out = int64_t{blockIdx.x} * kPathWarps + threadIdx.x / kWarpSize;
  if (out >= outputs) return;
  const int lane = threadIdx.x % kWarpSize;
  int node = a.leaves[out];
  const int64_t b = out / a.num_beams;
  const DeviceTrie& trie = a.tries[node == kNoLeaf || a.trie_index.is_null() ? 0 : a.trie_index[b]];
  for (int level = a.depth - 1; level >= 0; --level) {
    if (lane == 0) a.sids[out * a.depth + level] = node == kNoLeaf ? -1 : trie.token(node);
    if (node != kNoLeaf && level > 0) node = trie.parent_with_warp(node, lane);
  }
}

}  // namespace recops::trie::cuda
