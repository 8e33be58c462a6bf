// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#pragma once

#include <algorithm>
#include <limits>

#include "embedding/kernel.h"
#include "embedding/parts-inl.h"
#include "embedding/update-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::embedding::RECOPS_ISA {
namespace {

template <class I>
int64_t find_outside(const I* ids, int64_t count, int64_t size) {
  using U = std::make_unsigned_t<I>;
  const U last = static_cast<U>(std::min<int64_t>(size - 1, std::numeric_limits<I>::max()));
  U signs = 0;  // no branch per id
  for (int64_t i = 0; i < count; ++i) signs |= static_cast<U>(ids[i]) | (last - static_cast<U>(ids[i]));
  if (static_cast<I>(signs) >= 0) return -1;
  int64_t i = 0;
  while (0 <= ids[i] && ids[i] < size) ++i;
  return i;
}

int64_t find_outside(const Indices& ids, int64_t count, int64_t size) {
  return with_index_type(ids, [&](const auto* id) { return find_outside(id, count, size); });
}

// ---- Copies, for bags of one row.

// Copies rows of at least C bytes. The last C bytes may overlap the previous ones.
template <int64_t C, class I>
void copy_rows(const char* table, int64_t bytes, const I* ids, int64_t count, int64_t padding, int64_t stride,
               char* out) {
  for (int64_t i = 0; i < count; ++i, out += stride) {
    if (ids[i] == padding) {
      std::memset(out, 0, bytes);
      continue;
    }
    const char* row = table + ids[i] * bytes;
    for (int64_t at = 0; at + C < bytes; at += C) std::memcpy(out + at, row + at, C);
    std::memcpy(out + bytes - C, row + bytes - C, C);
  }
}

template <class S, class I>
void copy_rows(const Bags& bags, const S* table, const I* ids, int64_t count, S* values) {
  constexpr int64_t size = sizeof(S);
  const int64_t bytes = bags.width * size;
  const auto copy = [&]<int64_t C>() {
    copy_rows<C>(reinterpret_cast<const char*>(table), bytes, ids, count, bags.padding, bags.stride * size,
                 reinterpret_cast<char*>(values));
  };
  if (bytes >= kRowBytes) return copy.template operator()<kRowBytes>();
  if (bytes >= 16) return copy.template operator()<16>();
  if (bytes >= 4) return copy.template operator()<4>();
  if (bytes >= 2) return copy.template operator()<2>();
}

// ---- Sums.

template <class S, int N, int L, class I>
void sum_part(Part<S, N, L> part, const S* table, int64_t stride, const I* ids, int64_t count, int64_t padding,
              S* out) {
  typename Part<S, N, L>::V sum[N] = {}, row[N];
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] == padding) continue;
    part.load(table + ids[i] * stride, row);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) sum[v] += row[v];
  }
  part.store(out, sum);
}

void sum_rows(const Bags& bags, const void* table_in, Dtype dtype, int64_t begin, int64_t end, void* values_in) {
  with_stored_type(dtype, [&]<class S>(S) {
    const S* table = static_cast<const S*>(table_in);
    S* values = static_cast<S*>(values_in) + begin * bags.stride;
    with_index_type(bags.ids, [&](const auto* ids) {
      ids += begin * bags.each;
      if (bags.each == 1) return copy_rows(bags, table, ids, end - begin, values);
      for (int64_t n = begin; n < end; ++n, ids += bags.each, values += bags.stride)
        for_parts<S>(bags.width, [&](int64_t before, auto part) {
          sum_part(part, table + before, bags.width, ids, bags.each, bags.padding, values + before);
        });
    });
  });
}

// ---- Gradients.

// Rows of a block of ids to which values are added. Selection has no branches, because ids of a thread come in random
// order.
struct Additions {
  static constexpr int64_t kMost = 256;
  int64_t count = 0;
  int64_t rows[kMost];
  int64_t places[kMost];  // positions of the ids in the block

  template <class I>
  Additions(const I* ids, int64_t size, int64_t padding, int64_t first, int64_t last) {
    // If ids of this type cannot equal the padding, no id is skipped; −1 never occurs.
    const I none = static_cast<I>(padding) == padding ? static_cast<I>(padding) : I{-1};
    I all = last - first == kBuckets ? -1 : 0;
    for (int64_t i = 0; i < size; ++i) all &= ids[i] == none ? 0 : -1;
    if (all) {
      for (; count < size; ++count) rows[count] = ids[count], places[count] = count;
      return;
    }
    const I from = static_cast<I>(first), buckets = static_cast<I>(last - first);
    uint8_t kept[kMost];
    for (int64_t i = 0; i < size; ++i)
      kept[i] = (ids[i] & I{kBuckets - 1}) >= from && (ids[i] & I{kBuckets - 1}) < from + buckets && ids[i] != none;
    for (int64_t i = 0; i < size; ++i) {
      rows[count] = ids[i], places[count] = i;
      count += kept[i];
    }
  }
};

// Adds `values` to table rows: one row of values per position, or a single row for all if `shared`.
template <bool shared, class S, int N, int L>
void add_part(Part<S, N, L> part, const Additions& additions, const S* values, int64_t stride, Compute<S>* table,
              int64_t width) {
  using T = Compute<S>;
  constexpr int64_t ahead = 8;
  const Part<T, N, L> sums{part.width};
  typename Part<S, N, L>::V value[N], sum[N];
  if constexpr (shared) part.load(values, value);
  for (int64_t i = 0; i < additions.count; ++i) {
    if (i + ahead < additions.count) __builtin_prefetch(table + additions.rows[i + ahead] * width, 1);
    T* to = table + additions.rows[i] * width;
    if constexpr (!shared) part.load(values + additions.places[i] * stride, value);
    sums.load(to, sum);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) sum[v] += value[v];
    sums.store(to, sum);
  }
}

template <bool shared, class S, class I>
void add_run(const Bags& bags, const S* values, const I* ids, int64_t size, int64_t first, int64_t last,
             Compute<S>* table) {
  for (int64_t begin = 0; begin < size; begin += Additions::kMost) {
    const Additions additions(ids + begin, std::min(size - begin, Additions::kMost), bags.padding, first, last);
    const S* from = values + (shared ? 0 : begin * bags.stride);
    for_parts<S>(bags.width, [&](int64_t before, auto part) {
      add_part<shared>(part, additions, from + before, bags.stride, table + before, bags.width);
    });
  }
}

void add_rows(const Bags& bags, const void* values_in, Dtype dtype, int64_t first, int64_t last, void* table_in) {
  with_stored_type(dtype, [&]<class S>(S) {
    const S* values = static_cast<const S*>(values_in);
    Compute<S>* table = static_cast<Compute<S>*>(table_in);
    with_index_type(bags.ids, [&](const auto* ids) {
      if (bags.each == 1) return add_run<false>(bags, values, ids, bags.count, first, last, table);
      for (int64_t n = 0; n < bags.count; ++n)
        add_run<true>(bags, values + n * bags.stride, ids + n * bags.each, bags.each, first, last, table);
    });
  });
}

}  // namespace

extern const Kernels kernels = {
    .find_outside = find_outside,
    .sum_rows = sum_rows,
    .add_rows = add_rows,
    .update_rows = update_rows,
};

}  // namespace recops::embedding::RECOPS_ISA
