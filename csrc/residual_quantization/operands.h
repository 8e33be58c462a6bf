// Helpers of the residual quantization ops: packing, checks, and division of rows over threads.
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

// With fewer rows than this, each call packs panels one at a time into cache; with more, all threads share packed
// panels.
constexpr int64_t kPackedRows = 64;
constexpr int64_t kGrainBytes = 64 << 10;  // least work per thread, in bytes

inline const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Codebooks for choosing codes, together with the shift of level 0.
struct Shifted {
  std::vector<double> shift;  // large enough for either compute type
  Codebooks books;

  Shifted(const char* op, const Kernels& kernels, const Codebooks& of) : shift(of.codewords.dim), books(of) {
    require_codewords(op, of);
    if (kernels.find_shift(of, shift.data())) books.shift = shift.data();
  }
  Shifted(const Shifted&) = delete;
};

// Calls f(begin, end) over [0, size), divided into one even piece per thread of at least `grain` elements. Returns the
// least result that is not −1, or −1: the first invalid position over all pieces.
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

// Level and index of a codeword for an error message, for example "3][17".
inline std::string place(const std::vector<int64_t>& offsets, int64_t codeword) {
  const int64_t level = std::upper_bound(offsets.begin(), offsets.end(), codeword) - offsets.begin() - 1;
  return concat(level, "][", codeword - offsets[level]);
}

// `bad` is the codeword index that a kernel returned, or −1.
inline void require_finite(const char* op, const char* name, const std::vector<int64_t>& offsets, int64_t bad) {
  require_value(bad < 0, op, ": ", name, " must be finite, and so their squared norms, got ", name, "[",
                bad < 0 ? "" : place(offsets, bad), "]");
}

// Packs all panels. Sets `bad` to the first codeword with a squared norm that is not finite, or −1.
inline Tensor pack_panels(const Kernels& kernels, const Codebooks& books, const Tensor& like, int64_t& bad) {
  const int64_t panels = kernels.num_panels(books), panel_bytes = kernels.panel_bytes(books);
  const Tensor packed = empty({panels * panel_bytes}, ScalarType::Byte, like);
  bad = for_pieces(panels, kGrainBytes / panel_bytes + 1, [&](int64_t, int64_t begin, int64_t end) {
    return kernels.pack(books, begin, end, packed.data_ptr());
  });
  return packed;
}

// Packs all integer panels from the codewords and their float panels.
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

// Runs a kernel over rows with separate scratch per thread. search(begin, end, scratch) returns the first bad codeword,
// or −1.
template <class F>
int64_t search_rows(const Tensor& like, int64_t rows, int64_t scratch_bytes, const F& search) {
  scratch_bytes = round_up_to_line(scratch_bytes);
  const Tensor scratch = empty({num_threads(), scratch_bytes}, ScalarType::Byte, like);
  return for_pieces(rows, kPackedRows / 2, [&](int64_t piece, int64_t begin, int64_t end) {
    return search(begin, end, static_cast<char*>(scratch.data_ptr()) + piece * scratch_bytes);
  });
}

}  // namespace recops::residual_quantization
