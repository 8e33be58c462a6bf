// Embedding bags on raw pointers: sums of table rows and their gradients, layouts and order of operations.
//
// Tables are dense and row-major; outputs never overlap inputs. Ids are row numbers, int32 or int64. `find_outside`
// reports invalid ids; the other kernels require valid ids. Sums are computed in float (double for f64), in the order
// of the ids. Kernels do not allocate, throw or start threads.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/indices.h"
#include "common/isa.h"
#include "embedding/update.h"

namespace recops::embedding {

// Bags of ids and a matrix of values with `width` columns, one row per bag. The value of a bag is the sum of the table
// rows of its ids, except ids equal to `padding` (−1: no padding).
//
//   ids [count, each]           values: row n starts at n · stride; other features may use the columns between
//   bag 0: 7 2 2    ──►  table[7] + table[2] + table[2]
//   bag 1: 5 p p    ──►  table[5]                          (p = padding)
struct Bags {
  int64_t count, each;
  Indices ids;  // [count, each]
  int64_t padding;
  int64_t width, stride;  // stride: between rows of values, which may be columns of a wider matrix
};

// Threads divide the rows of a table by row number modulo kBuckets, because popular items may have neighbouring
// numbers.
constexpr int64_t kBuckets = 64;

// Gradients of the occurrences of table rows, sorted by row. Position i holds occurrence order[i] of rows[i], whose
// gradient is the `width` values from offsets[order[i]] on.
struct SortedGradients {
  int64_t count;
  const int64_t* rows;  // [count], ascending
  const int64_t* order;
  const int64_t* offsets;
  const void* values;
  Dtype dtype;
  int64_t width;
};

struct Kernels {
  // Returns the position of the first of `count` ids outside 0 … size − 1, or −1.
  int64_t (*find_outside)(const Indices&, int64_t count, int64_t size);

  // values[n] = Σ_t table[ids[n, t]] for begin ≤ n < end, rounded once. Both have the given dtype.
  void (*sum_rows)(const Bags&, const void* table, Dtype, int64_t begin, int64_t end, void* values);

  // table[ids[n, t]] += values[n] for all n and t in order, for ids with first ≤ id mod kBuckets < last. Values have
  // the given dtype, the table its compute type.
  void (*add_rows)(const Bags&, const void* values, Dtype, int64_t first, int64_t last, void* table);

  // Updates each table row whose occurrences begin at positions begin to end - 1. Its gradient is the sum of the
  // gradients of its occurrences, in order of position. The table has the dtype of the values. `sums` has room for one
  // row, and `state` is [rows, width] for adagrad and [rows] for rowwise_adagrad, both in the compute type. Products
  // are not fused with sums, so all instruction sets give the same bits.
  void (*update_rows)(const SortedGradients&, const UpdateRule&, int64_t begin, int64_t end, void* sums, void* table,
                      void* state);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::embedding
