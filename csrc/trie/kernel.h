// One step of beam search in a trie, on raw pointers.
//
// For row b, every live beam m at node n = nodes[b, m] offers each child c of n with an item below it that the filter
// allows:
//
//   score(m, c) = (logits[b, m, token(c)] − normalizer(b, m)) + scores[b, m]
//
// where the normalizer is the log-sum-exp of the whole row of logits (vocab), of the offered children's logits
// (children), or 0 (none). It is subtracted in two parts, about the largest logit first: an offset that all of a row's
// logits share costs a score no digits. The best `num_beams` are wanted, by score descending, then parent m, then token
// ascending; a score of −inf is no candidate. Logits stored as float, bfloat16 or float16 are computed with as float,
// double as double ("the compute type"); so are the scores. Nothing read here overlaps what is written. No kernel
// allocates, throws or starts a thread.
//
// The beams of a row are dealt to chunks. `scan` leaves a chunk's best in a pool of its own, `merge` picks from the
// pools of a row. The order of candidates is strict, so the result depends neither on the division nor on the order in
// which beams are scanned; best first is fastest.
//
// scan holds a threshold, no better than the num_beams-th best so far. Whatever does not pass it goes unlooked-at: a
// beam whose largest logit does not, by a normalizer known to be at least so large, and within a beam blocks of logits
// by their maximum. Where the children are a good part of the vocabulary, the row is compared as it lies, and only the
// few tokens that pass are looked up among the children. The mask is asked last, about children that would win, except
// under `children`, where it decides the normalizer.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/isa.h"
#include "trie/trie.h"

namespace recops::trie {

enum class Normalize { vocab, children, none };

struct BeamStep {
  Dtype dtype;          // of the logits
  int64_t beam_stride;  // from one beam's logits to the next one's
  int64_t vocab;
  int64_t num_beams;
  Normalize normalize;
};

struct BeamRow {
  Trie trie;
  ItemFilter filter;     // of the items to recommend
  const void* logits;    // element (m, v) at m · beam_stride + v
  const int32_t* nodes;  // [width]; −1: dead
  const void* scores;    // [width] of the compute type; −inf: dead
  const int32_t* order;  // [width]: the beams in the order in which to scan them; null: as they come

  int64_t beam_at(int64_t place) const { return order == nullptr ? place : order[place]; }
};

struct BeamOutputs {  // [num_beams] each
  void* scores;       // of the compute type
  int32_t* tokens;
  int32_t* parents;
  int32_t* nodes;
};

struct Kernels {
  // Bytes of a pool that finds the best `keep`.
  int64_t (*pool_bytes)(Dtype, int64_t keep);
  // Bytes of scratch for scanning nodes of at most so many children.
  int64_t (*scratch_bytes)(Dtype, int64_t max_children);

  // Scans the beams at places begin, begin + stride, … below `width` of the order, and leaves the best `keep`
  // candidates in `pool`, in any order. Returns their number; −1 − place where the beam at that place, the first such,
  // has a NaN or +inf among the logits that it reads, the whole row for vocab, the allowed children's else; or where a
  // child's token is beyond the vocabulary.
  int64_t (*scan)(const BeamStep&, const BeamRow&, int64_t begin, int64_t stride, int64_t width, int64_t keep,
                  void* pool, void* scratch);

  // Sorts the counts[0] + … + counts[chunks − 1] candidates of a row, chunk i's in the i-th of its `pools`, which
  // follow one another, and writes the outputs; places that no candidate takes get score −inf and −1. Destroys the
  // pools.
  void (*merge)(const BeamStep&, const BeamRow&, int64_t keep, const int64_t* counts, int64_t chunks, void* pools,
                const BeamOutputs&);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::trie
