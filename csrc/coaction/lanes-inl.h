// Assignment of candidates to lanes, and conversion between memory rows and vector columns.
#pragma once

#include <algorithm>

#include "coaction/kernel.h"
#include "simd/lanes-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::coaction::RECOPS_ISA {
namespace {

// Candidates of a group. Each has `strips` adjacent lanes, which divide its positions among them.
template <class T>
struct Lanes {
  static constexpr int kCount = kLanes<T>;

  int used = 0;        // number of used lanes; the others repeat the first lane without positions
  int strips = 1;      // a power of two
  int64_t steps = 0;   // largest number of positions of a lane
  bool shared = true;  // whether all lanes belong to one user and start at its first position
  int64_t candidate[kCount] = {}, user[kCount] = {}, first[kCount] = {}, count[kCount] = {}, length[kCount] = {},
          events[kCount] = {};

  Lanes(const Batch& batch, int64_t begin, int64_t end) {
    while (2 * strips * batch.size <= kCount && 2 * strips <= batch.time) strips *= 2;
    for (int64_t position = begin; position < end && used < kCount; ++position) {
      const int64_t b = batch.order ? batch.order[position] : position, u = batch.users ? batch.users[b] : b;
      const int64_t n = batch.lengths ? batch.lengths[u] : batch.time, strip = (n + strips - 1) / strips;
      for (int s = 0; s < strips; ++s, ++used) {
        candidate[used] = b, user[used] = u, length[used] = n;
        events[used] = !batch.times ? n : batch.events ? batch.events[u] : batch.time;
        first[used] = std::min(s * strip, n), count[used] = std::min(strip, n - first[used]);
        steps = std::max(steps, count[used]);
        shared &= u == user[0] && strips == 1;
      }
    }
    for (int lane = used; lane < kCount; ++lane) candidate[lane] = candidate[0], user[lane] = user[0];
  }
};

// Calls emit(d, column) for each column d of the lanes' rows; a column is a vector with one value per lane.
template <class S, class T = Compute<S>, class Emit>
inline void load_columns(const S* const (&rows)[kLanes<T>], int64_t width, const Emit& emit) {
  constexpr int n = kLanes<T>;
  const auto load_square = [&](int64_t d, const auto& load) {
    Vec<T> square[n];
#pragma GCC unroll 16
    for (int lane = 0; lane < n; ++lane) square[lane] = load(rows[lane] + d);
    transpose<T>(square);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i)
      if (d + i < width) emit(d + i, square[i]);
  };
  int64_t d = 0;
  for (; d + n <= width; d += n) load_square(d, [](const S* from) { return load_as_compute(from); });
  if (d == width) return;
  if constexpr (kMaskedLoads<S>) {
    load_square(d, [&](const S* from) { return load_as_compute(from, width - d); });
  } else {
    S column[n][n];
    for (int lane = 0; lane < n; ++lane)
      for (int64_t i = 0; i < width - d; ++i) column[i][lane] = rows[lane][d + i];
    for (int64_t i = 0; i < width - d; ++i) emit(d + i, load_as_compute(column[i]));
  }
}

// Calls write(lane, d, values, count) with columns d to d + count − 1 of a lane's row, for each lane in order.
template <class T, class Write>
inline void store_columns(const Vec<T>* columns, int64_t stride, int64_t width, const Write& write) {
  constexpr int n = kLanes<T>;
  for (int64_t d = 0; d < width; d += n) {
    Vec<T> square[n];
    const int64_t count = std::min<int64_t>(n, width - d);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) square[i] = i < count ? columns[(d + i) * stride] : Vec<T>{};
    transpose<T>(square);
#pragma GCC unroll 16
    for (int lane = 0; lane < n; ++lane) write(lane, d, square[lane], count);
  }
}

// Calls f with the stored type, if its compute type is T.
template <class T, class F>
void with_stored(Dtype dtype, const F& f) {
  with_stored_type(dtype, [&]<class S>(S stored) {
    if constexpr (std::is_same_v<Compute<S>, T>) f(stored);
  });
}

// Calls emit(d, column) for the table rows rows[lane]. Row −1 is read from `zeros`, which must be as long as a row.
template <class T, class Emit>
inline void load_rows(const Rows& table, int64_t width, const int64_t (&rows)[kLanes<T>], const void* zeros,
                      const Emit& emit) {
  with_stored<T>(table.dtype, [&]<class S>(S) {
    const S* data = static_cast<const S*>(table.data);
    const S* at[kLanes<T>];
    if (table.index) {
      for (int lane = 0; lane < kLanes<T>; ++lane)
        at[lane] = rows[lane] < 0 ? static_cast<const S*>(zeros) : data + table.index[rows[lane]] * table.stride;
    } else {
      for (int lane = 0; lane < kLanes<T>; ++lane)
        at[lane] = rows[lane] < 0 ? static_cast<const S*>(zeros) : data + rows[lane] * table.stride;
    }
    load_columns<S>(at, width, emit);
  });
}

// Calls emit(d, column) for one row that all lanes share.
template <class T, class Emit>
inline void broadcast_row(const Rows& table, int64_t width, int64_t row, const Emit& emit) {
  with_stored<T>(table.dtype, [&]<class S>(S) {
    const S* values = static_cast<const S*>(table.data) + (table.index ? table.index[row] : row) * table.stride;
    for (int64_t d = 0; d < width; d += kLanes<T>) {
      const int64_t count = std::min<int64_t>(kLanes<T>, width - d);
      const Vec<T> some = load_as_compute(values + d, count);
      for (int64_t i = 0; i < count; ++i) emit(d + i, broadcast(some[i]));
    }
  });
}

// Replaces each candidate's lanes by the sum of those lanes.
template <class T>
inline void add_strips(Vec<T>* values, int64_t count, int strips) {
  constexpr std::make_integer_sequence<int, kLanes<T>> lanes{};
  for (int64_t i = 0; i < count; ++i) {
    Vec<T> v = values[i];
    if (strips > 1) v += exchange<1, T>(v, lanes);
    if constexpr (kLanes<T> > 2)
      if (strips > 2) v += exchange<2, T>(v, lanes);
    if constexpr (kLanes<T> > 4)
      if (strips > 4) v += exchange<4, T>(v, lanes);
    if constexpr (kLanes<T> > 8)
      if (strips > 8) v += exchange<8, T>(v, lanes);
    values[i] = v;
  }
}

}  // namespace
}  // namespace recops::coaction::RECOPS_ISA
