// Kernels that fill the arrays of a trie from sorted semantic IDs.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "trie/cuda_build.h"
#include "trie/cuda_build_sids.h"
#include "trie/fingerprint.h"

namespace recops::trie::cuda {

constexpr int kBuildWarps = kBuildThreads / kWarpSize;

struct NodeArguments {
  PartArguments parts;               // counts are sums over the tiles before
  int starts[kMostBuildLevels + 2];  // first node of each level, then num_nodes
  bool ids_ascend;
  DevicePointer<int32_t> first_child;
  DevicePointer<uint16_t> narrow_tokens;  // null if tokens are int32
  DevicePointer<int32_t> wide_tokens;
  DevicePointer<int64_t> item_ids;
  DevicePointer<int32_t> item_rows;
  DevicePointer<int32_t> id_order;   // written if the ids ascend
  DevicePointer<int32_t> positions;  // [count]: position of each row; written otherwise

  __device__ void set_token(int64_t node, int64_t token) const {
    if (narrow_tokens == nullptr)
      wide_tokens[node] = static_cast<int32_t>(token);
    else
      narrow_tokens[node] = static_cast<uint16_t>(token);
  }
};

// A warp takes consecutive items of the tile, 32 at a time. An item starts a node of each level after its parting. The
// levels go upwards, so that a node knows its first child.
__global__ void __launch_bounds__(kBuildThreads) fill_nodes(const __grid_constant__ NodeArguments a) {
  struct Counts {
    int nodes[kBuildWarps];
  };
  RECOPS_SHARED(Counts, counts);
  const SidArguments& sids = a.parts.sids;
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize, depth = sids.depth;
  const int64_t begin = int64_t{blockIdx.x} * kBuildTile + warp * kBuildRounds * kWarpSize + lane;
  const int num_nodes = a.starts[depth + 1];
  int partings[kBuildRounds], below[kBuildRounds];  // below: what the item's node of the next level is
  int64_t rows[kBuildRounds];
  RECOPS_UNROLL
  for (int i = 0; i < kBuildRounds; ++i) {
    const int64_t at = begin + i * kWarpSize;
    partings[i] = at < sids.count ? a.parts.partings[at] : kMostBuildLevels;
    rows[i] = at < sids.count ? a.parts.rows[at] : 0;
    below[i] = static_cast<int>(num_nodes + at);
    if (at >= sids.count) continue;
    a.item_rows[at] = static_cast<int32_t>(rows[i]);
    a.item_ids[at] = sids.item_ids[rows[i]];
    (a.ids_ascend ? a.id_order : a.positions)[rows[i]] = static_cast<int32_t>(at);
  }
  for (int level = depth; level > 0; --level) {
    unsigned heads[kBuildRounds];
    int of_warp = 0;
    RECOPS_UNROLL
    for (int i = 0; i < kBuildRounds; ++i) {
      heads[i] = __ballot_sync(kFullWarp, partings[i] < level);
      of_warp += __popc(heads[i]);
    }
    if (lane == 0) counts.nodes[warp] = of_warp;
    __syncthreads();
    int node = a.starts[level] + static_cast<int>(a.parts.counts[(level - 1) * a.parts.tiles + blockIdx.x]);
    for (int w = 0; w < warp; ++w) node += counts.nodes[w];
    __syncthreads();  // the next level writes the counts
    RECOPS_UNROLL
    for (int i = 0; i < kBuildRounds; ++i) {
      const int own = node + __popc(heads[i] & ((1u << lane) - 1));
      if (partings[i] < level) {
        a.first_child[own] = below[i];
        a.set_token(own, sids.token(rows[i], level - 1));
        below[i] = own;
      }
      node += __popc(heads[i]);
    }
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    a.first_child[0] = 1;
    a.set_token(0, 0);
    a.first_child[num_nodes] = static_cast<int32_t>(num_nodes + sids.count);
  }
}

struct HashArguments {
  NodeArguments nodes;
  DevicePointer<unsigned long long> sums;  // [3]
  DevicePointer<int64_t> stamp;
};

__global__ void clear_sums(const __grid_constant__ HashArguments a) {
  for (int array = 0; array < 3; ++array) a.sums[array] = 0;
}

// Adds the mixed elements of the three arrays that the fingerprint covers.
__global__ void __launch_bounds__(kBuildThreads) hash_arrays(const __grid_constant__ HashArguments a) {
  const NodeArguments& nodes = a.nodes;
  const int64_t first = int64_t{blockIdx.x} * kBuildThreads + threadIdx.x, step = int64_t{gridDim.x} * kBuildThreads;
  const int64_t num_nodes = nodes.starts[nodes.parts.sids.depth + 1];
  uint64_t sums[3] = {0, 0, 0};
  for (int64_t i = first; i <= num_nodes; i += step) sums[0] += Fingerprint::mixed(nodes.first_child[i], i);
  for (int64_t i = first; i < num_nodes; i += step)
    sums[1] += Fingerprint::mixed(
        nodes.narrow_tokens == nullptr ? nodes.wide_tokens[i] : static_cast<int32_t>(nodes.narrow_tokens[i]), i);
  for (int64_t i = first; i < nodes.parts.sids.count; i += step) sums[2] += Fingerprint::mixed(nodes.item_ids[i], i);
  RECOPS_UNROLL
  for (int array = 0; array < 3; ++array) {
    for (int distance = 1; distance < kWarpSize; distance *= 2)
      sums[array] += __shfl_xor_sync(kFullWarp, sums[array], distance);
    if (threadIdx.x % kWarpSize == 0) atomicAdd(&a.sums[array], static_cast<unsigned long long>(sums[array]));
  }
}

__global__ void write_stamp(const __grid_constant__ HashArguments a) {
  const int64_t num_nodes = a.nodes.starts[a.nodes.parts.sids.depth + 1];
  Fingerprint content;
  content.add(a.sums[0], num_nodes + 1);
  content.add(a.sums[1], num_nodes);
  content.add(a.sums[2], a.nodes.parts.sids.count);
  a.stamp[0] = content.value();
}

struct IdArguments {
  DevicePointer<const int64_t> item_ids;
  DevicePointer<uint64_t> keys;
  DevicePointer<int32_t> rows;
  DevicePointer<const int32_t> positions;
  DevicePointer<int32_t> id_order;
  DevicePointer<BuildReport> report;
  int64_t count;
};

constexpr uint64_t kSignBit = uint64_t{1} << 63;

// Keys that ascend as the ids do.
__global__ void __launch_bounds__(kBuildThreads) pack_ids(const __grid_constant__ IdArguments a) {
  const int64_t row = int64_t{blockIdx.x} * kBuildThreads + threadIdx.x;
  if (row >= a.count) return;
  a.keys[row] = static_cast<uint64_t>(a.item_ids[row]) ^ kSignBit;
  a.rows[row] = static_cast<int32_t>(row);
}

__global__ void __launch_bounds__(kBuildThreads) write_id_order(const __grid_constant__ IdArguments a) {
  const int64_t i = int64_t{blockIdx.x} * kBuildThreads + threadIdx.x;
  if (i >= a.count) return;
  a.id_order[i] = a.positions[a.rows[i]];
  if (i > 0 && a.keys[i] == a.keys[i - 1]) a.report[0].is_wrong = 1;
}

}  // namespace recops::trie::cuda
