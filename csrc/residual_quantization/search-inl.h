// Memory of a beam search, and the candidates of each row: the sums that extending its beams adds. beam-inl.h describes
// the search.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/arena.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/nearest-inl.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/row-inl.h"
#include "residual_quantization/select-inl.h"
#include "residual_quantization/table-inl.h"
#include "simd/lanes-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Rows that go through a level together. The integer search limits separately how many of them have scores at a time
// (Coarse). It therefore takes more rows, so a level's tables are loaded less often.
constexpr int64_t kBeamBlockRows = 16 * kTileRows, kCoarseBlockRows = 80 * kTileRows;

// ---- Scratch memory of a search, laid out from `base`. A null base only computes the size.

template <class T>
struct Search {
  int64_t beam;       // largest number of paths at any level
  int64_t block;      // rows at a time
  int64_t sets;       // sets of groups (select-inl.h)
  T* rows;            // [block, dim]
  T* residuals[2];    // [block, beam, dim], alternating between levels; only without a table
  T* scores;          // [block][kPiece]; without a table [block · beam][kPiece]
  T* sums;            // [beam][kPiece]: the costs of extending each beam of one row
  T* prefix;          // [kPiece]
  const T** terms;    // [levels]
  Vec<T>* least;      // [beam][kGroupVectors<T>]: minima over `sums`
  T* spare;           // [sets · kGroups]
  T* costs;           // [block, beam]: ½‖r‖² minus the least of the row
  int32_t* parents;   // [block, beam]
  int32_t* paths[2];  // [block, beam, levels], in ascending order of paths
  Selection<T>* selections;
  Candidate<T>* order;  // [beam]
  bool* valid;          // [block]
  int64_t bytes;

  Search(const Codebooks& books, int64_t wanted, const BeamTables& tables, void* base) {
    const int64_t dim = books.codewords.dim, levels = books.levels;
    beam = 1;
    for (int64_t l = 0; l < levels; ++l) beam = std::min(wanted, beam * std::min(wanted, size_of_level(books, l)));
    const bool with_table = tables.products != nullptr;
    const int64_t scored = with_table ? 1 : beam, most = tables.coarse != nullptr ? kCoarseBlockRows : kBeamBlockRows;
    block = std::clamp(kBlockBytes / ((dim * scored + 1) * int64_t{sizeof(T)}), int64_t{1},
                       std::max(int64_t{1}, most / scored));
    sets = group_sets<T>(beam);
    Arena arena(base);
    arena.take(least, beam * kGroupVectors<T>);
    arena.take(rows, block * dim);
    for (T*& residual : residuals) arena.take(residual, with_table ? 0 : block * beam * dim);
    arena.take(scores, block * scored * kPiece);
    arena.take(sums, beam * kPiece);
    arena.take(prefix, kPiece);
    arena.take(terms, levels + 1);
    arena.take(spare, sets * kGroups<T>);
    arena.take(costs, block * beam);
    arena.take(parents, block * beam);
    for (int32_t*& path : paths) arena.take(path, block * beam * levels);
    arena.take(selections, block);
    arena.take(order, beam);
    arena.take(valid, block);
    Candidate<T>* items;
    T* minima;
    arena.take(items, block * selection_capacity<T>(beam));
    arena.take(minima, block * sets * kGroups<T>);
    bytes = arena.used();
    if (base == nullptr) return;
    for (int64_t i = 0; i < block; ++i) {
      selections[i].items = items + i * selection_capacity<T>(beam);
      selections[i].minima = minima + i * sets * kGroups<T>;
    }
  }
};

// ---- One piece of one level for one row.

// out = Σ_m terms[m]; also computes the minima of its groups.
template <int M, class T>
void sum_terms(const T* const* terms, int64_t count, T* out, Vec<T>* least) {
  Vec<T> low[kGroupVectors<T>];
  for (Vec<T>& v : low) v = broadcast(infinity<T>());
  for (int64_t k = 0; k < count; k += kGroups<T>) {
#pragma GCC unroll 4
    for (int v = 0; v < kGroupVectors<T>; ++v) {
      const int64_t at = k + v * kLanes<T>;
      Vec<T> sum = load(terms[0] + at);
#pragma GCC unroll 4
      for (int m = 1; m < M; ++m) sum += load(terms[m] + at);
      store(out + at, sum);
      low[v] = lesser<T>(sum, low[v]);
    }
  }
  for (int v = 0; v < kGroupVectors<T>; ++v) least[v] = low[v];
}

