// Beam search op: decides whether a product table saves time, allocates memory, divides rows over threads.
#include <algorithm>
#include <tuple>
#include <vector>

#include "residual_quantization/operands.h"

namespace recops::residual_quantization {
namespace {

constexpr int64_t kMaxTableBytes = 64 << 20;
constexpr int64_t kBeamRows = 6;  // least rows per thread: one tile

// A table costs one dot product per pair of codewords of different levels. It saves beam − 1 of the beam dot products
// per row and codeword after level 0.
bool table_pays(const Kernels& kernels, const Codebooks& books, int64_t rows, int64_t beam) {
  if (books.levels < 2 || beam == 1 || kernels.table_bytes(books) > kMaxTableBytes) return false;
  double pairs = 0;
  for (int64_t l = 1; l < books.levels; ++l)
    pairs += static_cast<double>(books.offsets[l]) * (books.offsets[l + 1] - books.offsets[l]);
  const double later = books.offsets[books.levels] - books.offsets[1];
  return pairs < later * static_cast<double>(rows) * (beam - 1);
}

std::tuple<Tensor, Tensor> rq_encode_beams(Tensor x, Tensor codewords, std::vector<int64_t> sizes, int64_t beam,
                                           int64_t kept, int64_t bits) {
  const char* op = kept < beam ? "rq_encode" : "rq_encode_beams";  // the public function that the caller used
  const Kernels& kernels = select_kernels();
  const std::vector<int64_t> offsets = offsets_of(op, sizes);
  const Tensor rows = recops::contiguous(x), words = recops::contiguous(codewords);
  const Matrix matrix_x = matrix(op, "x", rows);
  const Shifted shifted(op, kernels, codebooks(op, words, offsets));
  const Codebooks& books = shifted.books;
  require_same_space(op, matrix_x, books);
  require_beams(op, beam, kept, sizes);
  require_bits(op, bits, {16});

  Tensor codes = empty({matrix_x.rows, kept, books.levels}, ScalarType::Int, x);
  Tensor sq_error = empty({matrix_x.rows, kept}, compute_type(matrix_x.dtype), x);
  int64_t bad = -1;
  const Tensor packed = pack_panels(kernels, books, x, bad);
  require_finite(op, "codebooks", offsets, bad);

  const bool with_table = table_pays(kernels, books, matrix_x.rows, beam);
  const bool by_integers = with_table && kernels.coarse_bytes(books) > 0 &&
                           (bits == 16 || (bits == 0 && kernels.coarse_pays(books, matrix_x.rows)));
  const Tensor table = empty({with_table ? kernels.table_bytes(books) : 0}, ScalarType::Byte, x);
  const Tensor coarse = empty({by_integers ? kernels.coarse_bytes(books) : 0}, ScalarType::Byte, x);
  const Tensor grid = by_integers ? pack_grid_panels(kernels, books, packed, 16, x) : empty({0}, ScalarType::Byte, x);
  const BeamTables tables{with_table ? table.data_ptr() : nullptr, by_integers ? coarse.data_ptr() : nullptr,
                          by_integers ? grid.data_ptr() : nullptr};
  const int64_t scratch_bytes = round_up_to_line(
      std::max(kernels.beam_scratch(books, beam, tables), with_table ? kernels.table_scratch(books) : 0));
  const Tensor scratch = empty({num_threads(), scratch_bytes}, ScalarType::Byte, x);
  const auto scratch_of = [&](int64_t piece) { return static_cast<char*>(scratch.data_ptr()) + piece * scratch_bytes; };
  if (with_table)
    for_pieces(kernels.table_pieces(books), 1, [&](int64_t piece, int64_t begin, int64_t end) {
      kernels.fill_table(books, packed.data_ptr(), begin, end, table.data_ptr(),
                         by_integers ? coarse.data_ptr() : nullptr, scratch_of(piece));
      return int64_t{-1};
    });
  for_pieces(matrix_x.rows, kBeamRows, [&](int64_t piece, int64_t begin, int64_t end) {
    kernels.encode_beams(matrix_x, books, packed.data_ptr(), tables, beam, kept, begin, end,
                         static_cast<int32_t*>(codes.data_ptr()), sq_error.data_ptr(), scratch_of(piece));
    return int64_t{-1};
  });
  return {codes, sq_error};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "rq_encode_beams(Tensor x, Tensor codewords, SymInt[] sizes, SymInt beam, SymInt kept, int bits=0) -> "
      "(Tensor codes, Tensor sq_error)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) { m.impl("rq_encode_beams", TORCH_BOX(&rq_encode_beams)); }

}  // namespace recops::residual_quantization
