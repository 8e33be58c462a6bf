// Division of work over threads with separate scratch memory. The memory is allocated before the threads start:
// allocation may fail, and parallel_for loses the message of an exception.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/compat.h"

namespace recops {

// Number of shares for `size` pieces of work: at most one per thread, each of at least `grain` pieces.
inline int64_t num_shares(int64_t size, int64_t grain) {
  return std::clamp<int64_t>((size + grain - 1) / grain, 1, num_threads());
}

// Calls f(share, begin, end) over [0, size), divided into even shares.
template <class F>
void for_shares(int64_t size, int64_t shares, const F& f) {
  parallel_for(shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) f(i, size * i / shares, size * (i + 1) / shares);
  });
}

// Calls f(first, stride, scratch) on each thread, for at most `pieces` pieces of work and `work` multiplications in
// total.
template <class F>
void on_threads(int64_t pieces, int64_t work, int64_t scratch_bytes, const Tensor& like, const F& f) {
  constexpr int64_t kGrain = 1 << 21;  // least number of multiplications per thread
  const int64_t threads = std::max<int64_t>(1, std::min({num_threads(), pieces, work / kGrain}));
  const Tensor scratch = empty({threads, scratch_bytes}, ScalarType::Byte, like);
  parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i, threads, static_cast<char*>(scratch.data_ptr()) + i * scratch_bytes);
  });
}

}  // namespace recops
