// Beam search over residual codebooks. Part of cpu-inl.h; kernel.h says what it computes.
//
// The path (k_0 … k_l) leaves the residual r = x − Σ c_m,k_m, so continuing it by c adds to ½‖r‖²
//   ½‖c‖² − r·c = (½‖c‖² − x·c) + Σ_m c_m,k_m·c.
// With a table of all c_m·c the first term alone needs the dimensions, once for all beams. Without one, every beam's
// residual is kept and scored as a row of its own.
#pragma once

#include "residual_quantization/table-inl.h"
// The selection counts in the groups that the table defines.
#include "residual_quantization/select-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr int64_t kBeamBlockRows = 16 * kTileRows;

// ---- Memory of a search, laid out from `base`; from null it only counts.

template <class T>
struct Search {
  int64_t beam;       // the most paths there are at any level
  int64_t block;      // rows at a time
  int64_t sets;       // of groups
  T* rows;            // [block, dim]
  T* residuals[2];    // [block, beam, dim], the levels taking turns; without a table
  T* scores;          // [block, or block · beam without a table][kPiece]
  T* sums;            // [beam][kPiece]: what continuing every beam of one row adds
  T* prefix;          // [kPiece]
  const T** terms;    // [levels]
  Vec<T>* least;      // [beam][kGroupVectors]: minima over `sums`
  T* spare;           // [sets · kGroups]
  T* costs;           // [block, beam]: of ½‖r‖², more than that of the best
  int32_t* parents;   // [block, beam]
  int32_t* paths[2];  // [block, beam, levels], in order of paths
  Selection<T>* selections;
  Candidate<T>* order;  // [beam]
  bool* valid;          // [block]
  int64_t bytes;

  Search(const Codebooks& books, int64_t wanted, bool with_table, void* base) : bytes(0) {
    const int64_t dim = books.codewords.dim, levels = books.levels;
    beam = 1;
    for (int64_t l = 0; l < levels; ++l) beam = std::min(wanted, beam * std::min(wanted, size_of_level(books, l)));
    const int64_t scored = with_table ? 1 : beam;
    block = std::clamp(kBlockBytes / ((dim * scored + 1) * int64_t{sizeof(T)}), int64_t{1},
                       std::max(int64_t{1}, kBeamBlockRows / scored));
    sets = group_sets<T>(beam);
    const auto take = [&]<class U>(U*& field, int64_t count) {
      field = reinterpret_cast<U*>(static_cast<char*>(base) + bytes);
      bytes += round_up(count * int64_t{sizeof(U)}, 64);
    };
    take(least, beam * kGroupVectors);
    take(rows, block * dim);
    for (T*& residual : residuals) take(residual, with_table ? 0 : block * beam * dim);
    take(scores, block * scored * kPiece);
    take(sums, beam * kPiece);
    take(prefix, kPiece);
    take(terms, levels + 1);
    take(spare, sets * kGroups<T>);
    take(costs, block * beam);
    take(parents, block * beam);
    for (int32_t*& path : paths) take(path, block * beam * levels);
    take(selections, block);
    take(order, beam);
    take(valid, block);
    Candidate<T>* items;
    T* minima;
    take(items, block * selection_capacity<T>(beam));
    take(minima, block * sets * kGroups<T>);
    if (base == nullptr) return;
    for (int64_t i = 0; i < block; ++i) {
      selections[i].items = items + i * selection_capacity<T>(beam);
      selections[i].minima = minima + i * sets * kGroups<T>;
    }
  }
};

int64_t beam_scratch(const Codebooks& books, int64_t beam, bool with_table) {
  return compute_bytes(books.codewords) == 8 ? Search<double>(books, beam, with_table, nullptr).bytes
                                             : Search<float>(books, beam, with_table, nullptr).bytes;
}

// ---- One piece of one level for one row.

// out = Σ_m terms[m], and the minima of its groups.
template <int M, class T>
void sum_terms(const T* const* terms, int64_t count, T* out, Vec<T>* least) {
  Vec<T> low[kGroupVectors];
  for (Vec<T>& v : low) v = broadcast(infinity<T>());
  for (int64_t k = 0; k < count; k += kGroups<T>) {
#pragma GCC unroll 4
    for (int v = 0; v < kGroupVectors; ++v) {
      const int64_t at = k + v * kLanes<T>;
      Vec<T> sum = load(terms[0] + at);
#pragma GCC unroll 4
      for (int m = 1; m < M; ++m) sum += load(terms[m] + at);
      store(out + at, sum);
      low[v] = lesser<T>(sum, low[v]);
    }
  }
  for (int v = 0; v < kGroupVectors; ++v) least[v] = low[v];
}

// Any number of terms, added from the first to the last. Writes over `terms`.
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

// How many of the first l codes two paths share.
inline int64_t common(const int32_t* a, const int32_t* b, int64_t l) {
  int64_t m = 0;
  while (m < l && a[m] == b[m]) ++m;
  return m;
}

