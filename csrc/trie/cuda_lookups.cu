// Launchers of the CUDA kernels of lookups in a trie. cuda_lookups.h has their contract.
#include "trie/cuda_lookups.h"

#include <algorithm>

#include "common/launch.h"
#include "trie/cuda_allowed_tokens.h"
#include "trie/cuda_find.h"
#include "trie/cuda_item_sets.h"
#include "trie/cuda_items.h"

namespace recops::trie::cuda {
namespace {

// Blocks of `size` threads or entries.
unsigned blocks_of(int64_t count, int64_t size) { return static_cast<unsigned>((count + size - 1) / size); }

int64_t tiles_of(const ItemsCall& call) { return blocks_of(call.count, kItemThreads); }

// Parts of the workspace of find_items.
int64_t* tile_sums(const ItemsCall& call) { return static_cast<int64_t*>(call.workspace); }
int64_t* all_items(const ItemsCall& call) { return tile_sums(call) + tiles_of(call); }
int32_t* first_items(const ItemsCall& call) { return reinterpret_cast<int32_t*>(all_items(call) + 1); }

template <int kLanes>
int launch_find(const FindCall& call, void* stream) {
  FindArguments a{};
  a.trie = device_trie(call.trie, 1);
  a.sids = device_integers(call.sids, call.count * call.length);
  a.count = call.count;
  a.length = static_cast<int>(call.length);
  a.nodes = device_pointer(call.nodes, call.count);
  return launch(find_nodes<kLanes>, blocks_of(call.count * kLanes, kFindThreads), kFindThreads, 0,
                static_cast<cudaStream_t>(stream), a);
}

IdIndex id_index(const IndexedIds& items) {
  return {device_pointer(items.ids, items.count), device_pointer(items.order, items.count),
          static_cast<int>(items.count)};
}

RaggedIds ragged_ids(const RowsOfIds& ids) {
  return {device_pointer(ids.ids, ids.count), device_pointer(ids.offsets, ids.rows + 1), ids.count, ids.rows};
}

}  // namespace

int find(const FindCall& call, void* stream) {
  // Two warps of work for every place of a warp on an H100. More semantic IDs than that hide the latency of each other.
  constexpr int64_t kMostForWarps = 1 << 14;
  return call.count <= kMostForWarps ? launch_find<kWarpSize>(call, stream) : launch_find<1>(call, stream);
}

int64_t items_workspace_bytes(int64_t count) {
  return (blocks_of(count, kItemThreads) + 1) * int64_t{sizeof(int64_t)} + count * int64_t{sizeof(int32_t)};
}

int find_items(const ItemsCall& call, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const int64_t tiles = tiles_of(call);
  ItemsArguments a{};
  a.trie = device_trie(call.trie, 1);
  a.depth = static_cast<int>(call.depth);
  a.num_items = static_cast<int>(call.num_items);
  a.nodes = device_integers(call.nodes, call.count);
  a.count = call.count;
  a.offsets = device_pointer(call.offsets, call.count + 1);
  a.tile_sums = device_pointer(tile_sums(call), tiles);
  a.first_item = device_pointer(first_items(call), call.count);
  a.report = device_pointer(call.report, 1);
  cudaError_t error = launch(count_items, static_cast<unsigned>(tiles), kItemThreads, 0, on, a);
  if (error == cudaSuccess) error = sum_tiles(a.tile_sums, 1, tiles, device_pointer(all_items(call), 1), on);
  if (error == cudaSuccess) error = launch(write_offsets, static_cast<unsigned>(tiles), kItemThreads, 0, on, a);
  return error;
}

int gather_items(const ItemsCall& call, const int64_t* item_ids, int64_t total, int64_t* items, void* stream) {
  CopyArguments a{};
  a.offsets = device_pointer(static_cast<const int64_t*>(call.offsets), call.count + 1);
  a.item_ids = device_pointer(item_ids, call.num_items);
  a.first_item = device_pointer(static_cast<const int32_t*>(first_items(call)), call.count);
  a.items = device_pointer(items, total);
  a.count = call.count;
  a.total = total;
  return launch(copy_items, blocks_of(total, kItemsPerBlock), kItemThreads, 0, static_cast<cudaStream_t>(stream), a);
}

int allowed_tokens(const AllowedTokensCall& call, void* stream) {
  AllowedTokensArguments a{};
  a.trie = device_trie(call.trie, 1);
  a.nodes = device_integers(call.nodes, call.count);
  a.vocab_size = call.vocab_size;
  a.allowed = device_pointer(call.allowed, call.count * call.vocab_size);
  a.report = device_pointer(call.report, 1);
  return launch(mark_tokens, static_cast<unsigned>(call.count), kTokenThreads, 0, static_cast<cudaStream_t>(stream), a);
}

int mask_items(const MaskCall& call, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  MaskArguments a{};
  a.index = id_index(call.items);
  a.ids = ragged_ids(call.ids);
  a.keep = call.keep;
  a.missing_ok = call.missing_ok;
  a.width = 2 * ((call.items.count + 63) / 64);
  a.words = device_pointer(static_cast<uint32_t*>(call.words), call.ids.rows * a.width);
  a.report = device_pointer(call.report, 1);
  const cudaError_t error =
      launch(fill_masks<kSetThreads>, blocks_of(call.ids.rows * a.width, kSetThreads), kSetThreads, 0, on, a);
  if (error != cudaSuccess) return error;
  const int64_t threads = std::max(call.ids.count, call.ids.rows + 1);
  return launch(mark_items<kSetThreads>, blocks_of(threads, kSetThreads), kSetThreads, 0, on, a);
}

int ban_items(const BansCall& call, void* stream) {
  BanArguments a{};
  for (int64_t t = 0; t < call.num_tries; ++t) a.tries[t] = id_index(call.tries[t]);
  a.num_tries = static_cast<int>(call.num_tries);
  a.trie_index = device_integers(call.trie_index, call.ids.rows);
  a.ids = ragged_ids(call.ids);
  a.positions = device_pointer(call.positions, call.ids.count);
  a.report = device_pointer(call.report, 1);
  const int64_t most = std::min<int64_t>(call.ids.count, kMostSharedBans);
  return launch(find_bans<kSetThreads>, static_cast<unsigned>(call.ids.rows), kSetThreads,
                static_cast<size_t>(most) * sizeof(int32_t), static_cast<cudaStream_t>(stream), a);
}

}  // namespace recops::trie::cuda
