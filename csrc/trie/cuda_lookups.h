// Launchers of the CUDA kernels of lookups in a trie. Free of torch. cuda.h says what every launcher may do.
//
// Some results have a size that only the data gives, or an error that must be raised. Their kernels write a Report to
// device memory, which the op reads.
#pragma once

#include <cstdint>

#include "common/indices.h"
#include "trie/cuda.h"

namespace recops::trie::cuda {

// Numbers that an op reads from the device. Zero before the launch.
struct Report {
  int64_t total;     // entries of a ragged result
  int64_t is_wrong;  // whether there is an error in the data; the composite names it
};

struct FindCall {
  TrieArrays trie;
  Indices sids;  // [count, length]
  int64_t count, length;
  int32_t* nodes;  // [count]: −1 if the trie lacks the SID, or where its arrays are inconsistent
};

int find(const FindCall&, void* stream);

struct ItemsCall {
  TrieArrays trie;
  int64_t depth, num_items;
  Indices nodes;     // [count]
  int64_t count;     // at least 1
  int64_t* offsets;  // [count + 1]
  void* workspace;   // items_workspace_bytes(count)
  Report* report;
};

int64_t items_workspace_bytes(int64_t count);

// Finds the items below each node: writes the offsets and report.total.
int find_items(const ItemsCall&, void* stream);

// items[offsets[i] + j] = item_ids[first item of node i + j], after find_items. `total` is that of the report.
int gather_items(const ItemsCall&, const int64_t* item_ids, int64_t total, int64_t* items, void* stream);

struct AllowedTokensCall {
  TrieArrays trie;
  Indices nodes;  // [count]
  int64_t count, vocab_size;
  bool* allowed;  // [count, vocab_size], zeros before
  Report* report;
};

int allowed_tokens(const AllowedTokensCall&, void* stream);

// Items of a trie: `order` holds the positions in ascending order of ids.
struct IndexedIds {
  const int64_t* ids;    // [count]
  const int32_t* order;  // [count]
  int64_t count;
};

// Ids of `rows` rows: row b has those from offsets[b] on.
struct RowsOfIds {
  const int64_t* ids;      // [count]
  const int64_t* offsets;  // [rows + 1]
  int64_t count, rows;
};

struct MaskCall {
  IndexedIds items;
  RowsOfIds ids;
  bool keep, missing_ok;
  void* words;  // [rows, ⌈items.count / 64⌉] of 64 bits
  Report* report;
};

// Sets the bits of the ids (keep), or of all other items. Reports a missing id unless missing_ok.
int mask_items(const MaskCall&, void* stream);

struct BansCall {
  IndexedIds tries[kMostTries];
  int64_t num_tries;
  Indices trie_index;  // [rows]; null: the first trie
  RowsOfIds ids;
  int32_t* positions;  // [ids.count]: ascending in each row; −1 for ids that the trie lacks
  Report* report;
};

int ban_items(const BansCall&, void* stream);

}  // namespace recops::trie::cuda