// What the beams of row i, `beams` of them, have to choose from in codes first up to first + count of level l.
template <class T>
void offer_piece(Search<T>& search, const Codebooks& books, const T* table, int64_t i, int64_t l, int64_t beams,
                 int64_t wanted, int64_t first, int64_t count) {
  Selection<T>& selection = search.selections[i];
  const T* costs = search.costs + i * search.beam;
  const int32_t* paths = search.paths[l % 2] + i * search.beam * books.levels;
  const int64_t stride = table_stride<T>(books, l);
  int64_t shared = 0;  // levels that `prefix` sums
  for (int64_t b = 0; b < beams; ++b) {
    const int32_t* path = paths + b * books.levels;
    const T* base = search.scores + (table != nullptr ? i : i * beams + b) * kPiece;
    Vec<T>* least = search.least + b * kGroupVectors;
    int64_t num_terms = 1, done = 0;
    const auto add = [&](int64_t end) {
      for (; done < end; ++done)
        search.terms[num_terms++] = table + (books.offsets[done] + path[done]) * stride + first;
    };
    search.terms[0] = base;
    if (table != nullptr) {
      const int64_t before = b > 0 ? common(path - books.levels, path, l) : 0;
      const int64_t after = b + 1 < beams ? common(path, path + books.levels, l) : 0;
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
    // Beams like the same codes: turning the groups keeps those from meeting in one.
    T* minima = selection.minima + b % search.sets * kGroups<T>;
    for (int v = 0; v < kGroupVectors; ++v) {
      const Vec<T> turned = rotate<T>(load(minima + v * kLanes<T>), std::make_integer_sequence<int, kLanes<T>>{});
      least[v] += costs[b];
      store(minima + v * kLanes<T>, lesser<T>(least[v], turned));
    }
  }
  selection.bound = std::min(selection.bound, bound_of(selection, search.sets, wanted, search.spare));
  for (int64_t b = 0; b < beams; ++b) {
    const Vec<T>* least = search.least + b * kGroupVectors;
    const Vec<T> low = lesser<T>(lesser<T>(least[0], least[1]), lesser<T>(least[2], least[3]));
    if (mask_bits<T>(low <= selection.bound) != 0)
      keep(selection, search.sums + b * kPiece, count, least, costs[b], b * size_of_level(books, l) + first, wanted);
  }
}

// Makes what row i selected at level l its beams.
template <class T>
void advance(Search<T>& search, const Codebooks& books, int64_t i, int64_t l, int64_t wanted) {
  const int64_t size = size_of_level(books, l), levels = books.levels;
  Selection<T>& selection = search.selections[i];
  T* costs = search.costs + i * search.beam;
  int32_t* parents = search.parents + i * search.beam;
  const int32_t* from = search.paths[l % 2] + i * search.beam * levels;
  int32_t* to = search.paths[(l + 1) % 2] + i * search.beam * levels;
  if (!finish(selection, wanted)) {  // NaN, or scores that overflow
    search.valid[i] = false;
    for (int64_t b = 0; b < wanted; ++b) selection.items[b] = {0, 0};
  }
  T best = selection.items[0].key;
  for (int64_t b = 1; b < wanted; ++b) best = std::min(best, selection.items[b].key);
  for (int64_t b = 0; b < wanted; ++b, to += levels) {
    const Candidate<T> item = selection.items[b];
    costs[b] = item.key - best;
    parents[b] = item.index / static_cast<int32_t>(size);
    for (int64_t m = 0; m < l; ++m) to[m] = from[parents[b] * levels + m];
    to[l] = item.index % static_cast<int32_t>(size);
  }
}

// ‖x − Σ c‖², subtracted level by level as greedy encoding does.
template <class S, class T = Compute<S>>
T path_error(const T* row, const S* codewords, const int64_t* offsets, const int32_t* path, int64_t levels,
             int64_t dim) {
  Vec<T> sum = {};
  for (int64_t d = 0; d < dim; d += kLanes<T>) {
    Vec<T> v = load_as_compute(row + d, dim - d);
    for (int64_t l = 0; l < levels; ++l) v -= load_as_compute(codewords + (offsets[l] + path[l]) * dim + d, dim - d);
    sum += v * v;
  }
  return reduce_add<T>(sum);
}

// The longest codewords of all levels: the sum of their norms, and of the squares of those.
template <class T>
struct Longest {
  T sum, squares;

  Longest(const Codebooks& books, const T* panel) : sum(0), squares(0) {
    for (int64_t l = 0; l < books.levels; ++l) {
      T half = 0;
      const int64_t size = size_of_level(books, l);
      for (int64_t first = 0; first < size; first += kWidth<T>, panel += panel_size<T>(books.codewords.dim))
        for (int64_t k = 0; k < std::min<int64_t>(kWidth<T>, size - first); ++k) half = std::max(half, panel[k]);
      sum += std::sqrt(2 * half);
      squares += 2 * half;
    }
  }

  // A path of row x whose cost is further than this from the least cannot have the least sq_error. It bounds, for two
  // paths, the rounding of costs, which are sums of dot products of `dim` terms, and of sq_error itself.
  T margin(const T* row, int64_t dim, int64_t levels) const {
    const T scale = std::sqrt(squared_norm(row, dim)) + sum;
    return static_cast<T>(dim + levels + 8) * std::numeric_limits<T>::epsilon() *
           (T{1.5} * scale * scale + static_cast<T>(levels) * squares / 2);
  }
};

// The first `kept` of row i's beams by their error, then by path. Where one is wanted, errors are taken of those alone
// that may be it.
template <class S, class T = Compute<S>>
void write_row(const Search<T>& search, const Codebooks& books, const S* codewords, const Longest<T>& longest,
               int64_t i, int64_t beams, int64_t kept, int32_t* codes, T* sq_error) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  const T* row = search.rows + i * dim;
  const T* costs = search.costs + i * search.beam;
  const int32_t* paths = search.paths[levels % 2] + i * search.beam * levels;
  const T margin = kept == 1 ? longest.margin(row, dim, levels) : infinity<T>();
  int64_t found = 0;
  for (int64_t b = 0; b < beams && search.valid[i]; ++b) {
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

template <class X, class S, class T = Compute<S>>
void search_beams(const X* x, const Codebooks& books, const T* packed, const T* table, int64_t wanted, int64_t kept,
                  int64_t begin, int64_t end, int32_t* codes, T* sq_error, void* scratch) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  const S* codewords = static_cast<const S*>(books.codewords.data);
  Search<T> search(books, wanted, table != nullptr, scratch);
  const Longest<T> longest(books, packed);
  for (int64_t begin_block = begin; begin_block < end; begin_block += search.block) {
    const int64_t rows = std::min(search.block, end - begin_block);
    for (int64_t i = 0; i < rows; ++i) {
      search.valid[i] = load_row(x + (begin_block + i) * dim, dim, search.rows + i * dim);
      search.costs[i * search.beam] = 0;
    }
    int64_t beams = 1;
    const T* panels = packed;
    const T* level_table = table;
    for (int64_t l = 0; l < levels; ++l) {
      const int64_t size = size_of_level(books, l), next = std::min(wanted, beams * size);
      const bool own = table == nullptr && l > 0;  // every beam has a row of its own
      for (int64_t i = 0; i < rows; ++i) start(search.selections[i], search.sets);
      for (int64_t first = 0; first < size; first += kPiece) {
        const int64_t count = std::min(kPiece, round_up(size - first, kGroups<T>));
        const int64_t scored = own ? rows * beams : rows;
        int64_t done = 0;
        for (; done < count && first + done < size; done += kWidth<T>, panels += panel_size<T>(dim))
          score_block<kTileRows>(own ? search.residuals[l % 2] : search.rows, scored, dim, panels, search.scores + done,
                                 kPiece);
        for (int64_t n = 0; n < scored; ++n)
          for (int64_t k = done; k < count; ++k) search.scores[n * kPiece + k] = infinity<T>();
        for (int64_t i = 0; i < rows; ++i) offer_piece(search, books, level_table, i, l, beams, next, first, count);
      }
      for (int64_t i = 0; i < rows; ++i) advance(search, books, i, l, next);
      if (table != nullptr && l > 0) level_table += books.offsets[l] * table_stride<T>(books, l);
      if (table == nullptr && l + 1 < levels) {
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t b = 0; b < next; ++b) {
            const int64_t parent = i * beams + search.parents[i * search.beam + b];
            const int32_t code = search.paths[(l + 1) % 2][(i * search.beam + b) * levels + l];
            T* to = search.residuals[(l + 1) % 2] + (i * next + b) * dim;
            const T* from = own ? search.residuals[l % 2] + parent * dim : search.rows + i * dim;
            for (int64_t d = 0; d < dim; ++d) to[d] = from[d];
            subtract(to, codewords + (books.offsets[l] + code) * dim, dim);
          }
        }
      }
      beams = next;
    }
    for (int64_t i = 0; i < rows; ++i)
      write_row(search, books, codewords, longest, i, beams, kept, codes + (begin_block + i) * kept * levels,
                sq_error + (begin_block + i) * kept);
  }
}

int64_t encode_beams(const Matrix& x, const Codebooks& books, const void* packed, const void* table, int64_t beam,
                     int64_t kept, int64_t begin, int64_t end, int32_t* codes, void* sq_error, void* scratch) {
  return dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) -> int64_t {
    using T = Compute<S>;
    search_beams<X, S>(static_cast<const X*>(x.data), books, static_cast<const T*>(packed),
                       static_cast<const T*>(table), beam, kept, begin, end, codes, static_cast<T*>(sq_error), scratch);
    return 0;
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
