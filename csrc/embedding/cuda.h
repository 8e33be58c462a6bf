// Launchers of the CUDA kernels for embedding bags. Free of torch: raw pointers, sizes and a stream.
//
// A launcher enqueues its kernels on the stream and returns cudaError_t as an int. It does not wait, allocate or read
// device memory, so it can be captured in a graph.
//
// Kernels cannot throw. If an id is not a row of its table, the values of its bag become NaN, and the id adds nothing
// to gradients.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/indices.h"
#include "embedding/update.h"

namespace recops::embedding::cuda {

// Larger sizes need the composite.
constexpr int kMostFeatures = 32;                       // of one launch, and of one table for its gradient
constexpr int64_t kMostBags = int64_t{1} << 31;         // of a feature
constexpr int64_t kMostRows = (int64_t{1} << 31) - 2;   // of a table whose gradient is computed
constexpr int64_t kMostOccurrences = int64_t{1} << 31;  // of ids of one table
constexpr int64_t kMostWidth = 1 << 20;                 // of a table
constexpr int64_t kMostEach = (int64_t{1} << 31) - 1;   // ids of a bag

// Ids of one feature.
struct Feature {
  Indices ids;  // [count, each]
  int64_t each;
  int64_t column;     // first column of the feature in the values
  const void* table;  // [num_rows, width]; not used for gradients
  int64_t num_rows, width;
};

// Bags of several features and their values [count, stride]. Ids equal to `padding` are skipped.
struct BagsCall {
  Dtype dtype;  // of the tables and values: f32, bf16 or f16
  int64_t count, padding;
  const Feature* features;
  int64_t num_features;
  void* values;
  int64_t stride;
};

bool supports_bags(const BagsCall&);

// values[n] = Σ_t table[ids[n, t]] for each feature, in order of t in float, rounded once. One id: a copy.
int sum_bags(const BagsCall&, void* stream);

// The gradient of one table. The features are those of the table.
struct GradientCall {
  Dtype dtype;  // of the values and the gradient
  int64_t count, padding;
  const Feature* features;
  int64_t num_features;
  const void* values;       // gradients of the bags' values [count, columns]
  int64_t stride, columns;  // stride: between rows of values
  int64_t num_rows, width;
};

bool supports_gradient(const GradientCall&);

// Occurrences of ids: those of the first feature in order of its ids, then those of the second.
int64_t count_occurrences(const GradientCall&);

// keys[i] = the table row of occurrence i, or num_rows if it has none.
int write_keys(const GradientCall&, int32_t* keys, void* stream);

// gradient[r] = Σ of the values of the occurrences of row r. `keys` are sorted, and `order` holds the occurrence of
// each. Rows without occurrences are not written. Occurrences are summed in their order within chunks of kChunk
// consecutive keys, and then the chunks in order, so results repeat bit for bit.
constexpr int64_t kChunk = 32;
int64_t gradient_workspace_bytes(const GradientCall&);
int sum_by_row(const GradientCall&, const int32_t* keys, const int64_t* order, void* workspace, void* gradient,
               void* stream);

// An update of one table by the gradient of its bags. `gradient.dtype` is the table's.
struct UpdateCall {
  GradientCall gradient;
  UpdateRule rule;
  void* table;   // [num_rows, width]
  float* state;  // adagrad: [num_rows, width]; rowwise_adagrad: [num_rows]
};

// Updates the rows that have occurrences, in float, by the sums of sum_by_row. No sum is stored. Supported if
// supports_gradient(gradient), with the same keys, order and workspace.
int update_rows(const UpdateCall&, const int32_t* keys, const int64_t* order, void* workspace, void* stream);

}  // namespace recops::embedding::cuda
