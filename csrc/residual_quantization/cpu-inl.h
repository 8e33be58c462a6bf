// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#include <algorithm>
#include <cmath>
#include <limits>

#include "residual_quantization/kernel.h"
#include "simd.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// The register tile: rows × vectors of codewords. Its accumulators, a row of the panel and one broadcast fill the file
// of registers; with 24 accumulators a tile needs 10 loads for 24 multiply-adds.
constexpr int kTileRows = 6;
constexpr int kTileVectors = kVectorRegisters == 32 ? 4 : 2;
template <class T>
constexpr int kWidth = kTileVectors * kLanes<T>;

// A block of rows is as large as the second-level cache can hold beside two panels.
constexpr int64_t kBlockBytes = 320 << 10;
constexpr int64_t kMaxBlockRows = 64 * kTileRows;

// Values of a cache line.
template <class S>
constexpr int64_t kLine = 64 / int64_t{sizeof(S)};

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

int64_t compute_bytes(const Matrix& m) { return m.dtype == Dtype::f64 ? 8 : 4; }

int64_t size_of_level(const Codebooks& books, int64_t level) { return books.offsets[level + 1] - books.offsets[level]; }

template <class T>
T infinity() {
  return std::numeric_limits<T>::infinity();
}

// ---- Panels.

template <class T>
int64_t panels_of(int64_t codewords) {
  return round_up(codewords, kWidth<T>) / kWidth<T>;
}

template <class T>
int64_t panel_size(int64_t dim) {
  return (1 + dim) * kWidth<T>;
}

// Packs `count` codewords, or a panel's worth if there are more. Returns the first with a bad norm, or −1.
template <class S, class T = Compute<S>>
int64_t pack_panel(const S* codewords, int64_t count, int64_t dim, T* panel) {
  constexpr int lanes = kLanes<T>;
  int64_t bad = -1;
  for (int v = kTileVectors - 1; v >= 0; --v) {
    Vec<T> norm = {};
    for (int64_t d = 0; d < dim; d += lanes) {
      Vec<T> square[lanes];
      for (int i = 0; i < lanes; ++i) {
        const int64_t row = v * lanes + i;
        square[i] = row < count ? load_as_compute(codewords + row * dim + d, dim - d) : Vec<T>{};
      }
      transpose<T>(square);
      for (int i = 0; i < lanes && d + i < dim; ++i) {
        norm += square[i] * square[i];
        store(panel + (1 + d + i) * kWidth<T> + v * lanes, square[i]);
      }
    }
    for (int i = lanes - 1; i >= 0; --i) {
      const int64_t row = v * lanes + i;
      const T half = row < count ? norm[i] / 2 : infinity<T>();
      panel[row] = half;
      if (row < count && !(half < infinity<T>())) bad = row;
    }
  }
  return bad;
}

// The panels of one level, ready or packed one by one.
template <class S, class T = Compute<S>>
struct Panels {
  const S* codewords;
  int64_t count;
  int64_t dim;
  const T* packed;  // null: pack into `single`
  T* single;

  int64_t size() const { return panels_of<T>(count); }

  const T* get(int64_t p, int64_t& bad) const {
    if (packed != nullptr) return packed + p * panel_size<T>(dim);
    const int64_t first = p * kWidth<T>;
    const int64_t found = pack_panel(codewords + first * dim, count - first, dim, single);
    if (found >= 0 && bad < 0) bad = first + found;
    return single;
  }
};

int64_t num_panels(const Codebooks& books) {
  int64_t total = 0;
  for (int64_t l = 0; l < books.levels; ++l)
    total += compute_bytes(books.codewords) == 8 ? panels_of<double>(size_of_level(books, l))
                                                 : panels_of<float>(size_of_level(books, l));
  return total;
}

int64_t panel_bytes(const Codebooks& books) {
  const int64_t dim = books.codewords.dim;
  return compute_bytes(books.codewords) == 8 ? panel_size<double>(dim) * 8 : panel_size<float>(dim) * 4;
}

