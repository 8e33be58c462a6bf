// The arithmetic of balanced assignment on raw pointers: distances of one row to some codewords, and the least of them.
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
  // out[i] = ‖row − codewords[codes[i]]‖² for i below count, a sum of squared differences in the type of the values:
  // equal codewords are equally far, and a row is at 0 from itself.
  void (*squared_distances)(const Space&, int64_t row, const int32_t* codes, int64_t count, double* out);

  // The `limit` least of `count` values, least first, of equals the first place first; returns how many there were.
  // What is taken becomes NaN, which is never taken. Whole vectors are read: see padded_values.
  int64_t (*select_least)(double* values, int64_t count, int64_t limit, Least* to);
};

// The room that select_least wants for `count` values.
constexpr int64_t padded_values(int64_t count) { return (count + 7) / 8 * 8; }

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::balance_assignment
