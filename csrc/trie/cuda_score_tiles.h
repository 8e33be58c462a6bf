// First kernel of a beam search step: a block takes a tile of consecutive beams of a row of the batch. One warp (or
// all) computes the log-sum-exp of a beam's logits. Then the block offers the children of these beams to its Selection,
// and writes the tile's best candidates to the workspace.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "trie/cuda_batch.h"
#include "trie/cuda_beam_step.h"
#include "trie/cuda_candidate.h"
#include "trie/cuda_log_sum_exp.h"
#include "trie/cuda_selection.h"
#include "trie/cuda_trie.h"

namespace recops::trie::cuda {

constexpr int kTileThreads = 256, kTileWarps = kTileThreads / kWarpSize, kTilePerThread = 4;
using TileSelection = Selection<kTileThreads, kTilePerThread>;

// Blocks per multiprocessor. With a warp per beam, four blocks have enough loads in flight for its bandwidth. With a
// block per beam the grid is small, and registers matter more.
constexpr int blocks_per_processor(int warps_per_beam) { return warps_per_beam == 1 ? 4 : 2; }

// A beam whose children are offered.
struct BeamState {
  int begin, count;  // children
  int parent;
  float score;
  float reference, log_sum;  // parts of the normalizer
};

struct TileState {
  SelectionState selection;
  RowContext row;
  BeamState beams[kTileWarps];
  SumParts sums[kTileWarps];
  int is_wrong;
};

template <class S, int kWarpsPerBeam>
class TileScorer {
 public:
  static constexpr int kBeamsAtOnce = kTileWarps / kWarpsPerBeam;
  static constexpr int kThreadsPerBeam = kWarpsPerBeam * kWarpSize;

  __device__ TileScorer(const BeamStepArguments& a, const Logits<S>& logits, int b, TileState& shared,
                        DevicePointer<Key> keys)
      : a_(a),
        trie_(a.tries[shared.row.trie]),
        logits_(logits.values + b * logits.row_stride),
        beam_stride_(logits.beam_stride),
        b_(b),
        shared_(shared),
        selection_(shared.selection, keys, a.keep) {
    filter_ = filter_of(a, shared.row, b);
  }

  __device__ void run(int first_beam, int end_beam) {
    for (int first = first_beam; first < end_beam; first += kBeamsAtOnce) {
      const int slot = static_cast<int>(threadIdx.x) / kThreadsPerBeam, beam = first + slot;
      const BeamState state = prepare(beam, beam < end_beam);
      if (threadIdx.x % kThreadsPerBeam == 0) shared_.beams[slot] = state;
      __syncthreads();
      offer_children();
    }
  }

  __device__ void write(DevicePointer<Key> keys, TileResult& result) {
    const int count = selection_.finish();
    for (int i = threadIdx.x; i < count; i += kTileThreads) keys[i] = selection_[i];
    if (threadIdx.x == 0) result = {selection_.cut(), count, shared_.is_wrong};
  }

 private:
  // Checks a beam and computes its normalizer. All threads of the beam get the same state.
  __device__ BeamState prepare(int beam, bool exists) {
    BeamState state{0, 0, beam, 0.0f, 0.0f, 0.0f};
    if (exists) read_beam(state);
    if (a_.normalize == Normalize::none || state.count == 0) return state;
    RunningSum sum;
    if (a_.normalize == Normalize::vocab)
      take_row<S, kThreadsPerBeam>(sum, row_of(state), a_.vocab, threadIdx.x % kThreadsPerBeam);
    else
      take_children(sum, state);
    sum.merge_lanes();
    if constexpr (kWarpsPerBeam > 1) merge_warps(sum);
    if (!sum.is_valid()) set_wrong();
    // The order of floating-point operations gives no child a higher score than the largest logit.
    state.reference = sum.reference();
    state.log_sum = logf(sum.sum);
    const float best = (sum.max - state.reference) - state.log_sum + state.score;
    if (!sum.is_valid() || !(best > -kInfinity) || !selection_.wants(key_of(best, 0, 0))) state.count = 0;
    return state;
  }

