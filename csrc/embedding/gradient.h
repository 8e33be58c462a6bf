// Table gradients from the gradients of looked-up rows, for every op that looks up rows.
#pragma once

#include <algorithm>
#include <array>

#include "common/compat.h"
#include "embedding/kernel.h"

namespace recops::embedding {

constexpr int64_t kGrain = 1 << 18;  // least number of values per thread

inline const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Returns a table gradient of this size with the dtype of `like`. add(kernels, first, last, data) adds `additions`
// rows, in the compute type, for ids in buckets [first, last). Only one thread writes to a table row, so the additions
// to a row have a fixed order.
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
