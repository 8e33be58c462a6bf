// Arguments of the kernels of one beam search step. kernel.h says what is computed.
//
// cuda_score_tiles.h divides the beams of each row of the batch into tiles, scores their children, and writes the best
// candidates of each tile to the workspace. cuda_merge_tiles.h selects the best candidates of each row from those.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "trie/cuda.h"
#include "trie/cuda_batch.h"
#include "trie/cuda_selection.h"

namespace recops::trie::cuda {

// Best candidates of a tile in the workspace.
struct TileResult {
  Key cut;       // that many candidates reach it; 0 if there are fewer
  int count;     // of keys
  int is_wrong;  // whether the data of the tile has an error
};

struct BeamStepArguments : BatchArguments {
  int beams, vocab, num_beams, keep;  // keep: candidates that a tile keeps
  int tiles, beams_per_tile;          // of a row of the batch
  Normalize normalize;
  DeviceIntegers nodes;
  DevicePointer<const float> scores;
  DevicePointer<Key> tile_keys;            // [batch, tiles, keep]
  DevicePointer<TileResult> tile_results;  // [batch, tiles]
  DevicePointer<float> new_scores;
  DevicePointer<int32_t> new_tokens, parents, new_nodes;
};

template <class S>
struct Logits {
  DevicePointer<const S> values;
  int64_t row_stride, beam_stride;
};

}  // namespace recops::trie::cuda
