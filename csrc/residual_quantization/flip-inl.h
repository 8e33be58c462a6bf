// Counts of codes that change when noise is added to the residual.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/arena.h"
#include "residual_quantization/best-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/normal-inl.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/row-inl.h"
#include "residual_quantization/shift-inl.h"
#include "simd/stored-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Scratch memory for a block of rows, laid out from `base`. A null base only computes the size.
template <class T>
struct FlipBlock {
  int64_t rows;
  Best<T>* best;   // [rows]
  T* residual;     // [rows, dim]
  T* noisy;        // [rows, dim]
  float* noise;    // [dim], rounded up to whole noise blocks
  int32_t* codes;  // [rows]
  int32_t* moved;  // [rows]
  bool* finite;    // [rows]
  int64_t bytes;

  FlipBlock(const Codebooks& books, void* base) {
    const int64_t dim = books.codewords.dim;
    rows = block_rows(2 * dim * int64_t{sizeof(T)});
    Arena arena(base);
    arena.take(best, rows);
    arena.take(residual, rows * dim);
    arena.take(noisy, rows * dim);
    arena.take(noise, round_up(dim, kNoiseBlock));
    arena.take(codes, rows);
    arena.take(moved, rows);
    arena.take(finite, rows);
    bytes = arena.used();
  }
};

int64_t flip_scratch(const Codebooks& books) {
  return compute_bytes(books.codewords) == 8 ? FlipBlock<double>(books, nullptr).bytes
                                             : FlipBlock<float>(books, nullptr).bytes;
}

template <class X, class S, class T = Compute<S>>
void count_flips_of(const X* x, const Codebooks& books, const T* packed, const double* sigma, int64_t samples,
                    uint64_t seed, int64_t begin, int64_t end, int64_t* flips, void* scratch) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  const FlipBlock<T> block(books, scratch);
  for (int64_t l = 0; l <= levels; ++l) flips[l] = 0;
  for (int64_t first = begin; first < end; first += block.rows) {
    const int64_t rows = std::min(block.rows, end - first);
    for (int64_t n = 0; n < rows; ++n) {
      block.finite[n] = load_shifted(x + (first + n) * dim, dim, books.shift, block.residual + n * dim);
      flips[levels] += block.finite[n];
    }
    int64_t first_panel = 0;
    for (int64_t l = 0; l < levels; ++l) {
      const Panels<S> panels = panels_of_level<S>(books, l, packed, first_panel, static_cast<T*>(nullptr));
      nearest_of_level(block.residual, rows, panels, block.best, block.codes);
      const T scale = static_cast<T>(sigma[l]);
      for (int64_t s = 0; s < samples; ++s) {
        for (int64_t n = 0; n < rows; ++n) {
          fill_normals(seed, static_cast<uint64_t>(first + n), static_cast<uint32_t>(s * levels + l), dim, block.noise);
          for (int64_t d = 0; d < dim; ++d)
            block.noisy[n * dim + d] = block.residual[n * dim + d] + scale * static_cast<T>(block.noise[d]);
        }
        nearest_of_level(block.noisy, rows, panels, block.best, block.moved);
        for (int64_t n = 0; n < rows; ++n) flips[l] += block.finite[n] && block.moved[n] != block.codes[n];
      }
      for (int64_t n = 0; n < rows; ++n) {
        if (panels.shift != nullptr) load_row(x + (first + n) * dim, dim, block.residual + n * dim);
        subtract(block.residual + n * dim, panels.codewords + block.codes[n] * dim, dim);
      }
      first_panel += panels.size();
    }
  }
}

void count_flips(const Matrix& x, const Codebooks& books, const void* packed, const double* sigma, int64_t samples,
                 uint64_t seed, int64_t begin, int64_t end, int64_t* flips, void* scratch) {
  dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) -> int64_t {
    count_flips_of<X, S>(static_cast<const X*>(x.data), books, static_cast<const Compute<S>*>(packed), sigma, samples,
                         seed, begin, end, flips, scratch);
    return 0;
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
