// Gradients of codewords and usages.
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

// A panel with the inputs and gradient sums of its codewords.
template <class T>
struct PanelGradient {
  const T* panel;
  Tile<T> usage, grad_row_sums;  // u_i and a_i
  Tile<T> grad_usage;
  T* grad_codewords;  // [dim][width]
};

template <int R, class T, class Kernel>
[[gnu::noinline]] void add_gradients(const T* rows, const T* usage, int64_t dim, T g, const T* h, const Kernel& kernel,
                                     PanelGradient<T>& own) {
  Tile<T> force[R];  // starts as squared distances
  squared_distances<R>(rows, dim, own.panel, force);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    const T u = usage[r], a = g * u + h[r];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      const Pair<T> pair = kernel.pair(force[r][v]);
      own.grad_usage[v] += (a + g * u) * pair.overlap;
      force[r][v] = (own.grad_row_sums[v] * u + own.usage[v] * a) * pair.slope;
    }
  }
  const T* panel = own.panel;
  T* gradient = own.grad_codewords;
  for (int64_t d = 0; d < dim; ++d, panel += kWidth<T>, gradient += kWidth<T>) {
    Tile<T> codeword, sum = {};
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) codeword[v] = load(panel + v * kLanes<T>);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> value = broadcast(rows[r * dim + d]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sum[v] += force[r][v] * (value - codeword[v]);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) store(gradient + v * kLanes<T>, load(gradient + v * kLanes<T>) + sum[v]);
  }
}

template <class T>
void unpack_panel(const T* panel, int64_t count, int64_t dim, T* rows) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < dim; ++d) rows[i * dim + d] = panel[d * kWidth<T> + i];
}

void backward(const Codebook& book, Overlap kind, double sigma, const void* g_data, const void* h_data, int64_t begin,
              int64_t end, void* scratch, void* grad_codewords, void* grad_usage) {
  with_compute_type(book.wide, [&]<class T>(T) {
    with_kernel<T>(kind, sigma, [&](const auto& kernel) {
      const T* codewords = static_cast<const T*>(book.codewords);
      const T* usage = static_cast<const T*>(book.usage);
      const T g = *static_cast<const T*>(g_data);
      const T* h = static_cast<const T*>(h_data);
      const int64_t dim = book.dim;
      for (int64_t p = begin; p < end; ++p) {
        const int64_t first = p * kWidth<T>, count = std::min<int64_t>(kWidth<T>, book.size - first);
        T* panel = reinterpret_cast<T*>(static_cast<char*>(scratch) + p * panel_bytes(book));
        pack_panel(codewords + first * dim, count, dim, panel);
        PanelGradient<T> own{panel, {}, {}, {}, panel + dim * kWidth<T>};
        std::fill_n(own.grad_codewords, dim * kWidth<T>, T{0});
        load_tile(usage + first, count, own.usage);
        load_tile(h + first, count, own.grad_row_sums);
        for (int v = 0; v < kTileVectors; ++v) own.grad_row_sums[v] += g * own.usage[v];
        int64_t j = 0;
        for (; j + kTileRows <= book.size; j += kTileRows)
          add_gradients<kTileRows>(codewords + j * dim, usage + j, dim, g, h + j, kernel, own);
        for (; j < book.size; ++j) add_gradients<1>(codewords + j * dim, usage + j, dim, g, h + j, kernel, own);
        unpack_panel(own.grad_codewords, count, dim, static_cast<T*>(grad_codewords) + first * dim);
        store_tile(static_cast<T*>(grad_usage) + first, own.grad_usage, count);
      }
    });
  });
}

}  // namespace
}  // namespace recops::codebook_overlap::RECOPS_ISA
