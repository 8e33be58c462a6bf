// The arithmetic of balanced assignment on raw pointers: distances of one row to some codewords.
#pragma once

#include <cstdint>

#include "isa.h"

namespace recops::balance_assignment {

// Dense and row-major, float or double.
struct Space {
  const void* rows;       // [., dim]
  const void* codewords;  // [., dim]
  bool wide;              // double, else float
  int64_t dim;
};

struct Kernels {
  // out[i] = ‖row − codewords[codes[i]]‖² for i below count, a sum of squared differences in the type of the values:
  // equal codewords are equally far, and a row is at 0 from itself.
  void (*squared_distances)(const Space&, int64_t row, const int32_t* codes, int64_t count, double* out);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::balance_assignment
