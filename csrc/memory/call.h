// Host side of the memory network ops: checks that read data, and division of blocks over threads.
#pragma once

#include <cstring>
#include <vector>

#include "common/compat.h"
#include "common/radix_sort.h"
#include "common/threads.h"
#include "memory/arguments.h"
#include "memory/kernel.h"
#include "memory/plan.h"

namespace recops::memory {

inline const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

inline void require_rows(const char* op, const int64_t* rows, int64_t count, int64_t pool) {
  for (int64_t i = 0; i < count; ++i)
    require_index(rows[i] >= 0 && rows[i] < pool, op, ": rows must be from 0 to ", pool - 1, ", got rows[", i,
                  "] = ", rows[i]);
}

// Returns the checked lengths of rows, or null.
inline const int64_t* read_lengths(Arguments& call, const Maybe& lengths, int64_t rows, int64_t steps) {
  if (!lengths) return nullptr;
  const auto* length = static_cast<const int64_t*>(call.hold(*lengths, rows, ScalarType::Long));
  for (int64_t i = 0; i < rows; ++i)
    require_value(length[i] >= 0 && length[i] <= steps, call.op, ": lengths must be from 0 to ", steps,
                  ", got lengths[", i, "] = ", length[i]);
  return length;
}

// Returns the checked rows of a pool.
inline const int64_t* read_rows(Arguments& call, const Tensor& rows, int64_t count, int64_t pool) {
  require_value(count <= RowSorter::kMostRows, call.op, ": rows must be at most ", RowSorter::kMostRows, ", got ",
                count);
  const auto* row = static_cast<const int64_t*>(call.hold(rows, count, ScalarType::Long));
  require_rows(call.op, row, count, pool);
  return row;
}

// Returns the first row with a value whose exponent bits are all ones, or `count`.
template <class Bits>
int64_t first_special(const void* values, int64_t count, int64_t width, Bits exponent) {
  const Bits* value = static_cast<const Bits*>(values);
  for (int64_t i = 0; i < count; ++i) {
    bool special = false;
    for (int64_t j = 0; j < width; ++j, ++value) special |= (*value & exponent) == exponent;
    if (special) return i;
  }
  return count;
}

// Rejects NaN and infinity, which would corrupt a state permanently.
inline void require_finite(const Arguments& call, const void* x, int64_t count, int64_t width) {
  const int64_t bad = call.dtype == Dtype::f64    ? first_special<uint64_t>(x, count, width, 0x7ff0000000000000)
                      : call.dtype == Dtype::bf16 ? first_special<uint16_t>(x, count, width, 0x7f80)
                      : call.dtype == Dtype::f16  ? first_special<uint16_t>(x, count, width, 0x7c00)
                                                  : first_special<uint32_t>(x, count, width, 0x7f800000);
  require_value(bad == count, call.op, ": x must be finite, got NaN or infinity in x[", bad, "]");
}

// Returns the sums of all groups, added into the first. `add(block, scratch, sums)` adds the gradients of a block.
template <class F>
Tensor sum_groups(const Kernels& kernels, const Arguments& call, const Plan& plan, int64_t values, int64_t work,
                  int64_t scratch_bytes, const Tensor& like, const F& add) {
  const int64_t groups = plan.num_groups();
  Tensor sums = zeros({groups, values}, call.type, like);
  char* const data = static_cast<char*>(sums.data_ptr());
  on_threads(groups, work, scratch_bytes, like, [&](int64_t first, int64_t stride, void* scratch) {
    for (int64_t g = first; g < groups; g += stride)
      for (int64_t b = g; b < plan.num_blocks(); b += groups)
        add(plan.block(b), scratch, data + g * values * sums.element_size());
  });
  parallel_for(values, (int64_t{1} << 18) / groups + 1,
               [&](int64_t begin, int64_t end) { kernels.add_groups(call.dtype, data, groups, values, begin, end); });
  return sums;
}

// Zeroes outputs past each row's length.
inline void zero_past(const int64_t* lengths, int64_t rows, int64_t steps, int64_t row_bytes, void* outputs) {
  for (int64_t i = 0; lengths != nullptr && i < rows; ++i)
    std::memset(static_cast<char*>(outputs) + (i * steps + lengths[i]) * row_bytes, 0,
                static_cast<size_t>((steps - lengths[i]) * row_bytes));
}

}  // namespace recops::memory