  __device__ void read_beam(BeamState& state) {
    const int64_t index = int64_t{b_} * a_.beams + state.parent, node = a_.nodes[index];
    if (node == -1) return;
    state.score = a_.scores[index];
    bool is_good = 0 <= node && node < trie_.num_nodes && state.score == state.score;
    if (is_good) {
      const Range children = trie_.children(static_cast<int>(node), is_good);
      is_good &= children.count() <= a_.vocab;
      if (is_good && state.score > -kInfinity) {
        state.begin = children.begin;
        state.count = children.count();
      }
    }
    if (!is_good) set_wrong();
  }

  // Adds the logits of the allowed children.
  __device__ void take_children(RunningSum& sum, const BeamState& state) {
    for (int i = threadIdx.x % kThreadsPerBeam; i < state.count; i += kThreadsPerBeam) {
      const int token = trie_.token(state.begin + i);
      if (!has_logit(token))
        set_wrong();
      else if (is_allowed(state.begin + i))
        sum.take(to_float(row_of(state)[token]));
    }
  }

  // Merges the sums of the block's warps in a fixed order.
  __device__ void merge_warps(RunningSum& sum) {
    const int warp = threadIdx.x / kWarpSize;
    if (threadIdx.x % kWarpSize == 0) shared_.sums[warp] = sum;
    __syncthreads();
    sum = RunningSum();
    for (int w = 0; w < kTileWarps; ++w) sum.merge(shared_.sums[w]);
    __syncthreads();
  }

  // Offers the children of the beams in shared memory, in rounds. A round's children are consecutive, so that threads
  // have equal work although beams have different numbers of children.
  __device__ void offer_children() {
    int total = 0;
    for (int slot = 0; slot < kBeamsAtOnce; ++slot) total += shared_.beams[slot].count;
    for (int begin = 0; begin < total; begin += TileSelection::kRound) {
      Key keys[kTilePerThread];
      const bool has_bad_logit = score_round(begin, total, keys);
      if (has_bad_logit || !filter_.allows_all()) remove_disallowed(begin, keys);
      RECOPS_UNROLL
      for (int step = 0; step < kTilePerThread; ++step) selection_.add(keys[step] != 0, keys[step]);
      selection_.settle();
    }
    __syncthreads();  // the beams in shared memory may change
  }

  // A child of a beam in shared memory.
  struct Child {
    int slot;   // of the beam
    int index;  // among the children of the beam
  };

  // The i-th child of all beams. Without branches, so that the reads of a round can overlap.
  __device__ Child child_at(int i) const {
    Child child{0, i};
    RECOPS_UNROLL
    for (int slot = 0; slot < kBeamsAtOnce - 1; ++slot) {
      const int count = shared_.beams[slot].count;
      const bool is_later = child.slot == slot && child.index >= count;
      child.index -= is_later ? count : 0;
      child.slot += is_later;
    }
    return child;
  }

  __device__ int position_in_round(int begin, int step) const {
    return begin + step * kTileThreads + static_cast<int>(threadIdx.x);
  }

  // Computes the keys of this thread's children of a round. A key is 0 if the child is not among the best so far.
  // Returns whether a key is kBadLogit.
  __device__ bool score_round(int begin, int total, Key (&keys)[kTilePerThread]) {
    bool has_bad_logit = false;
    int tokens[kTilePerThread];
    float logits[kTilePerThread];
    RECOPS_UNROLL
    for (int step = 0; step < kTilePerThread; ++step) {
      const int i = position_in_round(begin, step);
      const Child child = child_at(i < total ? i : 0);
      tokens[step] = trie_.token(shared_.beams[child.slot].begin + child.index);
    }
    RECOPS_UNROLL
    for (int step = 0; step < kTilePerThread; ++step) {
      const int i = position_in_round(begin, step);
      const BeamState& beam = shared_.beams[child_at(i < total ? i : 0).slot];
      logits[step] = to_float(row_of(beam)[has_logit(tokens[step]) ? tokens[step] : 0]);
    }
    RECOPS_UNROLL
    for (int step = 0; step < kTilePerThread; ++step) {
      const int i = position_in_round(begin, step);
      keys[step] = i < total ? candidate(child_at(i), tokens[step], logits[step]) : 0;
      has_bad_logit |= keys[step] == kBadLogit;
    }
    return has_bad_logit;
  }

