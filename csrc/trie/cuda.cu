// Launchers of the CUDA kernels for tries. cuda.h has their contract.
#include "trie/cuda.h"

#include <algorithm>

#include "common/launch.h"
#include "trie/cuda_beam_items.h"
#include "trie/cuda_beam_step.h"
#include "trie/cuda_merge_tiles.h"
#include "trie/cuda_next_logits.h"
#include "trie/cuda_score_tiles.h"

namespace recops::trie::cuda {
namespace {

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Division of a batch's beams among blocks.
struct Tiling {
  int warps_per_beam;
  int64_t beams_per_tile, tiles;  // of a row of the batch
  int64_t keep;                   // candidates that a tile keeps

  Tiling(int64_t batch, int64_t beams, int64_t vocab, int64_t num_beams)
      : keep(std::min(num_beams, std::max<int64_t>(1, beams * vocab))) {
    // With a warp per beam, this many beams fill an H100. With fewer, a block takes one beam at a time.
    constexpr int64_t kBeamsForWarps = 2048;
    // merge_tiles reads all tiles of a row in one block.
    constexpr int64_t kMostTiles = 128;
    warps_per_beam = batch * beams >= kBeamsForWarps ? 1 : kTileWarps;
    const int64_t at_once = kTileWarps / warps_per_beam, groups = std::max<int64_t>(1, divided_up(beams, at_once));
    beams_per_tile = divided_up(groups, kMostTiles) * at_once;
    tiles = std::max<int64_t>(1, divided_up(beams, beams_per_tile));
  }
};

// Parts of the workspace.
struct Workspace {
  int64_t tiles, keys;  // numbers of
  Workspace(int64_t batch, const Tiling& tiling) : tiles(batch * tiling.tiles), keys(tiles * tiling.keep) {}
  int64_t bytes() const { return keys * int64_t{sizeof(Key)} + tiles * int64_t{sizeof(TileResult)}; }
};

void set_batch(BatchArguments& a, const Batch& batch) {
  for (int64_t t = 0; t < batch.num_tries; ++t) a.tries[t] = device_trie(batch.tries[t], batch.batch);
  a.num_tries = static_cast<int>(batch.num_tries);
  a.depth = static_cast<int>(batch.depth);
  a.trie_index = device_integers(batch.trie_index, batch.batch);
  a.bans = device_pointer(batch.bans.positions, batch.bans.count);
  a.ban_offsets = device_pointer(batch.bans.offsets, batch.batch + 1);
  a.ban_stamps = device_pointer(batch.bans.stamps, batch.num_tries);
  a.num_bans = batch.bans.count;
}

template <class S>
cudaError_t launch_step(const BeamStepArguments& arguments, const BeamStepCall& call, const Tiling& tiling,
                        cudaStream_t stream) {
  const int64_t extent = (call.batch - 1) * call.row_stride + (call.beams - 1) * call.beam_stride + call.vocab;
  const Logits<S> logits{device_pointer(static_cast<const S*>(call.logits), call.batch * call.beams > 0 ? extent : 0),
                         call.row_stride, call.beam_stride};
  const auto kernel = tiling.warps_per_beam == 1 ? score_tiles<S, 1> : score_tiles<S, kTileWarps>;
  const cudaError_t error =
      launch(kernel, static_cast<unsigned>(call.batch * tiling.tiles), kTileThreads,
             static_cast<size_t>(TileSelection::capacity(tiling.keep)) * sizeof(Key), stream, arguments, logits);
  if (error != cudaSuccess) return error;
  return launch(merge_tiles, static_cast<unsigned>(call.batch), kMergeThreads,
                static_cast<size_t>(MergeSelection::capacity(tiling.keep)) * sizeof(Key), stream, arguments);
}

template <class Bits>
cudaError_t launch_next_logits(const NextLogitsArguments& arguments, const NextLogitsCall& call, Bits forbidden,
                               Bits nan, cudaStream_t stream) {
  const int64_t count = call.rows * call.vocab;
  const LogitRows<Bits> rows{device_pointer(static_cast<const Bits*>(call.logits), count),
                             device_pointer(static_cast<Bits*>(call.out), count), forbidden, nan};
  return launch(write_next_logits<Bits>, static_cast<unsigned>(call.rows), kRowThreads,
                static_cast<size_t>(RowWriter<Bits>::words_of(call.vocab)) * sizeof(uint32_t), stream, arguments, rows);
}

}  // namespace

bool supports_beam_step(Dtype dtype, int64_t batch, int64_t beams, int64_t vocab, int64_t num_beams,
                        int64_t num_tries) {
  return dtype != Dtype::f64 && batch <= kMostRows && beams <= kMostBeams && num_beams <= kMostBeams &&
         vocab <= kMostVocab && num_tries <= kMostTries;
}

int64_t beam_step_workspace_bytes(int64_t batch, int64_t beams, int64_t vocab, int64_t num_beams) {
  return Workspace(batch, Tiling(batch, beams, vocab, num_beams)).bytes();
}

int beam_step(const BeamStepCall& call, void* workspace, void* stream) {
  if (call.batch == 0) return cudaSuccess;
  const Tiling tiling(call.batch, call.beams, call.vocab, call.num_beams);
  const Workspace parts(call.batch, tiling);
  BeamStepArguments a{};
  set_batch(a, call);
  a.beams = static_cast<int>(call.beams);
  a.vocab = static_cast<int>(call.vocab);
  a.num_beams = static_cast<int>(call.num_beams);
  a.keep = static_cast<int>(tiling.keep);
  a.tiles = static_cast<int>(tiling.tiles);
  a.beams_per_tile = static_cast<int>(tiling.beams_per_tile);
  a.normalize = call.normalize;
  a.nodes = device_integers(call.nodes, call.batch * call.beams);
  a.scores = device_pointer(call.scores, call.batch * call.beams);
  auto* keys = static_cast<Key*>(workspace);
  a.tile_keys = device_pointer(keys, parts.keys);
  a.tile_results = device_pointer(reinterpret_cast<TileResult*>(keys + parts.keys), parts.tiles);
  const int64_t outputs = call.batch * call.num_beams;
  a.new_scores = device_pointer(call.new_scores, outputs);
  a.new_tokens = device_pointer(call.new_tokens, outputs);
  a.parents = device_pointer(call.parents, outputs);
  a.new_nodes = device_pointer(call.new_nodes, outputs);
  return with_device_type(
      call.dtype, [&](auto s) { return launch_step<decltype(s)>(a, call, tiling, static_cast<cudaStream_t>(stream)); });
}

bool supports_beam_items(int64_t batch, int64_t beams, int64_t num_beams, int64_t num_tries) {
  return batch <= kMostRows && beams <= kMostBeams && num_beams <= kMostBeams && num_tries <= kMostTries;
}

int64_t beam_items_workspace_bytes(int64_t batch, int64_t num_beams) {
  return batch * num_beams * int64_t{sizeof(int32_t)};
}

int beam_items(const BeamItemsCall& call, void* workspace, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const int64_t inputs = call.batch * call.beams, outputs = call.batch * call.num_beams;
  BeamItemsArguments a{};
  set_batch(a, call);
  for (int64_t t = 0; t < call.num_tries; ++t) {
    const ItemArrays& items = call.items[t];
    a.items[t] = {device_pointer(items.ids, items.num_items), device_pointer(items.rows, items.num_items),
                  device_pointer(items.priors, items.num_items), static_cast<int>(items.num_items)};
  }
  a.beams = static_cast<int>(call.beams);
  a.num_beams = static_cast<int>(call.num_beams);
  a.has_priors = call.has_priors;
  a.nodes = device_integers(call.nodes, inputs);
  a.scores = device_pointer(call.scores, inputs);
  a.leaves = device_pointer(static_cast<int32_t*>(workspace), outputs);
  a.item_ids = device_pointer(call.item_ids, outputs);
  a.sids = device_pointer(call.sids, outputs * call.depth);
  a.new_scores = device_pointer(call.new_scores, outputs);
  const cudaError_t error = launch(choose_items, static_cast<unsigned>(call.batch), kChooseThreads,
                                   static_cast<size_t>(ItemChooser::shared_bytes(a)), on, a);
  if (error != cudaSuccess) return error;
  return launch(write_sids, static_cast<unsigned>(divided_up(outputs, kPathWarps)), kPathWarps * kWarpSize, 0, on, a,
                outputs);
}

bool supports_next_logits(int64_t rows, int64_t vocab, int64_t depth, int64_t num_end_tokens) {
  return rows <= kMostRows && vocab <= kMostMaskedTokens && depth <= kMostLevels && num_end_tokens <= kMostEndTokens;
}

int next_logits(const NextLogitsCall& call, void* stream) {
  NextLogitsArguments a{};
  a.trie = device_trie(call.trie, call.num_masks);
  a.vocab = static_cast<int>(call.vocab);
  a.depth = static_cast<int>(call.depth);
  a.length = call.length;
  a.prompt_length = call.prompt_length;
  a.begin_token = call.begin_token;
  a.width = call.width;
  a.rows_per_mask = call.rows_per_mask;
  a.sequences = device_pointer(call.sequences, call.rows * call.length);
  a.model_tokens = device_pointer(call.model_tokens, call.level_begins[call.depth]);
  a.trie_tokens = device_pointer(call.trie_tokens, call.depth * call.width);
  for (int64_t level = 0; level <= call.depth; ++level)
    a.level_begins[level] = static_cast<int>(call.level_begins[level]);
  for (int64_t i = 0; i < call.num_end_tokens; ++i) a.end_tokens[i] = static_cast<int>(call.end_tokens[i]);
  a.num_end_tokens = static_cast<int>(call.num_end_tokens);
  const auto launch_as = [&](auto forbidden, auto nan) {
    return launch_next_logits(a, call, forbidden, nan, static_cast<cudaStream_t>(stream));
  };
  switch (call.dtype) {
    case Dtype::f64: return launch_as(uint64_t{0xfff0000000000000}, uint64_t{0x7ff8000000000000});
    case Dtype::bf16: return launch_as(uint16_t{0xff80}, uint16_t{0x7fc0});
    case Dtype::f16: return launch_as(uint16_t{0xfc00}, uint16_t{0x7e00});
    default: return launch_as(uint32_t{0xff800000}, uint32_t{0x7fc00000});
  }
}

}  // namespace recops::trie::cuda
