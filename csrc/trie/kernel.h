// One step of beam search in a trie, on raw pointers.
//
// For row b, every live beam m at node n = nodes[b, m] offers each child c of n with an allowed item below it:
//
//   score(m, c) = (logits[b, m, token(c)] − normalizer(b, m)) + scores[b, m]
//
// where the normalizer is the log-sum-exp of the whole row of logits (vocab), of the offered children's logits
// (children), or 0 (none). The best `num_beams` are wanted, by score descending, then parent m, then token ascending; a
// score of −inf is no candidate. Logits stored as float, bfloat16 or float16 are computed with as float, double as
// double ("the compute type"); so are the scores. Nothing read here overlaps what is written. No kernel allocates,
// throws or starts a thread.
//
// The beams of a row are divided into chunks. `scan` leaves a chunk's best in a pool of its own, `merge` picks from the
// pools of a row. The order of candidates is strict, so the result does not depend on the division.
//
// scan holds a threshold, the num_beams-th best score so far. Beams come in order, so that a later tie always loses,
// and whatever does not pass the threshold can go unlooked-at: a beam whose largest logit does not, by a normalizer
// known to be at least so large, and within a beam blocks of children by their maximum. The mask is asked last, about
// children that would win, except under `children`, where it decides the normalizer.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "isa.h"
#include "trie/trie.h"

namespace recops::trie {

enum class Normalize { vocab, children, none };

struct BeamStep {
  Trie trie;
  const void* logits;  // element (b, m, v) at b · batch_stride + m · beam_stride + v
  Dtype dtype;
  int64_t batch_stride, beam_stride;
  int64_t vocab;
  const int32_t* nodes;  // [batch, width]; −1: dead
  const void* scores;    // [batch, width] of the compute type; −inf: dead
  int64_t width;
  int64_t num_beams;
  Normalize normalize;
  MaskBits mask;        // null: all items
  int64_t mask_stride;  // words from one row's mask to the next one's; 0: all rows share one
};

struct BeamOutputs {  // [batch, num_beams] each
  void* scores;       // of the compute type
  int32_t* tokens;
  int32_t* parents;
  int32_t* nodes;
};

struct Kernels {
  int64_t (*candidate_bytes)(Dtype);
  // Bytes of scratch for scanning nodes of at most so many children.
  int64_t (*scratch_bytes)(const BeamStep&, int64_t max_children);

  // Scans beams begin up to end of row `row` and leaves the best `keep` candidates in `pool`, in any order.
  // Returns their number; −1 − m where beam m, the first such, has a NaN or +inf among the logits that it reads: the
  // whole row for vocab, the allowed children's else.
  int64_t (*scan)(const BeamStep&, int64_t row, int64_t begin, int64_t end, int64_t keep, void* pool, void* scratch);

  // Sorts the counts[0] + … + counts[chunks − 1] candidates of a row, chunk i's at `pools` + i · keep, and writes
  // the row of outputs; places that no candidate takes get score −inf and −1. Destroys the pools.
  void (*merge)(const BeamStep&, int64_t row, int64_t keep, const int64_t* counts, int64_t chunks, void* pools,
                const BeamOutputs&);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::trie
