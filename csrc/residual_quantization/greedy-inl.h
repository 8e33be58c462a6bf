// Greedy encoding. Part of cpu-inl.h.
#pragma once

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Memory for a block of rows, laid out from `base`; from null it only counts.
template <class T>
struct GreedyBlock {
  int64_t rows;
  T* single;       // a panel
  Best<T>* best;   // [rows]
  T* residual;     // [rows, dim]
  int32_t* index;  // [rows]
  int64_t bytes;

  GreedyBlock(const Codebooks& books, int64_t wanted, void* base) : bytes(0) {
    const int64_t dim = books.codewords.dim;
    rows = std::min(wanted, block_rows(dim * int64_t{sizeof(T)}));
    const auto take = [&]<class U>(U*& field, int64_t count) {
      field = reinterpret_cast<U*>(static_cast<char*>(base) + bytes);
      bytes += round_up(count * int64_t{sizeof(U)}, 64);
    };
    take(single, panel_size<T>(dim));
    take(best, rows);
    take(residual, rows * dim);
    take(index, rows);
  }
};

int64_t encode_scratch(const Codebooks& books, int64_t rows) {
  return compute_bytes(books.codewords) == 8 ? GreedyBlock<double>(books, rows, nullptr).bytes
                                             : GreedyBlock<float>(books, rows, nullptr).bytes;
}

template <class X, class S, class T = Compute<S>>
int64_t encode_rows(const X* x, const Codebooks& books, const T* packed, int64_t begin, int64_t end, int32_t* codes,
                    T* sq_error, void* scratch) {
  const int64_t dim = books.codewords.dim, levels = books.levels;
  const S* codewords = static_cast<const S*>(books.codewords.data);
  const GreedyBlock<T> block(books, end - begin, scratch);
  int64_t bad = -1;
  for (int64_t first = begin; first < end; first += block.rows) {
    const int64_t rows = std::min(block.rows, end - first);
    T* residual = block.residual;
    int32_t* code = codes + first * levels;
    T* error = sq_error + first;
    for (int64_t n = 0; n < rows; ++n)
      error[n] = load_row(x + (first + n) * dim, dim, residual + n * dim) ? T{0} : std::numeric_limits<T>::quiet_NaN();
    const T* packed_level = packed;
    for (int64_t l = 0; l < levels; ++l) {
      const S* level = codewords + books.offsets[l] * dim;
      const Panels<S> panels{level, size_of_level(books, l), dim, packed_level, block.single};
      const int64_t bad_here = nearest_of_level(residual, rows, panels, block.best, block.index);
      if (bad_here >= 0 && bad < 0) bad = books.offsets[l] + bad_here;
      for (int64_t n = 0; n < rows; ++n) code[n * levels + l] = error[n] == 0 ? block.index[n] : -1;
      // Codewords lie anywhere: the one after the next is fetched while one is subtracted.
      const auto chosen = [&](int64_t n) { return level + std::max(code[n * levels + l], 0) * dim; };
      for (int64_t n = 0; n < rows; ++n) {
        if (n + 2 < rows) prefetch(chosen(n + 2), dim);
        if (code[n * levels + l] >= 0) subtract(residual + n * dim, chosen(n), dim);
      }
      if (packed != nullptr) packed_level += panels.size() * panel_size<T>(dim);
    }
    for (int64_t n = 0; n < rows; ++n)
      if (error[n] == 0) error[n] = squared_norm(residual + n * dim, dim);
  }
  return bad;
}

int64_t encode(const Matrix& x, const Codebooks& books, const void* packed, int64_t begin, int64_t end, int32_t* codes,
               void* sq_error, void* scratch) {
  return dispatch_pair(x.dtype, books.codewords.dtype, [&]<class X, class S>(X, S) {
    using T = Compute<S>;
    return encode_rows<X, S>(static_cast<const X*>(x.data), books, static_cast<const T*>(packed), begin, end, codes,
                             static_cast<T*>(sq_error), scratch);
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