  __device__ Key candidate(Child child, int token, float logit) {
    const BeamState& beam = shared_.beams[child.slot];
    if (!has_logit(token)) {
      set_wrong();
      return 0;
    }
    if (!(logit < kInfinity)) return kBadLogit;
    const float score = ((logit - beam.reference) - beam.log_sum) + beam.score;
    if (!(score > -kInfinity)) return 0;
    const Key key = key_of(score, beam.parent, child.index);
    return selection_.wants(key) ? key : 0;
  }

  // Sets the keys of disallowed children and of bad logits to 0. One loop with one lookup needs fewer registers than
  // four lookups.
  __device__ void remove_disallowed(int begin, Key (&keys)[kTilePerThread]) {
    RECOPS_KEEP_LOOP
    for (int step = 0; step < kTilePerThread; ++step) {
      Key key = 0;
      RECOPS_UNROLL
      for (int other = 0; other < kTilePerThread; ++other) key = other == step ? keys[other] : key;
      if (key == 0) continue;
      const Child child = child_at(position_in_round(begin, step));
      const bool is_child = is_allowed(shared_.beams[child.slot].begin + child.index);
      if (is_child && key == kBadLogit) set_wrong();  // with a normalizer, prepare() has noticed it
      const bool is_gone = !is_child || key == kBadLogit;
      RECOPS_UNROLL
      for (int other = 0; other < kTilePerThread; ++other) keys[other] = other == step && is_gone ? 0 : keys[other];
    }
  }

  __device__ bool has_logit(int token) const { return 0 <= token && token < a_.vocab; }

  __device__ bool is_allowed(int child) const {
    return filter_.allows_all() || filter_.allows_any(trie_.items_below(child, a_.depth, shared_.row.num_items));
  }

  __device__ DevicePointer<const S> row_of(const BeamState& state) const {
    return logits_ + state.parent * beam_stride_;
  }

  __device__ void set_wrong() { atomicOr(&shared_.is_wrong, 1); }

  const BeamStepArguments& a_;
  const DeviceTrie& trie_;
  DevicePointer<const S> logits_;  // of the row of the batch
  int64_t beam_stride_;
  int b_;
  TileState& shared_;
  TileSelection selection_;
  DeviceFilter filter_;
};

template <class S, int kWarpsPerBeam>
__global__ void __launch_bounds__(kTileThreads, blocks_per_processor(kWarpsPerBeam))
    score_tiles(const __grid_constant__ BeamStepArguments a, const __grid_constant__ Logits<S> logits) {
  RECOPS_SHARED(TileState, shared);
  RECOPS_DYNAMIC_SHARED(memory);
  const int b = blockIdx.x / a.tiles, tile = blockIdx.x % a.tiles;
  if (threadIdx.x == 0) {
    shared.row = read_row(a, b);
    shared.is_wrong = shared.row.is_wrong;
  }
  __syncthreads();
  TileScorer<S, kWarpsPerBeam> scorer(a, logits, b, shared,
                                      shared_array<Key>(memory, 0, TileSelection::capacity(a.keep)));
  const int first = tile * a.beams_per_tile, end = first + a.beams_per_tile;
  if (!shared.row.is_wrong) scorer.run(first, end < a.beams ? end : a.beams);
  scorer.write(a.tile_keys + int64_t{static_cast<int>(blockIdx.x)} * a.keep, a.tile_results[blockIdx.x]);
}

}  // namespace recops::trie::cuda
