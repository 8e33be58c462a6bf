// code_flip_rate as an op.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "residual_quantization/operands.h"

namespace recops::residual_quantization {
namespace {

Tensor code_flip_rate(Tensor x, Tensor codewords, std::vector<int64_t> sizes, Tensor sigma, int64_t samples,
                      int64_t seed) {
  const char* op = "code_flip_rate";
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
  const double* scale = static_cast<const double*>(scales.data_ptr());
  for (int64_t l = 0; l < levels; ++l)
    require_value(scale[l] >= 0 && std::isfinite(scale[l]), op, ": sigma must be finite and at least 0, got sigma[", l,
                  "] = ", scale[l]);

  int64_t bad = -1;
  const Tensor packed = pack_panels(kernels, books, x, bad);
  require_finite(op, "codebooks", offsets, bad);
  const int64_t scratch_bytes = round_up_to_line(kernels.flip_scratch(books));
  const Tensor scratch = empty({num_threads(), scratch_bytes}, ScalarType::Byte, x);
  // Counts add up the same in any order.
  std::vector<std::vector<int64_t>> counts(num_threads(), std::vector<int64_t>(levels + 1));
  for_pieces(matrix_x.rows, 1, [&](int64_t piece, int64_t begin, int64_t end) {
    kernels.count_flips(matrix_x, books, packed.data_ptr(), scale, samples, static_cast<uint64_t>(seed), begin, end,
                        counts[piece].data(), static_cast<char*>(scratch.data_ptr()) + piece * scratch_bytes);
    return int64_t{-1};
  });
  const Tensor rate = empty({levels}, ScalarType::Double, x);
  int64_t finite = 0;
  for (const auto& count : counts) finite += count[levels];
  for (int64_t l = 0; l < levels; ++l) {
    int64_t flips = 0;
    for (const auto& count : counts) flips += count[l];
    static_cast<double*>(rate.data_ptr())[l] =
        finite > 0 ? static_cast<double>(flips) / (static_cast<double>(finite) * static_cast<double>(samples))
                   : std::numeric_limits<double>::quiet_NaN();
  }
  return torch::stable::to(rate, compute_type(matrix_x.dtype));
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "code_flip_rate(Tensor x, Tensor codewords, SymInt[] sizes, Tensor sigma, SymInt samples, SymInt seed) -> "
      "Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) { m.impl("code_flip_rate", TORCH_BOX(&code_flip_rate)); }

}  // namespace recops::residual_quantization
