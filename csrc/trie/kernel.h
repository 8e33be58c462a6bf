// One step of beam search in a trie, on raw pointers.
//
// For row b, each live beam m at node n = nodes[b, m] offers the children c of n with at least one allowed item below:
//
//   score(m, c) = (logits[b, m, token(c)] − normalizer(b, m)) + scores[b, m]
//
// The normalizer is the log-sum-exp of the whole row of logits (vocab) or of the offered children's logits (children),
// or 0 (none). It is subtracted in two parts, first a value near the largest logit. An offset that all logits of a row
// share therefore costs no digits.
//
// The result is the best `num_beams` candidates by score descending, then parent m, then token ascending. A score of
// −inf is not a candidate. The compute type is double for float64 logits and float for float32, bfloat16 and float16;
// scores have the compute type. Inputs and outputs do not overlap. Kernels do not allocate, throw or start threads.
//
// The beams of a row are divided into chunks. `scan` collects the best candidates of a chunk in the chunk's pool;
// `merge` selects from all pools of a row. The order of candidates is strict, so the result does not depend on the
// division or on the order of scanning. Scanning the best beams first is fastest.
//
//   beams in scanning order    0   1   2   3   4   5
//   chunk 0                    •       •       •          scan ──► pool 0: at most `keep` candidates;
//   chunk 1                        •       •       •      scan ──► pool 1: at most `keep` candidates;
//                                                         merge ──► the best num_beams of both pools.
//
// scan keeps a threshold, at most the num_beams-th best score so far, and skips what cannot exceed it. It skips a beam
// if its largest logit cannot pass, using a lower bound on the normalizer. Within a beam it skips blocks of logits by
// their maximum. If the children cover much of the vocabulary, scan compares the row in memory order and looks up only
// the few tokens that pass. The item filter is checked last, only for children that would win. The exception is
// `children`, where the filter determines the normalizer.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"
#include "trie/trie.h"

namespace recops::trie {

enum class Normalize { vocab, children, none };

struct BeamStep {
  Dtype dtype;          // of the logits
  int64_t beam_stride;  // distance between the logits of consecutive beams
  int64_t vocab;
  int64_t num_beams;
  Normalize normalize;
};

struct BeamRow {
  Trie trie;
  ItemFilter filter;     // selects the items that may be recommended
  const void* logits;    // element (m, v) at m · beam_stride + v
  const int32_t* nodes;  // [width]; −1: dead beam
  const void* scores;    // [width] of the compute type; −inf: dead beam
  const int32_t* order;  // [width]: order in which beams are scanned; null: ascending

  int64_t beam_at(int64_t place) const { return order == nullptr ? place : order[place]; }
};

struct BeamOutputs {  // [num_beams] each
  void* scores;       // of the compute type
  int32_t* tokens;
  int32_t* parents;
  int32_t* nodes;
};

struct Kernels {
  // Bytes of a pool for the best `keep` candidates.
  int64_t (*pool_bytes)(Dtype, int64_t keep);
  // Bytes of scratch for nodes with at most `max_children` children.
  int64_t (*scratch_bytes)(Dtype, int64_t max_children);

  // Scans the beams at positions begin, begin + stride, … below `width` of the order. Collects the best `keep`
  // candidates in `pool`, unordered, and returns their number. Returns −1 − position for the first beam with an error:
  // a child's token outside the vocabulary, or NaN or +inf among the logits that it reads. Those are the whole row for
  // vocab, otherwise the allowed children.
  int64_t (*scan)(const BeamStep&, const BeamRow&, int64_t begin, int64_t stride, int64_t width, int64_t keep,
                  void* pool, void* scratch);

  // Sorts the candidates of a row and writes the outputs. Chunk i has counts[i] candidates in the i-th of the
  // consecutive `pools`. Unused output positions get score −inf and index −1. Overwrites the pools.
  void (*merge)(const BeamStep&, const BeamRow&, int64_t keep, const int64_t* counts, int64_t chunks, void* pools,
                const BeamOutputs&);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::trie
