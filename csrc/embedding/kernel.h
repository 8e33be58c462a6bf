// Bags of rows of an embedding table on raw pointers: what is summed and learnt, on which layout, in which order.
//
// Tables are dense and row-major; outputs never overlap inputs. Ids are rows, int32 or int64: `find_outside` tells of
// others, and no other kernel may see them. Sums are taken in float, or double for f64, in the order in which ids lie.
// No kernel allocates, throws or starts a thread.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/indices.h"
#include "common/isa.h"

namespace recops::embedding {

// Values of `width` columns, one row a bag: the sum of the rows of a table of that width that its ids name, but for
// those that are `padding` (−1: there is none).
struct Bags {
  int64_t count, each;
  Indices ids;  // [count, each]
  int64_t padding;
  int64_t width, stride;  // between rows of values, which may be columns of a wider matrix
};

// Threads share out the rows of a table by their numbers modulo this: popular items may be neighbours.
constexpr int64_t kBuckets = 64;

struct Kernels {
  // The position of the first of `count` ids that is not from 0 below `size`, or −1.
  int64_t (*find_outside)(const Indices&, int64_t count, int64_t size);

  // values[n] = Σ_t table[ids[n, t]] for begin ≤ n < end, rounded once; both are of the dtype.
  void (*sum_rows)(const Bags&, const void* table, Dtype, int64_t begin, int64_t end, void* values);

  // table[ids[n, t]] += values[n] for all n and t, one by one, where the id modulo kBuckets is from `first` below
  // `last`; values are of the dtype, the table is of its compute type.
  void (*add_rows)(const Bags&, const void* values, Dtype, int64_t first, int64_t last, void* table);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::embedding
