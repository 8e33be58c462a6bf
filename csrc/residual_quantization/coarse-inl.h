// Integer candidate search for beam search. 16-bit sums exclude most candidates; the others get the float sums that
// search-inl.h computes for all candidates.
//
// A candidate's integer key adds the grid's lower bound on ½‖c‖² − x·c and its products with the path, in units of the
// level. The possible rounding error of a key is known. select-inl.h gives a bound that at least `wanted` keys satisfy.
// A candidate whose key exceeds that bound by more than rounding explains is excluded.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/arena.h"
#include "residual_quantization/certify-inl.h"
#include "residual_quantization/grid-inl.h"
#include "residual_quantization/grid-panel-inl.h"
#include "residual_quantization/grid-scan-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/nearest-inl.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/rounding-inl.h"
#include "residual_quantization/search-inl.h"
#include "residual_quantization/select-inl.h"
#include "residual_quantization/table-inl.h"
#include "simd/lanes-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Bounds are counted in units above the row's least bound, starting at kLeastBound. They are clipped where the sum with
// the products would leave 16 bits. A clipped bound always gives a key above 0; keys below 0 are exact.
constexpr int32_t kLeastBound = -16384, kMostUnits = 32767, kNoKey = -32768;
constexpr int64_t kMostScored = 64;  // candidates scored beyond 2 · wanted; with more, the float search is cheaper

// Scratch memory of an integer search, laid out from `base`. A null base only computes the size.
struct Coarse {
  // Groups of one beam with keys up to `most`, one bit per group.
  struct Groups {
    uint32_t bits;
    int32_t beam, vector, most;
  };

  int64_t block;            // rows whose bounds are kept at a time
  int16_t* values;          // [rows, grid_row_size]
  GridRow* rounded;         // [rows]
  float* bounds;            // [block, scan_stride]
  Vec<float>* least;        // [block], lane-wise minima of the bounds
  int16_t* units;           // [table_stride]: bounds of one row
  const int16_t** terms;    // [levels]
  int32_t* costs;           // [beam]
  Groups* groups;           // [beam · kGroupVectors<int16_t>]
  int16_t* keys;            // [beam, table_stride]
  Vec<int16_t>* key_least;  // [beam][kGroupVectors<int16_t>], lane-wise minima of the keys
  int16_t* minima;          // [sets · kGroups]
  int16_t* spare;           // [sets · kGroups]
  int64_t sets;
  int64_t bytes;

  Coarse(const Codebooks& books, int64_t rows, int64_t beam, void* base) {
    int64_t largest = 1;
    for (int64_t l = 0; l < books.levels; ++l) largest = std::max(largest, size_of_level(books, l));
    const int64_t stride = round_up(largest, kGroups<int16_t>);
    block = std::min(scan_rows(largest), rows);
    sets = group_sets<int16_t>(beam);
    Arena arena(base);
    arena.take(least, block);
    arena.take(key_least, beam * kGroupVectors<int16_t>);
    arena.take(values, rows * coarse_row_size(books.codewords.dim));
    arena.take(rounded, rows);
    arena.take(bounds, block * scan_stride(largest));
    arena.take(units, stride);
    arena.take(terms, books.levels + 1);
    arena.take(costs, beam);
    arena.take(groups, beam * kGroupVectors<int16_t>);
    arena.take(keys, beam * stride);
    arena.take(minima, sets * kGroups<int16_t>);
    arena.take(spare, sets * kGroups<int16_t>);
    bytes = arena.used();
  }

  static int64_t coarse_row_size(int64_t dim) { return grid_row_size<Grid16>(dim) / int64_t{sizeof(int16_t)}; }

  void round(const float* row, int64_t i, int64_t dim) const {
    rounded[i] = round_row<Grid16>(row, dim, values + i * coarse_row_size(dim));
    rounded[i].error += bound_rounding(dim) * rounded[i].norm;
  }
};