int64_t pack(const Codebooks& books, int64_t begin, int64_t end, void* packed) {
  return with_stored_type(books.codewords.dtype, [&]<class S>(S) -> int64_t {
    using T = Compute<S>;
    const int64_t dim = books.codewords.dim;
    const S* codewords = static_cast<const S*>(books.codewords.data);
    int64_t panel = 0, bad = -1;
    for (int64_t l = 0; l < books.levels; ++l) {
      for (int64_t first = books.offsets[l]; first < books.offsets[l + 1]; first += kWidth<T>, ++panel) {
        if (panel < begin || panel >= end) continue;
        const int64_t found = pack_panel(codewords + first * dim, books.offsets[l + 1] - first, dim,
                                         static_cast<T*>(packed) + panel * panel_size<T>(dim));
        if (found >= 0 && bad < 0) bad = first + found;
      }
    }
    return bad;
  });
}

// ---- The tile: scores of R rows against one panel, in registers.

template <int R, class T>
[[gnu::always_inline]] inline void score_tile(const T* rows, int64_t dim, const T* panel,
                                              Vec<T> (&score)[R][kTileVectors]) {
  constexpr int lanes = kLanes<T>;
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) score[i][v] = load(panel + v * lanes);
  for (int64_t d = 0; d < dim; ++d) {
    panel += kWidth<T>;
    Vec<T> codeword[kTileVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) codeword[v] = load(panel + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const Vec<T> value = broadcast(rows[i * dim + d]);
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) score[i][v] -= value * codeword[v];
    }
  }
}

// The best codeword of a row so far, lane by lane: its score, and its index divided by the lanes of a vector.
template <class T>
struct Best {
  Vec<T> score;
  Vec<Lane<T>> ordinal;
};

template <int R, class T>
[[gnu::noinline]] void update_best(const T* rows, int64_t dim, const T* panel, int64_t ordinal, Best<T>* best) {
  Vec<T> score[R][kTileVectors];
  score_tile<R, T>(rows, dim, panel, score);
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
    Best<T> b = best[i];
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) {
      // The mask is taken from the minimum: taken from its own comparison, compilers make a blend of the minimum.
      const Vec<T> least = score[i][v] < b.score ? score[i][v] : b.score;
      const auto less = least < b.score;  // strict: the lowest index of a lane stays
      b.ordinal = less ? broadcast(static_cast<Lane<T>>(ordinal + v)) : b.ordinal;
      b.score = least;
    }
    best[i] = b;
  }
}

// Tiles of R rows, then what is left in narrower ones. A row's score does not depend on the tile it falls into. Beside
// each tile a slice of what comes next is fetched into the second-level cache.
template <int R, class T>
void update_block(const T* rows, int64_t count, int64_t dim, const T* panel, int64_t ordinal, Best<T>* best,
                  const T* upcoming, int64_t slice) {
  for (; count >= R; count -= R, rows += R * dim, best += R, upcoming += slice) {
    for (int64_t i = 0; i < slice; i += kLine<T>) __builtin_prefetch(upcoming + i, 0, 2);
    update_best<R>(rows, dim, panel, ordinal, best);
  }
  if constexpr (R > 1) update_block<R - 1>(rows, count, dim, panel, ordinal, best, upcoming, 0);
}

// For as many rows as a vector has lanes, one a lane: the lowest index among the lanes of its `best` that hold the
// least score. Where no score was less than +inf, that is 0. Past `count` rows the result means nothing.
template <class T>
Vec<Lane<T>> best_indices(const Best<T>* best, int64_t count) {
  constexpr int lanes = kLanes<T>;
  Vec<T> score[lanes];
  Vec<Lane<T>> ordinal[lanes];
  for (int i = 0; i < lanes; ++i) {
    score[i] = best[i < count ? i : 0].score;
    ordinal[i] = best[i < count ? i : 0].ordinal;
  }
  transpose<T>(score);
  transpose<Lane<T>>(ordinal);
  Vec<T> least = score[0];
  Vec<Lane<T>> index = ordinal[0] * lanes;
#pragma GCC unroll 16
  for (int i = 1; i < lanes; ++i) {
    const Vec<Lane<T>> candidate = ordinal[i] * lanes + i;
    const auto better = (score[i] < least) | ((score[i] == least) & (candidate < index));
    least = better ? score[i] : least;
    index = better ? candidate : index;
  }
  return index;
}

// ---- Rows.

