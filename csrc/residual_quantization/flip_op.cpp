// Op that counts code flips for a range of rows; a caller with many rows can stop between calls.
#include <algorithm>
#include <cmath>
#include <vector>

#include "residual_quantization/operands.h"

namespace recops::residual_quantization {
namespace {

Tensor code_flips(Tensor x, Tensor codewords, std::vector<int64_t> sizes, Tensor sigma, int64_t samples, int64_t seed,
                  int64_t begin, int64_t end) {
  const char* op = "code_flip_rate";  // the public function, for error messages
  const Kernels& kernels = select_kernels();
  const std::vector<int64_t> offsets = offsets_of(op, sizes);
  const Tensor rows = recops::contiguous(x), words = recops::contiguous(codewords);
  const Tensor scales = recops::contiguous(torch::stable::to(sigma, ScalarType::Double));
  const Matrix matrix_x = matrix(op, "x", rows);
  const Shifted shifted(op, kernels, codebooks(op, words, offsets));
  const Codebooks& books = shifted.books;
  require_same_space(op, matrix_x, books);
  const int64_t levels = books.levels;
  require_numel(op, "sigma", scales, levels);
  require_samples(op, samples, levels);
  require_between(op, "begin", begin, 0, matrix_x.rows);
  require_between(op, "end", end, begin, matrix_x.rows);
  const double* scale = static_cast<const double*>(scales.data_ptr());
  for (int64_t l = 0; l < levels; ++l)
    require_value(scale[l] >= 0 && std::isfinite(scale[l]), op, ": sigma must be finite and at least 0, got sigma[", l,
                  "] = ", scale[l]);

  int64_t bad = -1;
  const Tensor packed = pack_panels(kernels, books, x, bad);
  require_finite(op, "codebooks", offsets, bad);
  const int64_t scratch_bytes = round_up_to_line(kernels.flip_scratch(books));
  const Tensor scratch = empty({num_threads(), scratch_bytes}, ScalarType::Byte, x);
  // The sum of the counts does not depend on the division.
  std::vector<std::vector<int64_t>> counts(num_threads(), std::vector<int64_t>(levels + 1));
  for_pieces(end - begin, 1, [&](int64_t piece, int64_t first, int64_t last) {
    kernels.count_flips(matrix_x, books, packed.data_ptr(), scale, samples, static_cast<uint64_t>(seed), begin + first,
                        begin + last, counts[piece].data(),
                        static_cast<char*>(scratch.data_ptr()) + piece * scratch_bytes);
    return int64_t{-1};
  });
  const Tensor total = zeros({levels + 1}, ScalarType::Long, x);
  for (const auto& count : counts)
    for (int64_t l = 0; l <= levels; ++l) static_cast<int64_t*>(total.data_ptr())[l] += count[l];
  return total;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "code_flips(Tensor x, Tensor codewords, SymInt[] sizes, Tensor sigma, SymInt samples, SymInt seed, "
      "SymInt begin, SymInt end) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) { m.impl("code_flips", TORCH_BOX(&code_flips)); }

}  // namespace recops::residual_quantization
