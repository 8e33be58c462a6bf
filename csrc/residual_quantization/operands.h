// What the op files of residual quantization share: tensors as the kernels see them, rows divided over threads.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "common/arena.h"
#include "common/compat.h"
#include "common/threads.h"
#include "residual_quantization/arguments.h"
#include "residual_quantization/kernel.h"

namespace recops::residual_quantization {

// Fewer rows than this pack the panels as they go, once, into cache; more share panels packed beforehand.
constexpr int64_t kPackedRows = 64;
constexpr int64_t kGrainBytes = 64 << 10;  // what a thread must have to do to be worth waking

inline const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Codebooks that codes are chosen from, with the shift of their level 0.
struct Shifted {
  std::vector<double> shift;  // room for either compute type
  Codebooks books;

  Shifted(const char* op, const Kernels& kernels, const Codebooks& of) : shift(of.codewords.dim), books(of) {
    require_codewords(op, of);
    if (kernels.find_shift(of, shift.data())) books.shift = shift.data();
  }
  Shifted(const Shifted&) = delete;
};

// f(begin, end) over [0, size) cut into one even piece a thread, each at least `grain` long. Returns the least result
// that is not −1, or −1: how kernels report the first bad place.
template <class F>
int64_t for_pieces(int64_t size, int64_t grain, const F& f) {
  const int64_t pieces = std::max<int64_t>(1, std::min(num_threads(), size / std::max<int64_t>(grain, 1)));
  std::vector<int64_t> found(pieces, -1);
  for_shares(size, pieces, [&](int64_t p, int64_t begin, int64_t end) { found[p] = f(p, begin, end); });
  int64_t first = -1;
  for (int64_t place : found)
    if (place >= 0 && (first < 0 || place < first)) first = place;
  return first;
}

// "3][17": which codeword of which level.
inline std::string place(const std::vector<int64_t>& offsets, int64_t codeword) {
  const int64_t level = std::upper_bound(offsets.begin(), offsets.end(), codeword) - offsets.begin() - 1;
  return concat(level, "][", codeword - offsets[level]);
}

// `bad` is what kernels report.
inline void require_finite(const char* op, const char* name, const std::vector<int64_t>& offsets, int64_t bad) {
  require_value(bad < 0, op, ": ", name, " must be finite, and so their squared norms, got ", name, "[",
                bad < 0 ? "" : place(offsets, bad), "]");
}

// All panels; `bad` becomes the first codeword whose squared norm is not finite, or −1.
inline Tensor pack_panels(const Kernels& kernels, const Codebooks& books, const Tensor& like, int64_t& bad) {
  const int64_t panels = kernels.num_panels(books), panel_bytes = kernels.panel_bytes(books);
  const Tensor packed = empty({panels * panel_bytes}, ScalarType::Byte, like);
  bad = for_pieces(panels, kGrainBytes / panel_bytes + 1, [&](int64_t, int64_t begin, int64_t end) {
    return kernels.pack(books, begin, end, packed.data_ptr());
  });
  return packed;
}

// All panels of integers, beside those of floats.
inline Tensor pack_grid_panels(const Kernels& kernels, const Codebooks& books, const Tensor& packed, int bits,
                               const Tensor& like) {
  const int64_t panels = kernels.num_panels(books), panel_bytes = kernels.grid_panel_bytes(books, bits);
  const Tensor grid = empty({panels * panel_bytes}, ScalarType::Byte, like);
  for_pieces(panels, kGrainBytes / panel_bytes + 1, [&](int64_t, int64_t begin, int64_t end) {
    kernels.pack_grid(books, packed.data_ptr(), bits, begin, end, grid.data_ptr());
    return int64_t{-1};
  });
  return grid;
}

// Runs a kernel over rows, each thread with scratch of its own: search(begin, end, scratch) returns the first bad
// codeword, or −1.
template <class F>
int64_t search_rows(const Tensor& like, int64_t rows, int64_t scratch_bytes, const F& search) {
  scratch_bytes = round_up_to_line(scratch_bytes);
  const Tensor scratch = empty({num_threads(), scratch_bytes}, ScalarType::Byte, like);
  return for_pieces(rows, kPackedRows / 2, [&](int64_t piece, int64_t begin, int64_t end) {
    return search(begin, end, static_cast<char*>(scratch.data_ptr()) + piece * scratch_bytes);
  });
}

}  // namespace recops::residual_quantization