// Widens a row; false where a value is not finite.
template <class S, class T = Compute<S>>
bool load_row(const S* from, int64_t dim, T* to) {
  Vec<T> excess = {};
  int64_t d = 0;
  const auto take = [&](Vec<T> v) {
    excess += v - v;  // zero for finite values, NaN for the others
    return v;
  };
  for (; d + kLanes<T> <= dim; d += kLanes<T>) store(to + d, take(load_as_compute(from + d)));
  if (d < dim) store_as(to + d, take(load_as_compute(from + d, dim - d)), dim - d);
  return reduce_add<T>(excess) == 0;
}

template <class S>
inline void prefetch(const S* from, int64_t count) {
  for (int64_t i = 0; i < count; i += kLine<S>) __builtin_prefetch(from + i);
}

template <class S, class T = Compute<S>>
void subtract(T* row, const S* codeword, int64_t dim) {
  int64_t d = 0;
  for (; d + kLanes<T> <= dim; d += kLanes<T>) store(row + d, load(row + d) - load_as_compute(codeword + d));
  if (d < dim) store_as(row + d, load_as_compute(row + d, dim - d) - load_as_compute(codeword + d, dim - d), dim - d);
}

template <class T>
T squared_norm(const T* row, int64_t dim) {
  Vec<T> sum = {};
  for (int64_t d = 0; d < dim; d += kLanes<T>) {
    const Vec<T> v = load_as_compute(row + d, dim - d);
    sum += v * v;
  }
  return reduce_add<T>(sum);
}

template <class S, class T = Compute<S>>
T squared_distance(const T* row, const S* codeword, int64_t dim) {
  Vec<T> sum = {};
  for (int64_t d = 0; d < dim; d += kLanes<T>) {
    const Vec<T> v = load_as_compute(row + d, dim - d) - load_as_compute(codeword + d, dim - d);
    sum += v * v;
  }
  return reduce_add<T>(sum);
}

// ---- Encoding.

int64_t block_rows(int64_t row_bytes) {
  return std::clamp(kBlockBytes / (row_bytes + 1) / kTileRows * kTileRows, int64_t{kTileRows}, kMaxBlockRows);
}

int64_t encode_scratch(const Codebooks& books, int64_t rows) {
  const int64_t row_bytes = books.codewords.dim * compute_bytes(books.codewords);
  const int64_t block = std::min(rows, block_rows(row_bytes));
  return panel_bytes(books) + block * 2 * kVectorBytes + block * row_bytes;
}

template <class X, class S, class T = Compute<S>>
int64_t encode_rows(const X* x, const Codebooks& books, const T* packed, int64_t begin, int64_t end, int32_t* codes,
                    T* sq_error, void* scratch) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  const S* codewords = static_cast<const S*>(books.codewords.data);
  const int64_t block = block_rows(dim * int64_t{sizeof(T)});
  T* single = static_cast<T*>(scratch);
  Best<T>* best = reinterpret_cast<Best<T>*>(single + panel_size<T>(dim));
  int64_t bad = -1;
  for (int64_t first = begin; first < end; first += block) {
    const int64_t rows = std::min(block, end - first);
    T* residual = reinterpret_cast<T*>(best + rows);
    int32_t* code = codes + first * levels;
    for (int64_t n = 0; n < rows; ++n)
      sq_error[first + n] =
          load_row(x + (first + n) * dim, dim, residual + n * dim) ? T{0} : std::numeric_limits<T>::quiet_NaN();
    const T* packed_level = packed;
    for (int64_t l = 0; l < levels; ++l) {
      const S* level = codewords + books.offsets[l] * dim;
      const Panels<S> panels{level, size_of_level(books, l), dim, packed_level, single};
      for (int64_t n = 0; n < rows; ++n) best[n] = {broadcast(infinity<T>()), Vec<Lane<T>>{}};
      // The next panel follows this one, where they are packed; each tile fetches its share of it.
      const int64_t tiles = packed != nullptr ? rows / kTileRows : 0;
      const int64_t slice = tiles > 0 ? round_up(panel_size<T>(dim) / tiles + 1, kLine<T>) : 0;
      int64_t bad_here = -1;
      for (int64_t p = 0; p < panels.size(); ++p) {
        const T* panel = panels.get(p, bad_here);
        update_block<kTileRows>(residual, rows, dim, panel, p * kTileVectors, best, panel + panel_size<T>(dim), slice);
      }
      if (bad_here >= 0 && bad < 0) bad = books.offsets[l] + bad_here;
      for (int64_t n = 0; n < rows; n += kLanes<T>) {
        const Vec<Lane<T>> index = best_indices(best + n, rows - n);
        for (int64_t i = 0; i < kLanes<T> && n + i < rows; ++i)
          code[(n + i) * levels + l] = sq_error[first + n + i] == 0 ? static_cast<int32_t>(index[i]) : -1;
      }
      // Codewords lie anywhere: the one after the next is fetched while one is subtracted.
      const auto chosen = [&](int64_t n) { return level + std::max(code[n * levels + l], 0) * dim; };
      for (int64_t n = 0; n < rows; ++n) {
        if (n + 2 < rows) prefetch(chosen(n + 2), dim);
        if (code[n * levels + l] >= 0) subtract(residual + n * dim, chosen(n), dim);
      }
      if (packed != nullptr) packed_level += panels.size() * panel_size<T>(dim);
    }
    for (int64_t n = 0; n < rows; ++n)
      if (sq_error[first + n] == 0) sq_error[first + n] = squared_norm(residual + n * dim, dim);
  }
  return bad;
}

