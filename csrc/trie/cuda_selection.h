// Selection of the largest keys by a block of threads.
//
// Keys are distinct 64-bit integers. A block collects them in a buffer. When the buffer is full, a radix selection
// finds the smallest of the best `keep`, and the buffer is reduced to those. Counting uses integer atomics, so the
// result does not depend on the order in which threads add keys.
#pragma once

#include <cstdint>

#include "common/device.h"

namespace recops::trie::cuda {

using Key = uint64_t;

constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kKeyBits = 64;

struct SelectionState {
  unsigned histogram[kDigits];
  unsigned warp_counts[32];
  unsigned size;      // keys in the buffer
  unsigned reduced;   // keys that remain, during a reduction
  unsigned digit;     // chosen digit of the current pass
  unsigned rank;      // rank of the wanted key among those with the chosen digits, from 1 on
  unsigned in_digit;  // keys with the chosen digits
  Key cut;            // smaller keys are not among the best
};

// Buffer for the best `keep` keys of a block that adds at most kThreads · kPerThread keys between two calls of
// settle().
template <int kThreads, int kPerThread>
class Selection {
 public:
  static constexpr int kRound = kThreads * kPerThread;

  // A reduction costs more than a round. Room for several rounds makes reductions rare.
  __host__ __device__ static constexpr int64_t capacity(int64_t keep) {
    return keep + (keep > 2 * kRound ? keep : 2 * kRound);
  }

  __device__ Selection(SelectionState& state, DevicePointer<Key> keys, int keep)
      : state_(state), keys_(keys), keep_(keep) {
    if (threadIdx.x == 0) {
      state_.size = 0;
      state_.cut = 0;
    }
    __syncthreads();
  }

  // Whether the key may be among the best. Key 0 never is.
  __device__ bool wants(Key key) const { return key > state_.cut; }
  __device__ Key cut() const { return state_.cut; }

  // Raises the cut. All threads of the block call it with the same value.
  __device__ void raise_cut(Key cut) {
    if (threadIdx.x == 0) state_.cut = cut;
    __syncthreads();
  }

  // Adds the keys of the lanes with `is_wanted`. All lanes of the warp call it.
  __device__ void add(bool is_wanted, Key key) {
    const unsigned wanting = __ballot_sync(kFullWarp, is_wanted);
    if (wanting == 0) return;
    const unsigned lane = threadIdx.x % kWarpSize;
    unsigned begin = 0;
    if (lane == 0) begin = atomicAdd(&state_.size, static_cast<unsigned>(__popc(wanting)));
    begin = __shfl_sync(kFullWarp, begin, 0);
    if (is_wanted) keys_[begin + __popc(wanting & ((1u << lane) - 1))] = key;
  }

  // Ends a round. All threads of the block call it.
  __device__ void settle() {
    __syncthreads();
    const bool is_full = state_.size > capacity(keep_) - kRound;
    __syncthreads();  // a fast warp must not add keys before all have read the size
    if (is_full) reduce();
  }

  // Reduces the buffer to the best and returns their number.
  __device__ int finish() {
    __syncthreads();
    if (state_.size > static_cast<unsigned>(keep_)) reduce();
    return static_cast<int>(state_.size);
  }

  // Sorts the buffer, the largest key first. Needs finish(). Bitonic: the order of comparisons is fixed.
  __device__ void sort() {
    int size = 1;
    while (size < static_cast<int>(state_.size)) size *= 2;
    for (int i = static_cast<int>(state_.size + threadIdx.x); i < size; i += kThreads) keys_[i] = 0;
    __syncthreads();
    for (int run = 2; run <= size; run *= 2)
      for (int distance = run / 2; distance > 0; distance /= 2) {
        for (int i = threadIdx.x; i < size / 2; i += kThreads) {
          const int low = 2 * i - (i & (distance - 1));
          const bool is_descending = (low & run) == 0;
          const Key a = keys_[low], b = keys_[low + distance];
          if (is_descending ? a < b : a > b) {
            keys_[low] = b;
            keys_[low + distance] = a;
          }
        }
        __syncthreads();
      }
  }

  __device__ Key operator[](int i) const { return keys_[i]; }

 private:
  __device__ void reduce() {
    const Key cut = find_cut();
    const int size = static_cast<int>(state_.size);
    if (threadIdx.x == 0) state_.reduced = 0;
    for (int begin = 0; begin < size; begin += kThreads) {
      const int i = begin + static_cast<int>(threadIdx.x);
      const Key key = i < size ? keys_[i] : 0;
      // Keys move only to positions that have been read.
      __syncthreads();
      if (key != 0 && key >= cut) keys_[atomicAdd(&state_.reduced, 1u)] = key;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      state_.size = state_.reduced;
      state_.cut = cut > state_.cut ? cut : state_.cut;
    }
    __syncthreads();
  }

  // Returns a key that exactly `keep` keys reach. Fixes one digit of it after another, from the highest.
  __device__ Key find_cut() {
    if (threadIdx.x == 0) state_.rank = static_cast<unsigned>(keep_);
    Key prefix = 0;
    for (int shift = kKeyBits;;) {
      const int bits = shift < kDigitBits ? shift : kDigitBits;
      const int below = shift - bits;
      count_digits(prefix, shift, below, (1u << bits) - 1);
      choose_digit();
      prefix = prefix << bits | state_.digit;
      shift = below;
      if (state_.in_digit == state_.rank || shift == 0) return prefix << shift;
    }
  }

  // Counts the digits [below, shift) of the keys whose higher digits are `prefix`.
  __device__ void count_digits(Key prefix, int shift, int below, unsigned mask) {
    for (int i = threadIdx.x; i < kDigits; i += kThreads) state_.histogram[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < static_cast<int>(state_.size); i += kThreads) {
      const Key key = keys_[i];
      if (shift == kKeyBits || key >> shift == prefix)
        atomicAdd(&state_.histogram[static_cast<unsigned>(key >> below) & mask], 1u);
    }
    __syncthreads();
  }

  // Finds the digit of the key with the wanted rank. Each thread sums consecutive digits, from the highest on.
  __device__ void choose_digit() {
    constexpr int kShare = kDigits / kThreads;
    const int first = kDigits - 1 - static_cast<int>(threadIdx.x) * kShare;
    unsigned own = 0;
    for (int i = 0; i < kShare; ++i) own += state_.histogram[first - i];
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    unsigned through = own;  // sum of this thread's digits and all above, in the warp
    for (int distance = 1; distance < kWarpSize; distance *= 2) {
      const unsigned other = __shfl_up_sync(kFullWarp, through, static_cast<unsigned>(distance));
      if (lane >= distance) through += other;
    }
    if (lane == kWarpSize - 1) state_.warp_counts[warp] = through;
    const unsigned rank = state_.rank;
    __syncthreads();
    for (int w = 0; w < warp; ++w) through += state_.warp_counts[w];
    unsigned above = through - own;
    // Exactly one thread has the wanted key.
    if (above < rank && rank <= through) {
      int digit = first;
      while (above + state_.histogram[digit] < rank) above += state_.histogram[digit--];
      state_.digit = static_cast<unsigned>(digit);
      state_.rank = rank - above;
      state_.in_digit = state_.histogram[digit];
    }
    __syncthreads();
  }

  SelectionState& state_;
  DevicePointer<Key> keys_;
  int keep_;
};

}  // namespace recops::trie::cuda
