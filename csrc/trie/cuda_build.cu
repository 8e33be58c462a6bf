// Launchers of the CUDA kernels that build a trie. cuda_build.h has their contract.
#include "trie/cuda_build.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "common/device_radix_sort.h"
#include "common/launch.h"
#include "trie/cuda_build_nodes.h"
#include "trie/cuda_build_sids.h"

namespace recops::trie::cuda {
namespace {

constexpr int kKeyBits = 64;

unsigned blocks_for(int64_t count, int64_t of_block) {
  return static_cast<unsigned>((count + of_block - 1) / of_block);
}

// Parts of the workspace, in order of their alignment.
struct BuildMemory {
  SortMemory sort{};
  unsigned long long* sums;
  uint32_t* counts;  // of nodes, and of sorts
  int32_t *rows, *positions;
  uint8_t* partings;
  int64_t bytes;

  BuildMemory(void* workspace, int64_t count, int64_t depth) {
    auto* next = static_cast<unsigned char*>(workspace);
    const auto take = [&](auto*& part, int64_t elements) {
      part = reinterpret_cast<std::remove_reference_t<decltype(part)>>(next);
      next += elements * static_cast<int64_t>(sizeof(*part));
    };
    take(sums, 3);
    take(sort.keys[0], count);
    take(sort.keys[1], count);
    take(sort.values[0], count);
    take(sort.values[1], count);
    take(rows, count);
    take(positions, count);
    take(sort.counts, sort_counts(count));
    take(counts, depth * blocks_for(count, kBuildTile));
    take(partings, count);
    bytes = next - static_cast<unsigned char*>(workspace);
  }
};

SidArguments sid_arguments(const BuildCall& call) {
  SidArguments a{};
  a.sids = device_integers(call.sids, call.count * call.depth);
  a.item_ids = device_pointer(call.item_ids, call.count);
  a.count = call.count;
  a.depth = static_cast<int>(call.depth);
  for (int64_t level = 0; level < call.depth; ++level) {
    a.vocab_sizes[level] = static_cast<int>(call.vocab_sizes[level]);
    a.widths[level] = std::bit_width(static_cast<uint64_t>(call.vocab_sizes[level] - 1));
  }
  a.report = device_pointer(call.report, 1);
  return a;
}

// Sorts by the levels before `end` that fit into one key, after those behind them. Returns the first of the levels.
cudaError_t sort_levels(const SidArguments& sids, SortMemory& memory, int& end, bool starts, cudaStream_t stream) {
  int begin = end, bits = 0;
  while (begin > 0 && bits + sids.widths[begin - 1] <= kKeyBits) bits += sids.widths[--begin];
  PackArguments a{};
  a.sids = sids;
  a.begin = begin;
  a.end = end;
  a.starts = starts;
  a.keys = device_pointer(memory.keys[0], sids.count);
  a.rows = device_pointer(memory.values[0], sids.count);
  end = begin;
  const cudaError_t error = launch(pack_keys, blocks_for(sids.count, kBuildThreads), kBuildThreads, 0, stream, a);
  return error == cudaSuccess ? radix_sort(memory, sids.count, bits, stream) : error;
}

PartArguments part_arguments(const BuildCall& call, const BuildMemory& memory) {
  PartArguments a{};
  a.sids = sid_arguments(call);
  a.sorted = device_pointer(static_cast<const int32_t*>(memory.sort.values[0]), call.count);
  a.rows = device_pointer(memory.rows, call.count);
  a.partings = device_pointer(memory.partings, call.count);
  a.tiles = blocks_for(call.count, kBuildTile);
  a.counts = device_pointer(memory.counts, call.depth * a.tiles);
  return a;
}

NodeArguments node_arguments(const BuildCall& call, const BuildReport& report, const BuildOutputs& outputs,
                             const BuildMemory& memory) {
  NodeArguments a{};
  a.parts = part_arguments(call, memory);
  a.starts[1] = 1;
  for (int64_t level = 1; level <= call.depth; ++level)
    a.starts[level + 1] = a.starts[level] + static_cast<int>(report.level_nodes[level - 1]);
  const int64_t num_nodes = a.starts[call.depth + 1];
  a.ids_ascend = report.descends == 0;
  a.first_child = device_pointer(outputs.first_child, num_nodes + 1);
  if (outputs.wide_tokens)
    a.wide_tokens = device_pointer(static_cast<int32_t*>(outputs.tokens), num_nodes);
  else
    a.narrow_tokens = device_pointer(static_cast<uint16_t*>(outputs.tokens), num_nodes);
  a.item_ids = device_pointer(outputs.item_ids, call.count);
  a.item_rows = device_pointer(outputs.item_rows, call.count);
  a.id_order = device_pointer(outputs.id_order, call.count);
  a.positions = device_pointer(memory.positions, call.count);
  return a;
}

// Bits that are enough to order the ids.
int id_bits(const BuildReport& report) {
  return std::bit_width(uint64_t{report.differing_high} << 32 | report.differing_low);
}

}  // namespace

int64_t build_workspace_bytes(int64_t count, int64_t depth) { return BuildMemory(nullptr, count, depth).bytes; }

int sort_sids(const BuildCall& call, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  BuildMemory memory(call.workspace, call.count, call.depth);
  const SidArguments sids = sid_arguments(call);
  cudaError_t error = launch(check_sids, blocks_for(call.count, kBuildThreads), kBuildThreads, 0, on, sids);
  int end = sids.depth;
  for (bool starts = true; error == cudaSuccess && end > 0; starts = false)
    error = sort_levels(sids, memory.sort, end, starts, on);
  if (error != cudaSuccess) return error;
  const PartArguments parts = part_arguments(call, memory);
  error = launch(find_partings, static_cast<unsigned>(parts.tiles), kBuildThreads, 0, on, parts);
  if (error != cudaSuccess) return error;
  return sum_tiles(parts.counts, call.depth, parts.tiles, device_pointer(call.report->level_nodes, kMostBuildLevels),
                   on);
}

int write_nodes(const BuildCall& call, const BuildReport& report, const BuildOutputs& outputs, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const BuildMemory memory(call.workspace, call.count, call.depth);
  HashArguments a{};
  a.nodes = node_arguments(call, report, outputs, memory);
  a.sums = device_pointer(memory.sums, 3);
  a.stamp = device_pointer(outputs.stamp, 1);
  // Each thread takes several elements, so that the sums of warps are few.
  const unsigned hash_blocks = std::min(1024u, blocks_for(a.nodes.starts[call.depth + 1], 8 * kBuildThreads));
  cudaError_t error = launch(fill_nodes, static_cast<unsigned>(a.nodes.parts.tiles), kBuildThreads, 0, on, a.nodes);
  if (error == cudaSuccess) error = launch(clear_sums, 1, 1, 0, on, a);
  if (error == cudaSuccess) error = launch(hash_arrays, hash_blocks, kBuildThreads, 0, on, a);
  if (error == cudaSuccess) error = launch(write_stamp, 1, 1, 0, on, a);
  return error;
}

int index_ids(const BuildCall& call, const BuildReport& report, const BuildOutputs& outputs, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  BuildMemory memory(call.workspace, call.count, call.depth);
  IdArguments a{};
  a.item_ids = device_pointer(call.item_ids, call.count);
  a.positions = device_pointer(static_cast<const int32_t*>(memory.positions), call.count);
  a.id_order = device_pointer(outputs.id_order, call.count);
  a.report = device_pointer(call.report, 1);
  a.count = call.count;
  const auto set_places = [&] {
    a.keys = device_pointer(memory.sort.keys[0], call.count);
    a.rows = device_pointer(memory.sort.values[0], call.count);
  };
  set_places();
  const unsigned blocks = blocks_for(call.count, kBuildThreads);
  cudaError_t error = launch(pack_ids, blocks, kBuildThreads, 0, on, a);
  if (error == cudaSuccess) error = radix_sort(memory.sort, call.count, id_bits(report), on);
  set_places();
  return error == cudaSuccess ? launch(write_id_order, blocks, kBuildThreads, 0, on, a) : error;
}

}  // namespace recops::trie::cuda
