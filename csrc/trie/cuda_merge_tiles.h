// Second kernel of a beam search step: one block per row of the batch selects the best candidates of all tiles, sorts
// them and writes the outputs.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "trie/cuda_beam_step.h"
#include "trie/cuda_candidate.h"
#include "trie/cuda_selection.h"
#include "trie/cuda_trie.h"

namespace recops::trie::cuda {

constexpr int kMergeThreads = 1024, kMergeWarps = kMergeThreads / kWarpSize, kMergePerThread = 2;
using MergeSelection = Selection<kMergeThreads, kMergePerThread>;

struct MergeState {
  SelectionState selection;
  Key cuts[kMergeWarps];
  int wrongs[kMergeWarps];
};

// Adds the keys of the tiles; each warp takes every kMergeWarps-th tile.
__device__ inline void add_tiles(const BeamStepArguments& a, int b, MergeSelection& selection) {
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  for (int first = 0; first < a.tiles; first += kMergeWarps) {
    const int tile = b * a.tiles + first + warp;
    const int count = first + warp < a.tiles ? a.tile_results[tile].count : 0;
    for (int begin = 0; __syncthreads_or(begin < count); begin += kWarpSize * kMergePerThread) {
      RECOPS_UNROLL
      for (int step = 0; step < kMergePerThread; ++step) {
        const int i = begin + step * kWarpSize + lane;
        const Key key = i < count ? a.tile_keys[int64_t{tile} * a.keep + i] : 0;
        selection.add(selection.wants(key), key);
      }
      selection.settle();
    }
  }
}

__global__ void __launch_bounds__(kMergeThreads, 1) merge_tiles(const __grid_constant__ BeamStepArguments a) {
  RECOPS_SHARED(MergeState, shared);
  RECOPS_DYNAMIC_SHARED(memory);
  const int b = blockIdx.x;
  MergeSelection selection(shared.selection, shared_array<Key>(memory, 0, MergeSelection::capacity(a.keep)), a.keep);

  // The best cut of a tile bounds the result: that many candidates of the tile reach it.
  Key cut = 0;
  int is_wrong = 0;
  for (int tile = threadIdx.x; tile < a.tiles; tile += kMergeThreads) {
    const TileResult result = a.tile_results[b * a.tiles + tile];
    cut = result.cut > cut ? result.cut : cut;
    is_wrong |= result.is_wrong;
  }
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const Key other = __shfl_xor_sync(kFullWarp, cut, distance);
    cut = other > cut ? other : cut;
  }
  is_wrong = __syncthreads_or(is_wrong);
  if (threadIdx.x % kWarpSize == 0) shared.cuts[threadIdx.x / kWarpSize] = cut;
  __syncthreads();
  for (int warp = 0; warp < kMergeWarps; ++warp) cut = shared.cuts[warp] > cut ? shared.cuts[warp] : cut;
  selection.raise_cut(cut == 0 ? 0 : cut - 1);

  if (!is_wrong) add_tiles(a, b, selection);
  const int count = selection.finish();
  selection.sort();
  const int64_t index = a.trie_index.is_null() ? 0 : a.trie_index[b];
  for (int i = threadIdx.x; i < a.num_beams; i += kMergeThreads) {
    const int64_t out = int64_t{b} * a.num_beams + i;
    float score = is_wrong ? __uint_as_float(0x7fc00000u) : -kInfinity;
    int token = -1, parent = -1, node = -1;
    if (i < count) {
      const Key key = selection[i];
      const DeviceTrie& trie = a.tries[index];
      score = score_of(key);
      parent = parent_of(key);
      node = trie.first_child[a.nodes[int64_t{b} * a.beams + parent]] + child_of(key);
      token = trie.token(node);
    }
    a.new_scores[out] = score;
    a.new_tokens[out] = token;
    a.parents[out] = parent;
    a.new_nodes[out] = node;
  }
}

}  // namespace recops::trie::cuda
