// Balanced assignment on raw pointers: distances from one row to some codewords, and selection of the smallest.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace recops::balance_assignment {

// Dense and row-major, float or double.
struct Space {
  const void* rows;       // [., dim]
  const void* codewords;  // [., dim]
  bool wide;              // double, else float
  int64_t dim;
};

struct Least {
  double value;
  int32_t place;
};

struct Kernels {
  // out[i] = ‖row − codewords[codes[i]]‖² for 0 ≤ i < count, as a sum of squared differences in the type of the values.
  // Equal codewords therefore have equal distances, and a row has distance 0 from itself.
  void (*squared_distances)(const Space&, int64_t row, const int32_t* codes, int64_t count, double* out);

  // Writes the `limit` least of `count` values, ascending; of equal values, the first position comes first. Returns how
  // many it found. Selected values become NaN, and NaN is never selected. Reads whole vectors: see padded_values.
  int64_t (*select_least)(double* values, int64_t count, int64_t limit, Least* to);
};

// Number of doubles that select_least needs room for.
constexpr int64_t padded_values(int64_t count) { return (count + 7) / 8 * 8; }

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::balance_assignment
