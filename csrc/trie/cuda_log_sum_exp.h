// Log-sum-exp of a row of logits in one pass, by the threads of one or several warps.
//
// Each thread keeps the largest value and the sum of exponentials relative to it. Sums are combined in a fixed tree, so
// the result is the same in every run.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_floats.h"
#include "common/device_math.h"

namespace recops::trie::cuda {

struct SumParts {
  float max;
  float sum;  // of 2^((value − max) · log2(e)); NaN if a value is NaN or +inf
};

struct RunningSum : SumParts {
  __device__ RunningSum() : SumParts{-kInfinity, 0.0f} {}

  __device__ bool is_valid() const { return sum == sum; }

  // The value that exponents are relative to. It is not −inf even if all values are.
  __device__ float reference() const { return max == -kInfinity ? 0.0f : max; }

  __device__ static float exponential(float difference) { return power_of_two(difference * 1.4426950408889634f); }

  // Adds `count` values.
  template <int count>
  __device__ void take(const float (&values)[count]) {
    float largest = max;
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) largest = fmaxf(largest, values[i]);
    raise(largest);
    const float origin = reference();
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) sum += exponential(values[i] - origin);
  }

  __device__ void take(float value) {
    const float values[1] = {value};
    take(values);
  }

  __device__ void merge(const SumParts& other) {
    raise(fmaxf(max, other.max));
    sum += other.sum * exponential(other.max - reference());
  }

  // Merges the sums of a warp's lanes. All lanes get the same result.
  __device__ void merge_lanes() {
    for (int distance = 1; distance < kWarpSize; distance *= 2) {
      SumParts other;
      other.max = __shfl_xor_sync(kFullWarp, max, distance);
      other.sum = __shfl_xor_sync(kFullWarp, sum, distance);
      merge(other);
    }
    // With fused multiply-add, the lanes' own results differ in the last bit.
    max = __shfl_sync(kFullWarp, max, 0);
    sum = __shfl_sync(kFullWarp, sum, 0);
  }

 private:
  __device__ void raise(float to) {
    if (to > max && max > -kInfinity) sum *= exponential(max - to);
    max = to;
  }
};

// Adds every kThreads-th element of the row from `me` on, as 16-byte loads where they are aligned.
template <class S, int kThreads>
__device__ void take_row(RunningSum& sum, DevicePointer<const S> row, int count, int me) {
  constexpr int kElements = kPerWords16<S>, kLoads = 4;  // loads that a thread has in flight
  const int aligned = elements_to_aligned(row), head = aligned < count ? aligned : count;
  const int vectors = (count - head) / kElements, tail = head + vectors * kElements;
  for (int i = me; i < head; i += kThreads) sum.take(to_float(row[i]));
  for (int first = me; first < vectors; first += kThreads * kLoads) {
    Words16 words[kLoads];
    RECOPS_UNROLL
    for (int load = 0; load < kLoads; ++load) {
      const int i = first + load * kThreads;
      if (i < vectors) words[load] = load16<S>(row + (head + i * kElements));
    }
    RECOPS_UNROLL
    for (int load = 0; load < kLoads; ++load) {
      if (first + load * kThreads >= vectors) break;
      float values[kElements];
      RECOPS_UNROLL
      for (int i = 0; i < kElements; ++i) values[i] = element<S>(words[load], i);
      sum.take(values);
    }
  }
  for (int i = tail + me; i < count; i += kThreads) sum.take(to_float(row[i]));
}

}  // namespace recops::trie::cuda
