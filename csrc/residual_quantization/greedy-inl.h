// Greedy residual encoding.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "common/arena.h"
#include "residual_quantization/best-inl.h"
#include "residual_quantization/grid-scan-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/row-inl.h"
#include "residual_quantization/shift-inl.h"
#include "simd/stored-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Scratch memory for a block of rows, laid out from `base`. A null base only computes the size.
template <class T>
struct GreedyBlock {
  int64_t rows;
  T* single;            // one panel
  Best<T>* best;        // [rows]
  T* residual;          // [rows, dim]
  int32_t* index;       // [rows]
  GridChoice* choices;  // [levels]
  void* scan;           // for the largest level
  int64_t bytes;

  GreedyBlock(const Codebooks& books, int64_t wanted, bool by_grids, void* base) {
    const int64_t dim = books.codewords.dim;
    rows = std::min(wanted, block_rows(dim * int64_t{sizeof(T)}));
    Arena arena(base);
    arena.take(single, panel_size<T>(dim));
    arena.take(best, rows);
    arena.take(residual, rows * dim);
    arena.take(index, rows);
    arena.take(choices, books.levels);
    scan = static_cast<char*>(base) + arena.used();
    int64_t largest = 0;
    for (int64_t l = 0; by_grids && l < books.levels; ++l)
      largest = std::max(largest, Scan(size_of_level(books, l), dim, nullptr).bytes);
    bytes = arena.used() + largest;
  }
};

int64_t encode_scratch(const Codebooks& books, int64_t rows, bool by_grids) {
  return compute_bytes(books.codewords) == 8 ? GreedyBlock<double>(books, rows, by_grids, nullptr).bytes
                                             : GreedyBlock<float>(books, rows, by_grids, nullptr).bytes;
}

template <class X, class S, class T = Compute<S>>
int64_t encode_rows(const X* x, const Codebooks& books, const T* packed, const Grids& grids, int64_t begin, int64_t end,
                    int32_t* codes, T* sq_error, void* scratch) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  const bool by_grids = grids.panels[0] != nullptr || grids.panels[1] != nullptr;
  const GreedyBlock<T> block(books, end - begin, by_grids, scratch);
  for (int64_t l = 0; l < levels; ++l) block.choices[l] = {};
  int64_t bad = -1;
  for (int64_t first = begin; first < end; first += block.rows) {
    const int64_t rows = std::min(block.rows, end - first);
    T* residual = block.residual;
    int32_t* code = codes + first * levels;
    T* error = sq_error + first;
    for (int64_t n = 0; n < rows; ++n)
      error[n] = load_shifted(x + (first + n) * dim, dim, books.shift, residual + n * dim)
                     ? T{0}
                     : std::numeric_limits<T>::quiet_NaN();
    int64_t first_panel = 0;
    for (int64_t l = 0; l < levels; ++l) {
      const Panels<S> panels = panels_of_level<S>(books, l, packed, first_panel, block.single);
      int64_t done = 0;
      if constexpr (std::is_same_v<T, float>) {
        const Scan scan(panels.count, dim, block.scan);
        if (by_grids)
          done = nearest_by_grids(residual, rows, panels, grids, first_panel, block.choices[l], scan, block.best,
                                  block.index);
      }
      const int64_t bad_here =
          nearest_of_level(residual + done * dim, rows - done, panels, block.best, block.index + done);
      if (bad_here >= 0 && bad < 0) bad = books.offsets[l] + bad_here;
      for (int64_t n = 0; n < rows; ++n) code[n * levels + l] = error[n] == 0 ? block.index[n] : -1;
      // Chosen codewords are scattered in memory: while one is subtracted, the one after the next is prefetched.
      const auto chosen = [&](int64_t n) { return panels.codewords + std::max(code[n * levels + l], 0) * dim; };
      for (int64_t n = 0; n < rows; ++n) {
        if (n + 2 < rows) prefetch(chosen(n + 2), dim);
        if (panels.shift != nullptr) load_row(x + (first + n) * dim, dim, residual + n * dim);
        if (code[n * levels + l] >= 0) subtract(residual + n * dim, chosen(n), dim);
      }
      first_panel += panels.size();
    }
    for (int64_t n = 0; n < rows; ++n)
      if (error[n] == 0) error[n] = squared_norm(residual + n * dim, dim);
  }
  return bad;
}

int64_t encode(const Matrix& x, const Codebooks& books, const void* packed, const Grids& grids, int64_t begin,
               int64_t end, int32_t* codes, void* sq_error, void* scratch) {
  return dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) {
    using T = Compute<S>;
    return encode_rows<X, S>(static_cast<const X*>(x.data), books, static_cast<const T*>(packed), grids, begin, end,
                             codes, static_cast<T*>(sq_error), scratch);
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
