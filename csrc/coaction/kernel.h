// Co-action on raw pointers: results, layouts and order of operations.
//
// A candidate b has a row of parameters (net.h shows its layout) and belongs to a user u. The candidate's network is
// applied to the user's history: rows (u, t) of dims[0] values, for t below the user's length. For each order c = 1 …
// orders, h_0 = row^c, element by element. Layer l has weights [d_in, d_out] and a bias in the candidate's row. With
// order_independent, each order has a separate set of all layers.
//
//   h_l = activation(h_{l−1} W_l + b_l)       (the last layer has an activation only if activate_last)
//   out[b, c, l] = Σ_t h_l                    (divided by the length if `mean`)
//
// With concat_hidden all layers are output, otherwise only the last. A row may count several times, like repeated
// events; the length is the number of events. Layers after the last activation are linear and run once on the sum: Σ_t
// (h W + b) = (Σ_t h) W + length · b.
//
// Each lane of a vector is a candidate. Every weight is a full vector, and nothing is summed across lanes. Lanes are
// idle only when sequence lengths within a group differ, so callers order candidates by length. With fewer candidates
// than lanes, each candidate takes several lanes, each with a part of the positions. For example, with four lanes and
// histories of six positions:
//
//                        lane 0      lane 1      lane 2      lane 3
//   candidates a b c d   a: 0 … 5    b: 0 … 5    c: 0 … 5    d: 0 … 5
//   candidates a b       a: 0 … 2    a: 3 … 5    b: 0 … 2    b: 3 … 5
//
// The compute type is double for float64, otherwise float. Tables are dense and row-major; outputs never overlap
// inputs. Kernels do not allocate, throw or start threads.
#pragma once

#include <cstdint>

#include "coaction/net.h"
#include "common/dtype.h"
#include "common/isa.h"

namespace recops::coaction {

// A table whose rows are `stride` values apart.
struct Table {
  void* data;
  Dtype dtype;
  int64_t stride;
};

// Row r is row index[r] of a table, or row r if `index` is null.
struct Rows {
  const void* data;
  Dtype dtype;
  int64_t stride;
  const int64_t* index;
};

struct Batch {
  Rows feed;               // row b belongs to candidate b
  Rows params;             // row b
  const int64_t* order;    // [size]: candidate at each position; null: ascending
  const int64_t* users;    // [size]: user of each candidate; null: candidate b belongs to user b
  const int64_t* lengths;  // [number of users]: number of rows; null: all `time`
  int64_t size, time;
  const int32_t* times = nullptr;   // [number of users, time]: how often a row counts; null: once
  const int64_t* events = nullptr;  // [number of users], only with `times`: their sums; null: all `time`
};

// Destinations of gradients. Positions [begin, end) of a `backward` call are grouped by user.
struct Gradients {
  Rows out;  // [size, output_width]: gradient of the result
  void*
      feed;  // compute type [users, time, dims[0]]; all rows of users whose first candidate is in this call are written
  void* first;   // compute type [time, dims[0]] or null: replaces `feed` for the user at `begin`
  Table params;  // [size, params_width]
};

struct Kernels {
  // Bytes of scratch per concurrent call, aligned to 64 bytes.
  int64_t (*scratch_bytes)(const Net&, Dtype);

  void (*forward)(const Net&, const Batch&, int64_t begin, int64_t end, void* scratch, Table out);

  // Recomputes the forward pass. The gradient of a feed row is summed over its user's candidates in order of positions.
  void (*backward)(const Net&, const Batch&, const Gradients&, int64_t begin, int64_t end, void* scratch);

  // out[s] = Σ values[rows[i]] for offsets[s] ≤ i < offsets[s + 1], in order, for segments [begin, end). Rows have the
  // compute type.
  void (*sum_segments)(const void* values, bool wide, int64_t width, const int64_t* rows, const int64_t* offsets,
                       int64_t begin, int64_t end, void* out);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::coaction
