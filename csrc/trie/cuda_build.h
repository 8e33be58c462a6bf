// Launchers of the CUDA kernels that build a trie from semantic IDs. Free of torch. cuda.h says what every launcher may
// do. The arrays are those of build.h, bit for bit.
//
// The number of nodes depends on the data, so the op reads a report between the launchers: sort_sids, read,
// write_nodes, and, if the ids do not ascend, index_ids and another read. On an error the composite names it.
#pragma once

#include <cstdint>

#include "common/indices.h"

namespace recops::trie::cuda {

constexpr int kMostBuildLevels = 32;  // deeper tries need the composite

// Results of sort_sids that the op reads. Zero before the launch.
struct BuildReport {
  uint32_t is_wrong;                       // a token outside its vocabulary, or a repeated id
  uint32_t descends;                       // whether the ids do not ascend
  uint32_t differing_low, differing_high;  // bits in which ids differ
  uint32_t level_nodes[kMostBuildLevels];  // nodes of levels 1 … depth
};

struct BuildCall {
  Indices sids;  // [count, depth]
  const int64_t* item_ids;
  int64_t count, depth;        // at least 1; fewer than 2^31 items
  const int64_t* vocab_sizes;  // [depth], in host memory
  void* workspace;             // build_workspace_bytes(count, depth)
  BuildReport* report;
};

int64_t build_workspace_bytes(int64_t count, int64_t depth);

// Sorts the SIDs and counts the nodes of each level.
int sort_sids(const BuildCall&, void* stream);

struct BuildOutputs {
  int32_t* first_child;  // [num_nodes + 1]
  void* tokens;          // [num_nodes]
  bool wide_tokens;      // int32 if true, else uint16
  int64_t* item_ids;     // [count], like the other outputs
  int32_t *item_rows, *id_order;
  int64_t* stamp;  // [1]
};

// Fills the arrays, after sort_sids. `report` is a copy in host memory. id_order is complete if the ids ascend.
int write_nodes(const BuildCall&, const BuildReport& report, const BuildOutputs&, void* stream);

// Fills id_order, after write_nodes. Sets is_wrong of the call's report if an id is repeated.
int index_ids(const BuildCall&, const BuildReport& report, const BuildOutputs&, void* stream);

}  // namespace recops::trie::cuda