// The same for any number of terms, added from first to last. Overwrites `terms`.
template <class T>
void sum_terms(const T** terms, int64_t num_terms, int64_t count, T* out, Vec<T>* least) {
  for (; num_terms > 4; num_terms -= 3, terms += 3) {
    sum_terms<4>(terms, count, out, least);
    terms[3] = out;
  }
  switch (num_terms) {
    case 1: return sum_terms<1>(terms, count, out, least);
    case 2: return sum_terms<2>(terms, count, out, least);
    case 3: return sum_terms<3>(terms, count, out, least);
    default: return sum_terms<4>(terms, count, out, least);
  }
}

// Length of the common prefix of two paths, at most l.
inline int64_t shared_prefix(const int32_t* a, const int32_t* b, int64_t l) {
  int64_t m = 0;
  while (m < l && a[m] == b[m]) ++m;
  return m;
}

// Offers the extensions of the `beams` beams of row i by codes [first, first + count) of level l.
template <class T>
void offer_piece(Search<T>& search, const Codebooks& books, const T* table, int64_t i, int64_t l, int64_t beams,
                 int64_t wanted, int64_t first, int64_t count) {
  Selection<T>& selection = search.selections[i];
  const T* costs = search.costs + i * search.beam;
  const int32_t* paths = search.paths[l % 2] + i * search.beam * books.levels;
  const int64_t stride = table_stride<T>(books, l);
  int64_t shared = 0;  // number of levels summed in `prefix`
  for (int64_t b = 0; b < beams; ++b) {
    const int32_t* path = paths + b * books.levels;
    const T* base = search.scores + (table != nullptr ? i : i * beams + b) * kPiece;
    Vec<T>* least = search.least + b * kGroupVectors<T>;
    int64_t num_terms = 1, done = 0;
    const auto add = [&](int64_t end) {
      for (; done < end; ++done)
        search.terms[num_terms++] = table + (books.offsets[done] + path[done]) * stride + first;
    };
    search.terms[0] = base;
    if (table != nullptr) {
      const int64_t before = b > 0 ? shared_prefix(path - books.levels, path, l) : 0;
      const int64_t after = b + 1 < beams ? shared_prefix(path, path + books.levels, l) : 0;
      if (shared > 0 && shared <= before) {
        search.terms[0] = search.prefix;
        done = shared;
      } else {
        shared = 0;
      }
      if (after > shared) {
        add(after);
        sum_terms(search.terms, num_terms, count, search.prefix, least);
        search.terms[0] = search.prefix;
        num_terms = 1;
        shared = after;
      }
      add(l);
    }
    sum_terms(search.terms, num_terms, count, search.sums + b * kPiece, least);
    for (int v = 0; v < kGroupVectors<T>; ++v) least[v] += costs[b];
    rotate_into(selection.minima + b % search.sets * kGroups<T>, least);
  }
  selection.bound = std::min(selection.bound, bound_of(selection.minima, search.sets, wanted, search.spare));
  for (int64_t b = 0; b < beams; ++b) {
    const Vec<T>* least = search.least + b * kGroupVectors<T>;
    const Vec<T> low = lesser<T>(lesser<T>(least[0], least[1]), lesser<T>(least[2], least[3]));
    if (mask_bits<T>(low <= selection.bound) != 0)
      keep(selection, search.sums + b * kPiece, count, least, costs[b], b * size_of_level(books, l) + first, wanted);
  }
}

// Offers all codes of level l, with these panels, to rows [first_row, end_row) of the block. Without a table, from
// level 1 on, each beam's residual is scored as a row.
template <class T>
void offer_by_floats(Search<T>& search, const Codebooks& books, const T* panels, const T* table, int64_t first_row,
                     int64_t end_row, int64_t l, int64_t beams, int64_t wanted) {
  const int64_t dim = books.codewords.dim, size = size_of_level(books, l);
  const bool own = table == nullptr && l > 0;
  const int64_t each = own ? beams : 1, scored = (end_row - first_row) * each;
  const T* rows = (own ? search.residuals[l % 2] : search.rows) + first_row * each * dim;
  T* scores = search.scores + first_row * each * kPiece;
  for (int64_t i = first_row; i < end_row; ++i) start(search.selections[i], search.sets, wanted);
  for (int64_t first = 0; first < size; first += kPiece) {
    const int64_t count = std::min(kPiece, round_up(size - first, kGroups<T>));
    int64_t done = 0;
    for (; done < count && first + done < size; done += kWidth<T>, panels += panel_size<T>(dim))
      score_block<kTileRows>(rows, scored, dim, panels, scores + done, kPiece);
    for (int64_t n = 0; n < scored; ++n)
      for (int64_t k = done; k < count; ++k) scores[n * kPiece + k] = infinity<T>();
    for (int64_t i = first_row; i < end_row; ++i) offer_piece(search, books, table, i, l, beams, wanted, first, count);
  }
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