// f(X{}, S{}) for the storage of rows and of codewords; both or neither are double.
template <class F>
int64_t dispatch_pair(Dtype x, Dtype codewords, F f) {
  return with_stored_type(codewords, [&]<class S>(S) {
    return with_stored_type(x, [&]<class X>(X) -> int64_t {
      if constexpr (std::is_same_v<Compute<X>, Compute<S>>)
        return f(X{}, S{});
      else
        return -1;
    });
  });
}

int64_t encode(const Matrix& x, const Codebooks& books, const void* packed, int64_t begin, int64_t end, int32_t* codes,
               void* sq_error, void* scratch) {
  return dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) {
    using T = Compute<S>;
    return encode_rows<X, S>(static_cast<const X*>(x.data), books, static_cast<const T*>(packed), begin, end, codes,
                             static_cast<T*>(sq_error), scratch);
  });
}

// ---- The k nearest.

template <class T>
struct Candidate {
  T key;
  int32_t index;

  bool operator<(const Candidate& other) const { return key < other.key || (key == other.key && index < other.index); }
};

// The k least of what a row has seen are among `items`; what is not below `threshold` need not be looked at. Items are
// appended until there is no room for another panel, then all but the k least are dropped: O(1) for each appended.
template <class T>
struct Shortlist {
  Candidate<T>* items;
  int64_t count;
  T threshold;
};

int64_t shortlist_capacity(const Codebooks& books, int64_t k) {
  const int64_t width = compute_bytes(books.codewords) == 8 ? kWidth<double> : kWidth<float>;
  return std::min(2 * k, books.codewords.rows) + width;
}

template <int R, class T>
[[gnu::noinline]] void update_shortlists(const T* rows, int64_t dim, const T* panel, int64_t first, int64_t k,
                                         Shortlist<T>* lists) {
  Vec<T> score[R][kTileVectors];
  score_tile<R, T>(rows, dim, panel, score);
  for (int i = 0; i < R; ++i) {
    Shortlist<T> list = lists[i];
    for (int v = 0; v < kTileVectors; ++v) {
      if (!any<T>(score[i][v] < list.threshold)) continue;
      T scores[kLanes<T>];
      store(scores, score[i][v]);
      for (int lane = 0; lane < kLanes<T>; ++lane) {
        list.items[list.count] = {scores[lane], static_cast<int32_t>(first + v * kLanes<T> + lane)};
        list.count += scores[lane] < list.threshold;  // strict: indices ascend, so the lowest stays
      }
    }
    if (list.count >= 2 * k) {
      std::nth_element(list.items, list.items + k - 1, list.items + list.count);
      list.count = k;
      list.threshold = list.items[k - 1].key;
    }
    lists[i] = list;
  }
}

template <int R, class T>
void update_shortlist_block(const T* rows, int64_t count, int64_t dim, const T* panel, int64_t first, int64_t k,
                            Shortlist<T>* lists) {
  for (; count >= R; count -= R, rows += R * dim, lists += R) update_shortlists<R>(rows, dim, panel, first, k, lists);
  if constexpr (R > 1) update_shortlist_block<R - 1>(rows, count, dim, panel, first, k, lists);
}

