// The gradients of a table from those of the rows that were looked up: for every op that looks rows up.
#pragma once

#include <algorithm>
#include <array>

#include "common/compat.h"
#include "embedding/kernel.h"

namespace recops::embedding {

constexpr int64_t kGrain = 1 << 18;  // values a thread is woken for

inline const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// A table of this size and of the dtype of `like`: zeros to which add(kernels, first, last, data) adds `additions` rows
// in compute type, those of buckets from `first` below `last`. One thread has a row of the table to itself, so that
// what the row learns is added in order.
template <class F>
Tensor sum_by_row(std::array<int64_t, 2> size, int64_t additions, const Tensor& like, const F& add) {
  const ScalarType type = like.scalar_type();
  Tensor out = zeros({size[0], size[1]}, type == ScalarType::Double ? type : ScalarType::Float, like);
  const int64_t each = additions * size[1] / kBuckets;
  parallel_for(kBuckets, kGrain / std::max<int64_t>(each, 1) + 1,
               [&](int64_t first, int64_t last) { add(select_kernels(), first, last, out.data_ptr()); });
  return out.scalar_type() == type ? out : torch::stable::to(out, type);
}

}  // namespace recops::embedding