// One level as seen by the integer search.
template <class S>
struct CoarseLevel {
  int64_t level, size;
  Certifier<S> certifier;
  const char* grid;       // panels of the level
  const float* table;     // the level's part of the product table
  const int16_t* coarse;  // the same part in units
  float longest, error;   // upper bounds on the norms of the codewords and on their rounding errors
  float unit;             // of the products
  bool separates;  // false if many codewords are nearly zero (unused ones, for example): their integer keys are all
                   // alike

  CoarseLevel(const Codebooks& books, int64_t l, const Panels<S>& panels, int64_t first_panel, const BeamTables& tables,
              float before)
      : level(l), size(panels.count), certifier(panels), longest(0), error(0) {
    const int64_t bytes = grid_panel_size<Grid16>(panels.dim);
    grid = static_cast<const char*>(tables.grid) + first_panel * bytes;
    table = static_cast<const float*>(tables.products) + table_values<float>(books, l);
    coarse = static_cast<const int16_t*>(tables.coarse) + table_values<int16_t>(books, l);
    for (int64_t p = 0; p < panels.size(); ++p) {
      const GridHead& head = *reinterpret_cast<const GridHead*>(grid + p * bytes);
      for (int k = 0; k < GridHead::kWidth; ++k) {
        longest = std::max(longest, head.norm[k]);
        error = std::max(error, head.error[k]);
      }
    }
    int64_t short_ones = 0;
    for (int64_t k = 0; k < size; ++k) short_ones += certifier.half(k) < longest * longest * 0x1p-16f;
    separates = short_ones <= kMostScored;
    unit = unit_of_products(std::sqrt(2 * longest_half(panels.packed, size, panels.dim)), before);
  }

  // Unit for one row. Level 0 has no products, so a unit can be chosen in which all of its bounds fit.
  float unit_of(const GridRow& row) const {
    return level > 0 ? unit : std::max(longest * (longest / 2 + 2 * row.norm) / kProductUnits, kLeastScale);
  }

  // Bound on the distance between a float score and its integer bound, in both directions: the grid errors plus
  // roundings. A key's roundings are those of the score, of one product per level, and of their sum. Each is at most
  // that of a score, and 8 leaves room for them. This is a margin, not a proof: errors that differ only by rounding may
  // compare either way.
  static constexpr float kRoundingsOfKey = 8;
  float width(const GridRow& row) const {
    return 2 * (longest * row.error + error * row.norm) +
           kRoundingsOfKey * certifier.rounding_bound(row.norm, longest * longest / 2);
  }

  void bound(const Coarse& coarse, int64_t first, int64_t rows) const {
    const int64_t dim = certifier.panels.dim;
    for (int64_t n = 0; n < rows; ++n) coarse.least[n] = broadcast(infinity<float>());
    for (int64_t p = 0; p < certifier.panels.size(); ++p)
      bound_block<Grid16>(coarse.values + first * Coarse::coarse_row_size(dim), coarse.rounded + first, rows, dim,
                          grid + p * grid_panel_size<Grid16>(dim), coarse.bounds + p * kWidth<float>, scan_stride(size),
                          coarse.least);
  }
};

// Converts the bounds of row n of the block to units.
inline void count_units(const Coarse& coarse, int64_t n, int64_t size, float unit, int64_t stride) {
  const float* bounds = coarse.bounds + n * scan_stride(size);
  const float least = reduce<float>(coarse.least[n], [](Vec<float> a, Vec<float> b) { return lesser<float>(a, b); });
  const float inverse = 1 / unit;
  const Vec<float> most = broadcast(static_cast<float>(kMostUnits));
  for (int64_t k = 0; k < stride; k += kLanes<float>) {
    Vec<float> above = most;
    if (k < scan_stride(size)) above = lesser<float>((load(bounds + k) - least) * inverse, most);
    store_integers<Grid16>(coarse.units + k, __builtin_convertvector(above, Int) + kLeastBound);
  }
}