int64_t nearest_row_bytes(const Codebooks& books, int64_t k) {
  return books.codewords.dim * compute_bytes(books.codewords) + int64_t{sizeof(Shortlist<double>)} +
         shortlist_capacity(books, k) * int64_t{sizeof(Candidate<double>)};
}

int64_t nearest_scratch(const Codebooks& books, int64_t k) {
  const int64_t row_bytes = nearest_row_bytes(books, k);
  return panel_bytes(books) + block_rows(row_bytes) * row_bytes;
}

template <class X, class S, class T = Compute<S>>
int64_t nearest_rows(const X* x, const Codebooks& books, const T* packed, int64_t k, int64_t begin, int64_t end,
                     int32_t* index, T* sq_distance, void* scratch) {
  const int64_t dim = books.codewords.dim, capacity = shortlist_capacity(books, k);
  const S* codewords = static_cast<const S*>(books.codewords.data);
  const int64_t block = block_rows(nearest_row_bytes(books, k));
  T* single = static_cast<T*>(scratch);
  Candidate<T>* items = reinterpret_cast<Candidate<T>*>(single + panel_size<T>(dim));
  Shortlist<T>* lists = reinterpret_cast<Shortlist<T>*>(items + block * capacity);
  T* rows = reinterpret_cast<T*>(lists + block);
  const Panels<S> panels{codewords, books.offsets[1], dim, packed, single};
  int64_t bad = -1;
  for (int64_t first = begin; first < end; first += block) {
    const int64_t count = std::min(block, end - first);
    for (int64_t n = 0; n < count; ++n) {
      const bool finite = load_row(x + (first + n) * dim, dim, rows + n * dim);
      lists[n] = {items + n * capacity, 0, finite ? infinity<T>() : -infinity<T>()};
    }
    for (int64_t p = 0; p < panels.size(); ++p)
      update_shortlist_block<kTileRows>(rows, count, dim, panels.get(p, bad), p * kWidth<T>, k, lists);
    for (int64_t n = 0; n < count; ++n) {
      Shortlist<T>& list = lists[n];
      const bool enough = list.count >= k;  // none are taken for a row that is not finite
      if (enough) {
        std::nth_element(list.items, list.items + k - 1, list.items + list.count);
        for (int64_t j = 0; j < k; ++j)
          list.items[j].key = squared_distance(rows + n * dim, codewords + list.items[j].index * dim, dim);
        std::sort(list.items, list.items + k);
      }
      for (int64_t j = 0; j < k; ++j) {
        index[(first + n) * k + j] = enough ? list.items[j].index : -1;
        sq_distance[(first + n) * k + j] = enough ? list.items[j].key : std::numeric_limits<T>::quiet_NaN();
      }
    }
  }
  return bad;
}

int64_t nearest(const Matrix& x, const Codebooks& books, const void* packed, int64_t k, int64_t begin, int64_t end,
                int32_t* index, void* sq_distance, void* scratch) {
  return dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) {
    using T = Compute<S>;
    return nearest_rows<X, S>(static_cast<const X*>(x.data), books, static_cast<const T*>(packed), k, begin, end, index,
                              static_cast<T*>(sq_distance), scratch);
  });
}

// ---- Decoding, and its transpose.

// f(codes) with the indices as int32 or int64.
template <class F>
auto dispatch_indices(const Indices& codes, F f) {
  return codes.wide ? f(static_cast<const int64_t*>(codes.data)) : f(static_cast<const int32_t*>(codes.data));
}

// The first level whose code is neither −1 nor one of its own, or `levels`.
template <class I>
inline int64_t first_invalid(const I* code, const int64_t* offsets, int64_t levels) {
  int64_t l = 0;
  while (l < levels && code[l] >= -1 && code[l] < offsets[l + 1] - offsets[l]) ++l;
  return l;
}

int64_t find_invalid(const Indices& codes, const int64_t* offsets, int64_t levels, int64_t begin, int64_t end) {
  return dispatch_indices(codes, [&](const auto* code) -> int64_t {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t l = first_invalid(code + n * levels, offsets, levels);
      if (l < levels) return n * levels + l;
    }
    return -1;
  });
}

