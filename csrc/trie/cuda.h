// Launchers of the CUDA kernels for tries. Free of torch: raw pointers, sizes and a stream.
//
// A launcher enqueues its kernels on the stream and returns cudaError_t as an int. It does not wait, allocate or read
// device memory, so it can be captured in a graph. The caller provides workspace, whose content may be anything.
//
// Kernels cannot throw. A row with an error in its data becomes NaN, and its indices −1: a node outside the trie, a
// trie whose arrays are inconsistent, a mask or bans of another version, a score of NaN in a live beam, a token without
// a logit, or NaN or +inf among the logits that are read. kernel.h says which are read.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/indices.h"
#include "trie/kernel.h"

namespace recops::trie::cuda {

// Larger sizes need the composite.
constexpr int64_t kMostRows = 1 << 23;   // of a batch
constexpr int64_t kMostBeams = 4096;     // beams before and after a step
constexpr int64_t kMostVocab = 1 << 20;  // columns of logits
constexpr int64_t kMostTries = 16;
constexpr int64_t kMostMaskedTokens = 1 << 20;  // columns of next logits
constexpr int64_t kMostLevels = 16;             // of the trie of next logits
constexpr int64_t kMostEndTokens = 16;

// A trie in device memory (trie.h), and the mask of its items.
struct TrieArrays {
  const int32_t* first_child;  // [num_nodes + 1]
  const void* tokens;          // [num_nodes]
  bool wide_tokens;            // int32 if true, else uint16
  int64_t num_nodes;
  const int64_t* stamp;       // [1]: version
  const uint64_t* mask;       // [rows of masks, mask_words]; null: every item is allowed
  int64_t mask_words;         // words of a mask
  bool mask_per_row;          // whether each row of the batch has a mask, or all share one
  const int64_t* mask_stamp;  // [1]
};

// Banned items: row b has the ascending positions [offsets[b], offsets[b + 1]). Null offsets: none.
struct Bans {
  const int32_t* positions;  // [count]
  int64_t count;
  const int64_t* offsets;  // [batch + 1]
  const int64_t* stamps;   // [num_tries]
};

// Tries and filters of the rows of a batch.
struct Batch {
  int64_t batch, depth;
  Indices trie_index;  // [batch]; null: the first trie
  TrieArrays tries[kMostTries];
  int64_t num_tries;
  Bans bans;
};

struct BeamStepCall : Batch {
  Dtype dtype;  // of the logits: f32, bf16 or f16
  Normalize normalize;
  int64_t beams, vocab, num_beams;
  const void* logits;               // element (b, m, v) at b · row_stride + m · beam_stride + v
  int64_t row_stride, beam_stride;  // at least 0
  Indices nodes;                    // [batch, beams]
  const float* scores;              // [batch, beams]
  float* new_scores;                // [batch, num_beams], like the other outputs
  int32_t *new_tokens, *parents, *new_nodes;
};

// Whether the kernels support a step of these sizes. The workspace depends on nothing else.
bool supports_beam_step(Dtype, int64_t batch, int64_t beams, int64_t vocab, int64_t num_beams, int64_t num_tries);
int64_t beam_step_workspace_bytes(int64_t batch, int64_t beams, int64_t vocab, int64_t num_beams);
int beam_step(const BeamStepCall&, void* workspace, void* stream);

// Items of a trie, by position, and their priors by row. Null priors: none.
struct ItemArrays {
  const int64_t* ids;   // [num_items]
  const int32_t* rows;  // [num_items]
  const float* priors;  // [num_items]
  int64_t num_items;
};

struct BeamItemsCall : Batch {
  int64_t beams, num_beams;
  Indices nodes;        // [batch, beams]: leaves, or −1
  const float* scores;  // [batch, beams]
  ItemArrays items[kMostTries];
  bool has_priors;
  int64_t* item_ids;  // [batch, num_beams]
  int32_t* sids;      // [batch, num_beams, depth]
  float* new_scores;  // [batch, num_beams]
};

// Whether the kernels support such a call.
bool supports_beam_items(int64_t batch, int64_t beams, int64_t num_beams, int64_t num_tries);
int64_t beam_items_workspace_bytes(int64_t batch, int64_t num_beams);
// The items of the best leaves: items_of_leaves of lookup.h for each row, and the SIDs and scores of their leaves.
int beam_items(const BeamItemsCall&, void* workspace, void* stream);

struct NextLogitsCall {
  Dtype dtype;
  int64_t rows, vocab, length;
  const void* logits;                  // [rows, vocab]
  void* out;                           // [rows, vocab]; may be `logits`
  const int64_t* sequences;            // [rows, length]
  int64_t prompt_length, begin_token;  // SidStart
  TrieArrays trie;                     // mask_per_row: a mask for each `rows_per_mask` rows
  int64_t num_masks, rows_per_mask;
  int64_t depth;
  int64_t level_begins[kMostLevels + 1];  // TokenMap
  const int32_t* model_tokens;            // [level_begins[depth]]
  const int32_t* trie_tokens;             // [depth, width]
  int64_t width;
  int64_t end_tokens[kMostEndTokens];  // columns
  int64_t num_end_tokens;
};

// Whether the kernel supports next logits of these sizes. It needs no workspace.
bool supports_next_logits(int64_t rows, int64_t vocab, int64_t depth, int64_t num_end_tokens);
int next_logits(const NextLogitsCall&, void* stream);

}  // namespace recops::trie::cuda
