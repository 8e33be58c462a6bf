// Stable least-significant-digit radix sort on a GPU of 64-bit keys, which take a 32-bit value along.
//
// A pass sorts by 8 bits in three launches: count_digits counts the digits of each tile of keys, sum_tiles sums the
// counts of earlier tiles, and move_keys writes each key to its place. A key's place follows from counts alone, so the
// order of threads does not matter.
#pragma once

#include <cstdint>
#include <utility>

#include "common/device.h"
#include "common/device_prefix_sums.h"
#include "common/launch.h"

namespace recops {

constexpr int kSortThreads = 256, kSortWarps = kSortThreads / kWarpSize;
constexpr int kKeysPerThread = 16, kSortTile = kSortThreads * kKeysPerThread;
constexpr int kSortDigitBits = 8, kSortDigits = 1 << kSortDigitBits;
static_assert(kSortDigits == kSortThreads);

struct SortArguments {
  DevicePointer<const uint64_t> keys;
  DevicePointer<const int32_t> values;
  DevicePointer<uint64_t> new_keys;
  DevicePointer<int32_t> new_values;
  DevicePointer<uint32_t> counts;  // [kSortDigits, tiles]
  DevicePointer<uint32_t> totals;  // [kSortDigits]
  int64_t count, tiles;
  int shift;

  __device__ int digit(uint64_t key) const { return static_cast<int>(key >> shift & (kSortDigits - 1)); }
};

// A template only so that several files may include it.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) count_digits(const __grid_constant__ SortArguments a) {
  struct Histogram {
    uint32_t counts[kSortDigits];
  };
  RECOPS_SHARED(Histogram, histogram);
  histogram.counts[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = int64_t{blockIdx.x} * kSortTile;
  const int64_t end = begin + kSortTile < a.count ? begin + kSortTile : a.count;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads)
    atomicAdd(&histogram.counts[a.digit(a.keys[i])], uint32_t{1});
  __syncthreads();
  a.counts[threadIdx.x * a.tiles + blockIdx.x] = histogram.counts[threadIdx.x];
}

// Lanes of the warp with this lane's digit. Lanes that are not active have none.
__device__ __forceinline__ unsigned lanes_with_digit(int digit, bool is_active) {
  unsigned lanes = __ballot_sync(kFullWarp, is_active);
  RECOPS_UNROLL
  for (int bit = 0; bit < kSortDigitBits; ++bit) {
    const bool has_bit = (digit >> bit & 1) != 0;
    const unsigned with_bit = __ballot_sync(kFullWarp, has_bit);
    lanes &= has_bit ? with_bit : ~with_bit;
  }
  return lanes;
}

// A warp takes consecutive keys of the tile, 32 at a time. Two blocks fit a multiprocessor of an H100.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, 2) move_keys(const __grid_constant__ SortArguments a) {
  struct State {
    uint32_t counts[kSortWarps][kSortDigits];  // keys so far, then the place of the warp's first key
    WarpSums<uint32_t, kThreads> sums;
  };
  RECOPS_SHARED(State, shared);
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize, digit_of_thread = threadIdx.x;
  for (int w = 0; w < kSortWarps; ++w) shared.counts[w][digit_of_thread] = 0;
  const int64_t begin = int64_t{blockIdx.x} * kSortTile + warp * kKeysPerThread * kWarpSize + lane;
  uint64_t keys[kKeysPerThread];
  uint32_t ranks[kKeysPerThread];  // among the warp's keys with the digit
  RECOPS_UNROLL
  for (int i = 0; i < kKeysPerThread; ++i) {
    const int64_t at = begin + i * kWarpSize;
    keys[i] = at < a.count ? a.keys[at] : 0;
  }
  __syncthreads();
  RECOPS_UNROLL
  for (int i = 0; i < kKeysPerThread; ++i) {
    const int digit = a.digit(keys[i]);
    const unsigned equal = lanes_with_digit(digit, begin + i * kWarpSize < a.count),
                   before = equal & ((1u << lane) - 1);
    ranks[i] = shared.counts[warp][digit] + static_cast<uint32_t>(__popc(before));
    __syncwarp();
    if (equal != 0 && before == 0 && (equal >> lane & 1) != 0)
      shared.counts[warp][digit] += static_cast<uint32_t>(__popc(equal));
    __syncwarp();
  }
  __syncthreads();

  uint32_t total;
  uint32_t place = exclusive_sum<uint32_t, kThreads>(a.totals[digit_of_thread], shared.sums, total) +
                   a.counts[digit_of_thread * a.tiles + blockIdx.x];
  for (int w = 0; w < kSortWarps; ++w) {
    const uint32_t count = shared.counts[w][digit_of_thread];
    shared.counts[w][digit_of_thread] = place;
    place += count;
  }
  __syncthreads();
  RECOPS_UNROLL
  for (int i = 0; i < kKeysPerThread; ++i) {
    const int64_t at = begin + i * kWarpSize;
    if (at >= a.count) break;
    const uint32_t to = shared.counts[warp][a.digit(keys[i])] + ranks[i];
    a.new_keys[to] = keys[i];
    a.new_values[to] = a.values[at];
  }
}

// Memory of a sort of up to 2^31 − 1 keys. After radix_sort, keys[0] and values[0] hold the result.
struct SortMemory {
  uint64_t* keys[2];
  int32_t* values[2];
  uint32_t* counts;  // sort_counts(count)
};

inline int64_t sort_counts(int64_t count) { return kSortDigits * ((count + kSortTile - 1) / kSortTile + 1); }

// Sorts keys[0] and values[0] by the low `bits` of the keys. Equal ones keep their order.
inline cudaError_t radix_sort(SortMemory& memory, int64_t count, int bits, cudaStream_t stream) {
  SortArguments a{};
  a.count = count;
  a.tiles = (count + kSortTile - 1) / kSortTile;
  a.counts = device_pointer(memory.counts, kSortDigits * a.tiles);
  a.totals = device_pointer(memory.counts + kSortDigits * a.tiles, kSortDigits);
  const auto blocks = static_cast<unsigned>(a.tiles);
  for (a.shift = 0; a.shift < bits; a.shift += kSortDigitBits) {
    a.keys = device_pointer(static_cast<const uint64_t*>(memory.keys[0]), count);
    a.values = device_pointer(static_cast<const int32_t*>(memory.values[0]), count);
    a.new_keys = device_pointer(memory.keys[1], count);
    a.new_values = device_pointer(memory.values[1], count);
    cudaError_t error = launch(count_digits<kSortThreads>, blocks, kSortThreads, 0, stream, a);
    if (error == cudaSuccess) error = sum_tiles(a.counts, kSortDigits, a.tiles, a.totals, stream);
    if (error == cudaSuccess) error = launch(move_keys<kSortThreads>, blocks, kSortThreads, 0, stream, a);
    if (error != cudaSuccess) return error;
    std::swap(memory.keys[0], memory.keys[1]);
    std::swap(memory.values[0], memory.values[1]);
  }
  return cudaSuccess;
}

}  // namespace recops
