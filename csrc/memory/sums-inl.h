// Sums over users for the gradients of weights.
#pragma once

#include "common/arena.h"
#include "memory/rows-inl.h"

namespace recops::memory::RECOPS_ISA {
namespace {

// Converts lanes to samples for the outer products that form weight gradients.
template <class T>
class SampleRows {
 public:
  SampleRows(Arena& arena, int64_t most_values) : most_(padded<T>(most_values)) {
    arena.take(data_, kUsers<T> * most_);
    for (int64_t i = 0; i < kUsers<T>; ++i) identity_[i] = i;
  }

  // Returns the first `live` lanes as samples, valid until the next call.
  Samples<T> of(const T* lanes, int64_t values, int64_t live) {
    store_rows<T>(lanes, values, identity_, 0, live, most_, data_);
    return {data_, most_, values};
  }
  Samples<T> of(const T* lanes, int64_t values, const T* others, int64_t other_values, int64_t live) {
    store_rows<T>(others, other_values, identity_, 0, live, most_, data_ + values);
    store_rows<T>(lanes, values, identity_, 0, live, most_, data_);
    return {data_, most_, values + other_values};
  }

 private:
  int64_t most_;
  T* data_ = nullptr;
  int64_t identity_[kUsers<T>];
};

template <class T>
Samples<T> part(const Samples<T>& samples, int64_t first, int64_t values) {
  return {samples.data + first, samples.stride, values};
}

// sums += lanes, separately per user.
template <class T>
void add_values(const T* lanes, int64_t values, T* sums) {
  for_vectors<T>(values, [&](int64_t i) { store(sums + i, load(sums + i) + load(lanes + i)); });
}

template <class T>
T sum_of_lanes(const T* lanes) {
  return reduce_add<T>(load(lanes) + load(lanes + kLanes<T>));
}

// Copies rows of padded width into a matrix.
template <class T>
void unpad(const T* sums, int64_t rows, int64_t columns, int64_t stride, T* to) {
  for (int64_t r = 0; r < rows; ++r) std::copy_n(sums + r * padded<T>(columns), columns, to + r * stride);
}

template <class T>
void sum_lanes(const T* sums, int64_t values, T* to) {
  for (int64_t i = 0; i < values; ++i) to[i] = sum_of_lanes(sums + i * kUsers<T>);
}

}  // namespace
}  // namespace recops::memory::RECOPS_ISA