// Selects the candidates of row i (row n of the block) that may be among the `wanted` best continuations and within
// `within` of the best. Their float keys are not computed yet. Returns false if too many candidates remain.
template <class S>
bool prune(const Search<float>& search, const Coarse& coarse, const CoarseLevel<S>& of, const Codebooks& books,
           int64_t i, int64_t n, int64_t beams, int64_t wanted, float within) {
  const GridRow& row = coarse.rounded[i];
  if (!on_grid(row)) return false;
  const int64_t stride = table_stride<int16_t>(books, of.level), group_size = stride / kGroups<int16_t>;
  const float inverse = 1 / of.unit_of(row);
  count_units(coarse, n, of.size, of.unit_of(row), stride);
  for (int64_t g = 0; g < coarse.sets * kGroups<int16_t>; ++g) coarse.minima[g] = infinity<int16_t>();
  const int32_t* path = search.paths[of.level % 2] + i * search.beam * books.levels;
  for (int64_t b = 0; b < beams; ++b, path += books.levels) {
    coarse.terms[0] = coarse.units;
    for (int64_t m = 0; m < of.level; ++m) coarse.terms[m + 1] = of.coarse + (books.offsets[m] + path[m]) * stride;
    Vec<int16_t>* least = coarse.key_least + b * kGroupVectors<int16_t>;
    sum_terms(coarse.terms, of.level + 1, stride, coarse.keys + b * stride, least);
    coarse.costs[b] = static_cast<int32_t>(std::min(search.costs[i * search.beam + b] * inverse, 65535.0f) + 0.5f);
    const int32_t cost = std::min(coarse.costs[b], kMostUnits);
    Vec<int16_t> raised[kGroupVectors<int16_t>];
    for (int v = 0; v < kGroupVectors<int16_t>; ++v)
      raised[v] = lesser<int16_t>(least[v], broadcast(static_cast<int16_t>(kMostUnits - cost))) +
                  broadcast(static_cast<int16_t>(cost));
    rotate_into(coarse.minima + b % coarse.sets * kGroups<int16_t>, raised);
  }
  float limit = static_cast<float>(bound_of(coarse.minima, coarse.sets, wanted, coarse.spare));
  if (within < infinity<float>()) {
    Vec<int16_t> least = load(coarse.minima);
    for (int64_t g = kLanes<int16_t>; g < coarse.sets * kGroups<int16_t>; g += kLanes<int16_t>)
      least = lesser<int16_t>(load(coarse.minima + g), least);
    const int16_t best = reduce<int16_t>(least, [](auto a, auto b) { return lesser<int16_t>(a, b); });
    limit = std::min(limit, static_cast<float>(best) + within * inverse);
  }
  // Rounding adds up to half a unit for each product and for the cost, on both sides, and one unit for the bound.
  limit += of.width(row) * inverse + static_cast<float>(of.level + 4);
  if (!(limit < 0)) return false;
  Selection<float>& selection = search.selections[i];
  const int64_t most_kept = std::min(2 * wanted + kMostScored, selection_capacity<float>(search.beam));
  // First collect the groups with a candidate, without a branch: such groups are rare and unpredictable.
  int64_t groups = 0, kept = 0;
  for (int64_t b = 0; b < beams; ++b) {
    const int32_t own = std::max(static_cast<int32_t>(limit) - coarse.costs[b], kNoKey);
    const Vec<int16_t> most = broadcast(static_cast<int16_t>(own));
    for (int v = 0; v < kGroupVectors<int16_t>; ++v) {
      const uint32_t bits = mask_bits<int16_t>(coarse.key_least[b * kGroupVectors<int16_t> + v] <= most);
      coarse.groups[groups] = {bits, static_cast<int32_t>(b), v, own};
      groups += bits != 0;
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    const Coarse::Groups held = coarse.groups[g];
    const int16_t* keys = coarse.keys + held.beam * stride;
    for (uint32_t bits = held.bits; bits != 0; bits &= bits - 1) {
      if (kept + group_size > most_kept) return false;
      for (int64_t k = held.vector * kLanes<int16_t> + __builtin_ctz(bits); k < stride; k += kGroups<int16_t>) {
        selection.items[kept].index = static_cast<int32_t>(held.beam * of.size + k);
        kept += keys[k] <= held.most;
      }
    }
  }
  selection.count = kept;
  selection.needed = std::clamp<int64_t>(kept, 1, wanted);
  return true;
}

// Calls f(item, beam, code, path) for every candidate of row i that prune selected.
template <class S, class F>
void for_candidates(const Search<float>& search, const CoarseLevel<S>& of, const Codebooks& books, int64_t i,
                    const F& f) {
  const Selection<float>& selection = search.selections[i];
  for (int64_t c = 0; c < selection.count; ++c) {
    const uint32_t index = static_cast<uint32_t>(selection.items[c].index), size = static_cast<uint32_t>(of.size);
    const int64_t b = index / size, k = index % size;
    f(selection.items[c], b, k, search.paths[of.level % 2] + (i * search.beam + b) * books.levels);
  }
}

// Prefetches the entries of the product table that score_candidates reads. The table is large, and each entry is in a
// different cache line.
template <class S>
void fetch(const Search<float>& search, const CoarseLevel<S>& of, const Codebooks& books, int64_t i) {
  const int64_t stride = table_stride<float>(books, of.level);
  for_candidates(search, of, books, i, [&](const Candidate<float>&, int64_t, int64_t k, const int32_t* path) {
    for (int64_t m = 0; m < of.level; ++m) __builtin_prefetch(of.table + (books.offsets[m] + path[m]) * stride + k);
  });
}

// Computes the float keys of the candidates, four at a time.
template <class S>
void score_candidates(const Search<float>& search, const CoarseLevel<S>& of, const Codebooks& books, int64_t i) {
  const int64_t stride = table_stride<float>(books, of.level);
  const float* row = search.rows + i * books.codewords.dim;
  Candidate<float>* items[4];
  int64_t codes[4], waiting = 0;
  const auto add_products = [&] {
    float scores[4];
    of.certifier.estimate(row, codes, scores);
    for (int64_t n = 0; n < waiting; ++n) items[n]->key += scores[n];
    waiting = 0;
  };
  for_candidates(search, of, books, i, [&](Candidate<float>& item, int64_t b, int64_t k, const int32_t* path) {
    float key = search.costs[i * search.beam + b];
    for (int64_t m = 0; m < of.level; ++m) key += of.table[(books.offsets[m] + path[m]) * stride + k];
    item.key = key;
    items[waiting] = &item;
    codes[waiting++] = k;
    if (waiting == 4) add_products();
  });
  if (waiting > 0) {
    for (int64_t n = waiting; n < 4; ++n) codes[n] = codes[0];
    add_products();
  }
}

// Offers the codes of level `of` to `count` rows; row i considers nothing farther than within(i) from its best. Rows
// that the integers do not decide go to by_floats(first, end).
template <class S, class W, class F>
void offer_by_integers(const Search<float>& search, const Coarse& coarse, const CoarseLevel<S>& of,
                       const Codebooks& books, int64_t count, int64_t beams, int64_t wanted, const W& within,
                       const F& by_floats) {
  for (int64_t first = 0; first < count; first += coarse.block) {
    const int64_t rows = std::min(coarse.block, count - first);
    of.bound(coarse, first, rows);
    bool waits = false;     // whether the previous row still needs scores; its table entries are being fetched
    int64_t undecided = 0;  // number of undecided rows just before this one
    for (int64_t n = 0; n <= rows; ++n) {
      const int64_t i = first + n;
      const bool decided = n < rows && prune(search, coarse, of, books, i, n, beams, wanted, within(i));
      if (decided) fetch(search, of, books, i);
      if (waits) score_candidates(search, of, books, i - 1);
      if (undecided > 0 && (decided || n == rows)) by_floats(i - undecided, i);
      undecided = decided ? 0 : undecided + 1;
      waits = decided;
    }
  }
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
