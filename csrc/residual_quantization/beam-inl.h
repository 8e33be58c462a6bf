// Beam search over residual codebooks; see kernel.h for its result.
//
// The path (k_0 … k_l) leaves the residual r = x − Σ c_m,k_m. Extending it by c changes ½‖r‖² by
//   ½‖c‖² − r·c = (½‖c‖² − x·c) + Σ_m c_m,k_m·c.
// With a table of all c_m·c, only the first term is a sum over dimensions, and all beams share it. Without a table, the
// residual of every beam is stored and scored as a separate row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "residual_quantization/coarse-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/nearest-inl.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/path-inl.h"
#include "residual_quantization/row-inl.h"
#include "residual_quantization/search-inl.h"
#include "residual_quantization/select-inl.h"
#include "residual_quantization/shift-inl.h"
#include "residual_quantization/table-inl.h"
#include "simd/stored-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Turns the selected candidates of row i at level l into its beams.
template <class T>
void advance(Search<T>& search, const Codebooks& books, int64_t i, int64_t l) {
  const int64_t size = size_of_level(books, l), levels = books.levels;
  Selection<T>& selection = search.selections[i];
  const int64_t selected = selection.needed;
  T* costs = search.costs + i * search.beam;
  int32_t* parents = search.parents + i * search.beam;
  const int32_t* from = search.paths[l % 2] + i * search.beam * levels;
  int32_t* to = search.paths[(l + 1) % 2] + i * search.beam * levels;
  T best = infinity<T>();
  if (finish(selection))
    for (int64_t b = 0; b < selected; ++b) best = std::min(best, selection.items[b].key);
  if (std::abs(best) == infinity<T>()) {  // NaN, or overflowing scores
    search.valid[i] = false;
    for (int64_t b = 0; b < selected; ++b) selection.items[b] = {0, 0};
    best = 0;
  }
  for (int64_t b = 0; b < selected; ++b, to += levels) {
    const Candidate<T> item = selection.items[b];
    costs[b] = item.key - best;
    parents[b] = item.index / static_cast<int32_t>(size);
    for (int64_t m = 0; m < l; ++m) to[m] = from[parents[b] * levels + m];
    to[l] = item.index % static_cast<int32_t>(size);
  }
}

// Writes the first `kept` beams of row i, ordered by error, then by path. For a single result, errors are computed only
// for beams that may have the least error.
template <class X, class S, class T = Compute<S>>
void write_row(const Search<T>& search, const Codebooks& books, const X* x, const S* codewords,
               const Longest<T>& longest, int64_t i, int64_t kept, int32_t* codes, T* sq_error) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  T* row = search.rows + i * dim;
  const T* costs = search.costs + i * search.beam;
  const int32_t* paths = search.paths[levels % 2] + i * search.beam * levels;
  const T margin = kept == 1 ? longest.margin(row, dim, levels) : infinity<T>();
  if (books.shift != nullptr) load_row(x, dim, row);
  int64_t found = 0;
  for (int64_t b = 0; search.valid[i] && b < search.selections[i].count; ++b) {
    if (costs[b] > margin) continue;
    const T error = path_error(row, codewords, books.offsets, paths + b * levels, levels, dim);
    search.order[found++] = {error, static_cast<int32_t>(b)};
  }
  std::sort(search.order, search.order + found);
  for (int64_t b = 0; b < kept; ++b, codes += levels) {
    const bool there = b < found;
    sq_error[b] = there ? search.order[b].key : search.valid[i] ? infinity<T>() : std::numeric_limits<T>::quiet_NaN();
    for (int64_t l = 0; l < levels; ++l) codes[l] = there ? paths[search.order[b].index * levels + l] : -1;
  }
}

// ---- The search. Its scratch holds a Search, then a Coarse.

template <class T>
int64_t search_scratch(const Codebooks& books, int64_t beam, const BeamTables& tables) {
  const Search<T> search(books, beam, tables, nullptr);
  return search.bytes + (tables.coarse == nullptr ? 0 : Coarse(books, search.block, search.beam, nullptr).bytes);
}

int64_t beam_scratch(const Codebooks& books, int64_t beam, const BeamTables& tables) {
  return compute_bytes(books.codewords) == 8 ? search_scratch<double>(books, beam, tables)
                                             : search_scratch<float>(books, beam, tables);
}

