// Codebook overlap ops: schemas, data checks, memory and threads. cpu-inl.h has the arithmetic, arguments.h the checks
// of dtype and shape.
#include <algorithm>
#include <string>
#include <tuple>

#include "codebook_overlap/arguments.h"
#include "codebook_overlap/kernel.h"
#include "common/compat.h"

namespace recops::codebook_overlap {
namespace {

const char* const kOp = "codebook_overlap";

const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

void require_finite(const Kernels& kernels, const Codebook& book) {
  const int64_t codeword = kernels.find_not_finite(book.codewords, book.wide, book.size * book.dim);
  require_value(codeword < 0, kOp, ": codebook must be finite, got codebook[",
                codeword / std::max<int64_t>(book.dim, 1), "]");
  const int64_t code = kernels.find_not_finite(book.usage, book.wide, book.size);
  require_value(code < 0, kOp, ": usage must be finite, got usage[", code, "]");
}

// Calls f(begin, end, scratch) over panels. Each thread gets at least kGrain coordinates of codeword pairs.
template <class F>
void for_panels(const Kernels& kernels, const Codebook& book, const Tensor& like, const F& f) {
  constexpr int64_t kGrain = 1 << 20, kKernel = 8;  // kKernel: cost of evaluating κ, in coordinates
  const int64_t panels = kernels.num_panels(book);
  Tensor scratch = empty({panels * kernels.panel_bytes(book)}, ScalarType::Byte, like);
  const int64_t work = book.size * (book.dim + kKernel) * book.size / std::max<int64_t>(panels, 1);
  parallel_for(panels, kGrain / std::max<int64_t>(work, 1) + 1,
               [&](int64_t begin, int64_t end) { f(begin, end, scratch.data_ptr()); });
}

std::tuple<Tensor, Tensor> codebook_overlap(Tensor codebook_in, Tensor usage_in, double sigma, Text kernel) {
  const Kernels& kernels = select_kernels();
  const Tensor codebook = recops::contiguous(codebook_in), usage = recops::contiguous(usage_in);
  const Codebook book = codebook_of(kOp, codebook, usage, sigma);
  const Overlap kind = overlap_of(kOp, kernel);
  require_finite(kernels, book);
  Tensor row_sums = empty({book.size}, codebook.scalar_type(), codebook);
  for_panels(kernels, book, codebook, [&](int64_t begin, int64_t end, void* scratch) {
    kernels.row_sums(book, kind, sigma, begin, end, scratch, row_sums.data_ptr());
  });
  Tensor overlap = empty({}, codebook.scalar_type(), codebook);
  const double total = kernels.overlap(book, row_sums.data_ptr());
  if (book.wide)
    *static_cast<double*>(overlap.data_ptr()) = total;
  else
    *static_cast<float*>(overlap.data_ptr()) = static_cast<float>(total);
  return {overlap, row_sums};
}

std::tuple<Tensor, Tensor> codebook_overlap_backward(Tensor grad_overlap_in, Tensor grad_row_sums_in,
                                                     Tensor codebook_in, Tensor usage_in, double sigma, Text kernel) {
  const Kernels& kernels = select_kernels();
  const Tensor codebook = recops::contiguous(codebook_in), usage = recops::contiguous(usage_in);
  const Tensor grad_overlap = recops::contiguous(grad_overlap_in), grad_row_sums = recops::contiguous(grad_row_sums_in);
  const Codebook book = codebook_of(kOp, codebook, usage, sigma);
  const Overlap kind = overlap_of(kOp, kernel);
  require_gradients(kOp, grad_overlap, grad_row_sums, codebook);
  Tensor grad_codebook = empty({book.size, book.dim}, codebook.scalar_type(), codebook);
  Tensor grad_usage = empty({book.size}, codebook.scalar_type(), codebook);
  for_panels(kernels, book, codebook, [&](int64_t begin, int64_t end, void* scratch) {
    kernels.backward(book, kind, sigma, grad_overlap.data_ptr(), grad_row_sums.data_ptr(), begin, end, scratch,
                     grad_codebook.data_ptr(), grad_usage.data_ptr());
  });
  return {grad_codebook, grad_usage};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "codebook_overlap(Tensor codebook, Tensor usage, float sigma, str kernel) -> (Tensor overlap, Tensor row_sums)");
  m.def(
      "codebook_overlap_backward(Tensor grad_overlap, Tensor grad_row_sums, Tensor codebook, Tensor usage, float "
      "sigma, str kernel) -> (Tensor grad_codebook, Tensor grad_usage)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("codebook_overlap", TORCH_BOX(&codebook_overlap));
  m.impl("codebook_overlap_backward", TORCH_BOX(&codebook_overlap_backward));
}

}  // namespace recops::codebook_overlap
