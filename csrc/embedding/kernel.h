// Rows of embedding tables on raw pointers: what is looked up, summed and learnt, on which layout, in which order.
//
// Tables are dense and row-major, of `width` columns; outputs never overlap inputs. Ids are rows, int32 or int64:
// `find_outside` tells of others, and no other kernel may see them. Sums are taken in float, or double for f64, in the
// order in which ids lie. No kernel allocates, throws or starts a thread.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "isa.h"

namespace recops::embedding {

struct Ids {
  const void* data;
  bool wide;  // int64, else int32
};

// Rows of values, each with `each` ids of rows of a table, without those ids that are `padding` (−1: there is none).
struct Bags {
  int64_t rows, width;
  Ids ids;  // [rows, each]
  int64_t each, padding;
};

// Threads share out the rows of a table by their numbers modulo this: popular items may be neighbours.
constexpr int64_t kBuckets = 64;

struct Kernels {
  // The position of the first of `count` ids that is not from 0 below `size`, or −1.
  int64_t (*find_outside)(const Ids&, int64_t count, int64_t size);

  // out[i] = table[ids[i]] for begin ≤ i < end, rows of `bytes`.
  void (*copy_rows)(const void* table, int64_t bytes, const Ids&, int64_t begin, int64_t end, void* out);

  // out[n] = Σ_t table[ids[n, t]] for begin ≤ n < end, rounded once; table and out are of the dtype.
  void (*sum_rows)(const Bags&, const void* table, Dtype, int64_t begin, int64_t end, void* out);

  // out[ids[n, t]] += values[n] for all n and t, one by one, where the id modulo kBuckets is from `first` below `last`;
  // values are of the dtype, out is of its compute type.
  void (*add_rows)(const Bags&, const void* values, Dtype, int64_t first, int64_t last, void* out);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::embedding
