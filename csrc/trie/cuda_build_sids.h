// Kernels that check semantic IDs, pack them into sort keys, and find where sorted ones part.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "trie/cuda_build.h"

namespace recops::trie::cuda {

constexpr int kBuildThreads = 256;
constexpr int kBuildRounds = 4, kBuildTile = kBuildThreads * kBuildRounds;  // items of a block

struct SidArguments {
  DeviceIntegers sids;
  DevicePointer<const int64_t> item_ids;
  int64_t count;
  int depth;
  int vocab_sizes[kMostBuildLevels];
  int widths[kMostBuildLevels];  // bits of a token
  DevicePointer<BuildReport> report;

  __device__ int64_t token(int64_t row, int level) const { return sids[row * depth + level]; }
};

__global__ void __launch_bounds__(kBuildThreads) check_sids(const __grid_constant__ SidArguments a) {
  const int64_t row = int64_t{blockIdx.x} * kBuildThreads + threadIdx.x;
  bool is_good = true, descends = false;
  uint64_t differing = 0;
  if (row < a.count) {
    for (int level = 0; level < a.depth; ++level) {
      const int64_t token = a.token(row, level);
      is_good &= 0 <= token && token < a.vocab_sizes[level];
    }
    descends = row > 0 && a.item_ids[row] <= a.item_ids[row - 1];
    differing = static_cast<uint64_t>(a.item_ids[row] ^ a.item_ids[0]);
  }
  for (int distance = 1; distance < kWarpSize; distance *= 2)
    differing |= __shfl_xor_sync(kFullWarp, differing, distance);
  const bool is_wrong = __syncthreads_or(!is_good);
  const bool any_descends = __syncthreads_or(descends);
  BuildReport& report = a.report[0];
  if (threadIdx.x % kWarpSize == 0 && differing != 0) {
    atomicOr(&report.differing_low, static_cast<uint32_t>(differing));
    atomicOr(&report.differing_high, static_cast<uint32_t>(differing >> 32));
  }
  if (threadIdx.x == 0 && is_wrong) report.is_wrong = 1;
  if (threadIdx.x == 0 && any_descends) report.descends = 1;
}

struct PackArguments {
  SidArguments sids;
  int begin, end;  // levels of the key
  bool starts;     // whether places are rows still
  DevicePointer<uint64_t> keys;
  DevicePointer<int32_t> rows;  // the row at each place
};

__global__ void __launch_bounds__(kBuildThreads) pack_keys(const __grid_constant__ PackArguments a) {
  const int64_t place = int64_t{blockIdx.x} * kBuildThreads + threadIdx.x;
  if (place >= a.sids.count) return;
  const int64_t row = a.starts ? place : a.rows[place];
  uint64_t key = 0;
  for (int level = a.begin; level < a.end; ++level)
    key = key << a.sids.widths[level] | static_cast<uint64_t>(a.sids.token(row, level));
  a.keys[place] = key;
  if (a.starts) a.rows[place] = static_cast<int32_t>(place);
}

struct PartArguments {
  SidArguments sids;
  DevicePointer<const int32_t> sorted;  // rows in the order of SIDs
  DevicePointer<int32_t> rows;          // a copy, because a sort ends in one of two arrays
  DevicePointer<uint8_t> partings;      // [count]: the first level at which a SID differs from its predecessor
  DevicePointer<uint32_t> counts;       // [depth, tiles]: nodes of level l + 1 that start in a tile
  int64_t tiles;
};

__global__ void __launch_bounds__(kBuildThreads) find_partings(const __grid_constant__ PartArguments a) {
  struct Histogram {
    uint32_t parted[kMostBuildLevels + 1];
  };
  RECOPS_SHARED(Histogram, histogram);
  const int depth = a.sids.depth;
  if (threadIdx.x <= kMostBuildLevels) histogram.parted[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = int64_t{blockIdx.x} * kBuildTile;
  const int64_t end = begin + kBuildTile < a.sids.count ? begin + kBuildTile : a.sids.count;
  for (int64_t i = begin + threadIdx.x; i < end; i += kBuildThreads) {
    int level = 0;
    const int64_t row = a.sorted[i];
    a.rows[i] = static_cast<int32_t>(row);
    if (i > 0) {
      const int64_t previous = a.sorted[i - 1];
      while (level < depth && a.sids.token(row, level) == a.sids.token(previous, level)) ++level;
    }
    a.partings[i] = static_cast<uint8_t>(level);
    atomicAdd(&histogram.parted[level], uint32_t{1});
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= depth) return;
  uint32_t nodes = 0;
  for (unsigned level = 0; level <= threadIdx.x; ++level) nodes += histogram.parted[level];
  a.counts[threadIdx.x * a.tiles + blockIdx.x] = nodes;
}

}  // namespace recops::trie::cuda
