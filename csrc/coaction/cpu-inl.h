// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#pragma once

#include <algorithm>

#include "coaction/backward-inl.h"
#include "coaction/forward-inl.h"
#include "coaction/kernel.h"
#include "coaction/lanes-inl.h"
#include "coaction/scratch-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

int64_t scratch_bytes(const Net& net, Dtype dtype) {
  return with_compute_type(dtype, [&]<class T>(T) { return Scratch<T>(net, nullptr).vectors * int64_t{kVectorBytes}; });
}

void forward(const Net& net, const Batch& batch, int64_t begin, int64_t end, void* scratch, Table out) {
  with_compute_type(batch.feed.dtype, [&]<class T>(T) {
    while (begin < end) {
      const Lanes<T> lanes(batch, begin, end);
      ForwardPass<T>(net, batch, lanes, scratch).run(out);
      begin += lanes.used / lanes.strips;
    }
  });
}

void backward(const Net& net, const Batch& batch, const Gradients& to, int64_t begin, int64_t end, void* scratch) {
  const int64_t row = batch.time * net.dims[0];
  const auto user_at = [&](int64_t position) {
    const int64_t b = batch.order ? batch.order[position] : position;
    return batch.users ? batch.users[b] : b;
  };
  const int64_t first_user = begin < end ? user_at(begin) : -1;
  const int64_t from = begin;
  with_compute_type(batch.feed.dtype, [&]<class T>(T) {
    const auto rows_of = [&](int64_t user) {
      return to.first && user == first_user ? static_cast<T*>(to.first) : static_cast<T*>(to.feed) + user * row;
    };
    while (begin < end) {
      const Lanes<T> lanes(batch, begin, end);
      typename BackwardPass<T>::Targets targets{};
      for (int lane = 0; lane < lanes.used; ++lane) {
        const int64_t position = begin + lane / lanes.strips, user = lanes.user[lane];
        T* rows = targets.rows[lane] = rows_of(user);
        targets.first[lane] = position == from || user_at(position - 1) != user;
        if (targets.first[lane] && lane % lanes.strips == 0)  // rows without a position
          std::fill(rows + lanes.length[lane] * net.dims[0], rows + row, T{0});
      }
      BackwardPass<T>(net, batch, lanes, scratch).run(to, targets);
      begin += lanes.used / lanes.strips;
    }
  });
}

void sum_segments(const void* values_in, bool wide, int64_t width, const int64_t* rows, const int64_t* offsets,
                  int64_t begin, int64_t end, void* out) {
  with_compute_type(wide, [&]<class T>(T) {
    const T* values = static_cast<const T*>(values_in);
    for (int64_t s = begin; s < end; ++s)
      for (int64_t d = 0; d < width; d += kLanes<T>) {
        const int64_t count = std::min<int64_t>(kLanes<T>, width - d);
        Vec<T> sum{};
        for (int64_t i = offsets[s]; i < offsets[s + 1]; ++i)
          sum += load_as_compute(values + rows[i] * width + d, count);
        store_as(static_cast<T*>(out) + s * width + d, sum, count);
      }
  });
}

}  // namespace

extern const Kernels kernels = {
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
    .sum_segments = sum_segments,
};

}  // namespace recops::coaction::RECOPS_ISA
