// Row sums of overlaps, and the total overlap.
#pragma once

#include <algorithm>
#include <cstdint>

#include "codebook_overlap/distance_kernels-inl.h"
#include "codebook_overlap/kernel.h"
#include "codebook_overlap/panel-inl.h"
#include "simd/stored-inl.h"
#include "simd/vector-inl.h"

namespace recops::codebook_overlap::RECOPS_ISA {
namespace {

// Partial sums over this many codewords are added in a second step, so that float keeps its accuracy for thousands of
// codewords.
constexpr int64_t kPartialRows = 16 * kTileRows;

template <int R, class T, class Kernel>
[[gnu::noinline]] void add_overlaps(const T* rows, const T* usage, int64_t dim, const T* panel, const Kernel& kernel,
                                    Tile<T>& sum) {
  Tile<T> q[R];
  squared_distances<R>(rows, dim, panel, q);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) sum[v] += usage[r] * kernel.overlap(q[r][v]);
}

template <class T, class Kernel>
void panel_row_sums(const Codebook& book, const Kernel& kernel, const T* panel, Tile<T>& total) {
  const T* codewords = static_cast<const T*>(book.codewords);
  const T* usage = static_cast<const T*>(book.usage);
  for (int64_t first = 0; first < book.size; first += kPartialRows) {
    const int64_t end = std::min(first + kPartialRows, book.size);
    Tile<T> sum = {};
    int64_t j = first;
    for (; j + kTileRows <= end; j += kTileRows)
      add_overlaps<kTileRows>(codewords + j * book.dim, usage + j, book.dim, panel, kernel, sum);
    for (; j < end; ++j) add_overlaps<1>(codewords + j * book.dim, usage + j, book.dim, panel, kernel, sum);
    for (int v = 0; v < kTileVectors; ++v) total[v] += sum[v];
  }
}

void row_sums(const Codebook& book, Overlap kind, double sigma, int64_t begin, int64_t end, void* scratch, void* out) {
  with_compute_type(book.wide, [&]<class T>(T) {
    with_kernel<T>(kind, sigma, [&](const auto& kernel) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t first = p * kWidth<T>, count = std::min<int64_t>(kWidth<T>, book.size - first);
        T* panel = reinterpret_cast<T*>(static_cast<char*>(scratch) + p * panel_bytes(book));
        pack_panel(static_cast<const T*>(book.codewords) + first * book.dim, count, book.dim, panel);
        Tile<T> total = {};
        panel_row_sums(book, kernel, panel, total);
        store_tile(static_cast<T*>(out) + first, total, count);
      }
    });
  });
}

double overlap(const Codebook& book, const void* row_sums) {
  return with_compute_type(book.wide, [&]<class T>(T) {
    double total = 0;
    for (int64_t i = 0; i < book.size; ++i)
      total += double{static_cast<const T*>(book.usage)[i]} * double{static_cast<const T*>(row_sums)[i]};
    return total;
  });
}

}  // namespace
}  // namespace recops::codebook_overlap::RECOPS_ISA