// V vectors of a row at a time, so that a code is looked up once for all of them; `dim` left from the first on.
template <int V, class I, class S, class T = Compute<S>>
[[gnu::always_inline]] inline void decode_columns(const I* code, const S* codewords, const int64_t* offsets,
                                                  int64_t levels, int64_t stride, int64_t left, S* out) {
  Vec<T> sum[V] = {};
  for (int64_t l = 0; l < levels; ++l) {
    if (code[l] < 0) continue;
    const S* codeword = codewords + (offsets[l] + code[l]) * stride;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v)
      sum[v] += V == 1 ? load_as_compute(codeword, left) : load_as_compute(codeword + v * kLanes<T>);
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) V == 1 ? store_as(out, sum[v], left) : store_as(out + v * kLanes<T>, sum[v]);
}

int64_t decode(const Indices& codes, const Codebooks& books, int64_t begin, int64_t end, void* out) {
  return with_stored_type(books.codewords.dtype, [&]<class S>(S) {
    return dispatch_indices(codes, [&](const auto* code) -> int64_t {
      constexpr int64_t lanes = kLanes<Compute<S>>;
      const int64_t dim = books.codewords.dim, levels = books.levels;
      const int64_t* offsets = books.offsets;
      const S* codewords = static_cast<const S*>(books.codewords.data);
      for (int64_t n = begin; n < end; ++n) {
        const auto* own = code + n * levels;
        const int64_t invalid = first_invalid(own, offsets, levels);
        if (invalid < levels) return n * levels + invalid;
        S* row = static_cast<S*>(out) + n * dim;
        int64_t d = 0;
        for (; d + 4 * lanes <= dim; d += 4 * lanes)
          decode_columns<4>(own, codewords + d, offsets, levels, dim, dim - d, row + d);
        for (; d < dim; d += lanes) decode_columns<1>(own, codewords + d, offsets, levels, dim, dim - d, row + d);
      }
      return -1;
    });
  });
}

void accumulate(const Matrix& x, const Indices& codes, const void* weight, const int64_t* offsets, int64_t levels,
                int64_t begin, int64_t end, void* sums) {
  with_stored_type(x.dtype, [&]<class X>(X) {
    using T = Compute<X>;
    dispatch_indices(codes, [&](const auto* code) {
      T* total = static_cast<T*>(sums);
      for (int64_t k = 0; k < offsets[levels]; ++k)
        for (int64_t d = begin; d < end; ++d) total[k * x.dim + d] = 0;
      for (int64_t n = 0; n < x.rows; ++n) {
        const T scale = weight == nullptr ? T{1} : static_cast<const T*>(weight)[n];
        const X* row = static_cast<const X*>(x.data) + n * x.dim;
        for (int64_t l = 0; l < levels; ++l) {
          if (code[n * levels + l] < 0) continue;
          T* sum = total + (offsets[l] + code[n * levels + l]) * x.dim;
          int64_t d = begin;
          for (; d + kLanes<T> <= end; d += kLanes<T>) store(sum + d, load(sum + d) + scale * load_as_compute(row + d));
          if (d < end)
            store_as(sum + d, load_as_compute(sum + d, end - d) + scale * load_as_compute(row + d, end - d), end - d);
        }
      }
    });
  });
}

void accumulate_weight(const Indices& codes, const void* weight, Dtype weight_dtype, int64_t rows, int64_t num_codes,
                       double* totals) {
  for (int64_t k = 0; k < num_codes; ++k) totals[k] = 0;
  with_stored_type(weight_dtype, [&]<class S>(S) {
    dispatch_indices(codes, [&](const auto* code) {
      for (int64_t n = 0; n < rows; ++n)
        if (code[n] >= 0)
          totals[code[n]] += weight == nullptr ? 1.0 : double{static_cast<const Compute<S>*>(weight)[n]};
    });
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA

#include "residual_quantization/beam-inl.h"
#include "residual_quantization/flip-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {

extern const Kernels kernels = {num_panels,        panel_bytes,     pack,         encode,        encode_scratch,
                                nearest,           nearest_scratch, find_invalid, decode,        accumulate,
                                accumulate_weight, table_bytes,     table_pieces, table_scratch, fill_table,
                                encode_beams,      beam_scratch,    count_flips,  flip_scratch};

}  // namespace recops::residual_quantization::RECOPS_ISA