template <class X, class S, class T = Compute<S>>
void search_beams(const X* x, const Codebooks& books, const T* packed, const BeamTables& tables, int64_t wanted,
                  int64_t kept, int64_t begin, int64_t end, int32_t* codes, T* sq_error, void* scratch) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  const S* codewords = static_cast<const S*>(books.codewords.data);
  const T* table = static_cast<const T*>(tables.products);
  Search<T> search(books, wanted, tables, scratch);
  const Coarse coarse(books, search.block, search.beam, static_cast<char*>(scratch) + search.bytes);
  const Longest<T> longest(books, packed);
  for (int64_t begin_block = begin; begin_block < end; begin_block += search.block) {
    const int64_t rows = std::min(search.block, end - begin_block);
    for (int64_t i = 0; i < rows; ++i) {
      search.valid[i] = load_shifted(x + (begin_block + i) * dim, dim, books.shift, search.rows + i * dim);
      search.costs[i * search.beam] = 0;
      if constexpr (std::is_same_v<T, float>)
        if (tables.coarse != nullptr) coarse.round(search.rows + i * dim, i, dim);
    }
    int64_t beams = 1, first_panel = 0;
    T before = 0;  // sum over earlier levels of the longest codeword's norm
    for (int64_t l = 0; l < levels; ++l) {
      const int64_t next = std::min(wanted, beams * size_of_level(books, l));
      const Panels<S> panels = panels_of_level<S>(books, l, packed, first_panel, static_cast<T*>(nullptr));
      const auto by_floats = [&](int64_t first, int64_t end_row) {
        const T* products = table == nullptr ? nullptr : table + table_values<T>(books, l);
        offer_by_floats(search, books, panels.packed, products, first, end_row, l, beams, next);
      };
      // The last level of a single-result search needs only the paths that sq_error cannot distinguish from the best.
      const bool for_best = kept == 1 && l + 1 == levels;
      const auto within = [&](int64_t i) {
        return for_best ? longest.margin(search.rows + i * dim, dim, levels) : infinity<T>();
      };
      bool decided = false;
      if constexpr (std::is_same_v<T, float>)
        if (tables.coarse != nullptr) {
          const CoarseLevel<S> level(books, l, panels, first_panel, tables, before);
          decided = level.separates;
          if (decided) offer_by_integers(search, coarse, level, books, rows, beams, next, within, by_floats);
        }
      if (!decided) by_floats(0, rows);
      before += std::sqrt(2 * longest_half(panels.packed, panels.count, dim));
      first_panel += panels.size();
      for (int64_t i = 0; i < rows; ++i) advance(search, books, i, l);
      if (table == nullptr && l + 1 < levels) {
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t b = 0; b < next; ++b) {
            const int64_t parent = i * beams + search.parents[i * search.beam + b];
            const int32_t code = search.paths[(l + 1) % 2][(i * search.beam + b) * levels + l];
            T* to = search.residuals[(l + 1) % 2] + (i * next + b) * dim;
            const T* from = l > 0 ? search.residuals[l % 2] + parent * dim : search.rows + i * dim;
            if (l == 0 && books.shift != nullptr)
              load_row(x + (begin_block + i) * dim, dim, to);
            else
              for (int64_t d = 0; d < dim; ++d) to[d] = from[d];
            subtract(to, codewords + (books.offsets[l] + code) * dim, dim);
          }
        }
      }
      beams = next;
    }
    for (int64_t i = 0; i < rows; ++i)
      write_row(search, books, x + (begin_block + i) * dim, codewords, longest, i, kept,
                codes + (begin_block + i) * kept * levels, sq_error + (begin_block + i) * kept);
  }
}

int64_t encode_beams(const Matrix& x, const Codebooks& books, const void* packed, const BeamTables& tables,
                     int64_t beam, int64_t kept, int64_t begin, int64_t end, int32_t* codes, void* sq_error,
                     void* scratch) {
  return dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) -> int64_t {
    using T = Compute<S>;
    search_beams<X, S>(static_cast<const X*>(x.data), books, static_cast<const T*>(packed), tables, beam, kept, begin,
                       end, codes, static_cast<T*>(sq_error), scratch);
    return 0;
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
