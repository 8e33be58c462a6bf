// Co-action on raw pointers: what is computed, on which layout, in which order.
//
// A *candidate* b brings a row of parameters and belongs to a user u, whose history is fed to it: rows (u, t) of
// dims[0] values, t below the user's length. For each order c = 1 … orders, with h_0 = row^c, element by element, and
// the weights [d_in, d_out] and the bias of layer l from the candidate's row (a set of all layers for each order if
// order_independent):
//
//   h_l = activation(h_{l−1} W_l + b_l), without activation for the last layer unless activate_last
//   out[b, c, l] = Σ_t h_l, over the length if `mean`; for each layer, or the last alone without concat_hidden
//
// A row may count several times, as so many events of the same; the length is then the number of events.
//
// Linear layers behind the last activation are applied to the sum: Σ_t (h W + b) = (Σ_t h) W + length · b.
//
// A vector's lanes are candidates: every weight is a vector of its own, nothing is ever summed across lanes, and no
// dims nor lengths leave lanes idle but where a group's lengths differ, so callers order candidates by length. Where
// there are fewer candidates than lanes, each takes several, and a part of the positions in each.
//
// Values are computed and accumulated in float, or double for f64. Tables are dense and row-major; outputs never
// overlap inputs. No kernel allocates, throws or starts a thread.
#pragma once

#include <cstdint>

#include "coaction/net.h"
#include "common/dtype.h"
#include "common/isa.h"

namespace recops::coaction {

// Row r of the table begins `stride` values after the last.
struct Table {
  void* data;
  Dtype dtype;
  int64_t stride;
};

// Row r is row index[r] of a table, or row r without an index.
struct Rows {
  const void* data;
  Dtype dtype;
  int64_t stride;
  const int64_t* index;
};

struct Batch {
  Rows feed;               // row u · time + t, of dims[0] values
  Rows params;             // row b
  const int64_t* order;    // [size]: which candidate is at a place; a candidate its own place without it
  const int64_t* users;    // [size]; candidate b is of user b without it
  const int64_t* lengths;  // [number of users]: rows; all `time` without it
  int64_t size, time;
  const int32_t* times = nullptr;   // [number of users, time]: how often a row counts; once without it
  const int64_t* events = nullptr;  // [number of users], where there are times: sums of them; all `time` without it
};

// Where gradients go. Places begin to end of a call to `backward` are in order of users' runs.
struct Gradients {
  Rows out;      // [size, output_width], as it came
  void* feed;    // compute type [users, time, dims[0]]; written whole for every user that has its first candidate here
  void* first;   // compute type [time, dims[0]]: in place of `feed` for the user at `begin`, or null
  Table params;  // [size, params_width]
};

struct Kernels {
  // Of scratch, aligned to 64 bytes, for each call at a time.
  int64_t (*scratch_bytes)(const Net&, Dtype);

  void (*forward)(const Net&, const Batch&, int64_t begin, int64_t end, void* scratch, Table out);

  // Recomputes what forward computed. The gradient of a feed row is the sum over its user's candidates, in order of
  // places.
  void (*backward)(const Net&, const Batch&, const Gradients&, int64_t begin, int64_t end, void* scratch);

  // out[s] = Σ values[rows[i]] for offsets[s] ≤ i < offsets[s+1], in that order, for segments begin up to end;
  // rows are of the compute type.
  void (*sum_segments)(const void* values, bool wide, int64_t width, const int64_t* rows, const int64_t* offsets,
                       int64_t begin, int64_t end, void* out);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::coaction
