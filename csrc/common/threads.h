// Work dealt to threads, each with memory of its own that is there before any of them starts: an exception inside
// parallel_for loses its message, and memory may be refused.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/compat.h"

namespace recops {

// Into how many shares `size` pieces of work are cut: one a thread, but none for less than `grain` of them.
inline int64_t num_shares(int64_t size, int64_t grain) {
  return std::clamp<int64_t>((size + grain - 1) / grain, 1, num_threads());
}

// f(share, begin, end) over [0, size) cut into even shares.
template <class F>
void for_shares(int64_t size, int64_t shares, const F& f) {
  parallel_for(shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) f(i, size * i / shares, size * (i + 1) / shares);
  });
}

// f(first, stride, scratch) on every thread that is worth waking, `pieces` of work at most and `work` multiplications.
template <class F>
void on_threads(int64_t pieces, int64_t work, int64_t scratch_bytes, const Tensor& like, const F& f) {
  constexpr int64_t kGrain = 1 << 18;  // multiplications for a thread to be worth waking
  const int64_t threads = std::max<int64_t>(1, std::min({num_threads(), pieces, work / kGrain}));
  const Tensor scratch = empty({threads, scratch_bytes}, ScalarType::Byte, like);
  parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i, threads, static_cast<char*>(scratch.data_ptr()) + i * scratch_bytes);
  });
}

}  // namespace recops
