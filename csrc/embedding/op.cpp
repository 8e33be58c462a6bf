// Embedding table ops: schemas, data checks, memory and threads. cpu-inl.h has the arithmetic, arguments.h the checks
// of dtype and shape.
#include <vector>

#include "common/compat.h"
#include "embedding/arguments.h"
#include "embedding/features.h"
#include "embedding/gradient.h"
#include "embedding/kernel.h"

namespace recops::embedding {
namespace {

Tensor embedding_bags(std::vector<Tensor> weights, std::vector<Tensor> ids, std::vector<int64_t> tables,
                      int64_t padding_idx) {
  const char* op = "embedding_bags";
  require_weights(op, weights);
  std::vector<int64_t> num_rows, widths;
  for (Tensor& weight : weights) {
    weight = recops::contiguous(weight);
    num_rows.push_back(weight.size(0));
    widths.push_back(weight.size(1));
  }
  const Features features(op, num_rows, widths, ids, tables, padding_idx);
  const Dtype dtype = dtype_of(op, "weights", weights[0]);
  const int64_t bytes = weights[0].element_size();
  Tensor out = empty({features.count(), features.width()}, weights[0].scalar_type(), weights[0]);
  int64_t read = 0;  // values to read per row of the result
  for (const auto& feature : features.all()) read += feature.bags.each * feature.bags.width;
  const Kernels& kernels = select_kernels();
  parallel_for(features.count(), kGrain / std::max<int64_t>(read, 1) + 1, [&](int64_t begin, int64_t end) {
    for (const auto& [table, column, bags] : features.all())
      kernels.sum_rows(bags, weights[table].data_ptr(), dtype, begin, end,
                       static_cast<char*>(out.data_ptr()) + column * bytes);
  });
  return out;
}

// Returns the gradient of each table with num_rows[i] rows, or an empty one if num_rows[i] is −1 (not needed).
std::vector<Tensor> embedding_bags_backward(Tensor grad_in, std::vector<Tensor> ids, std::vector<int64_t> tables,
                                            std::vector<int64_t> num_rows, std::vector<int64_t> widths,
                                            int64_t padding_idx) {
  const char* op = "embedding_bags_backward";
  const Features features(op, num_rows, widths, ids, tables, padding_idx);
  require_shape(op, "grad", grad_in, {features.count(), features.width()});
  // A column slice of a wider gradient is read without a copy.
  const Tensor grad = grad_in.stride(1) == 1 ? grad_in : recops::contiguous(grad_in);
  const Dtype dtype = dtype_of(op, "grad", grad);
  const char* values = static_cast<const char*>(grad.data_ptr());
  std::vector<Tensor> gradients;
  for (size_t i = 0; i < num_rows.size(); ++i) {
    int64_t additions = 0;
    for (const auto& feature : features.all())
      if (feature.table == static_cast<int64_t>(i)) additions += feature.bags.count * feature.bags.each;
    const auto add = [&](const Kernels& kernels, int64_t first, int64_t last, void* out) {
      for (auto [table, column, bags] : features.all()) {
        if (table != static_cast<int64_t>(i)) continue;
        bags.stride = grad.stride(0);
        kernels.add_rows(bags, values + column * grad.element_size(), dtype, first, last, out);
      }
    };
    gradients.push_back(sum_by_row({std::max<int64_t>(num_rows[i], 0), widths[i]}, additions, grad, add));
  }
  return gradients;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  // A padding_idx of −1 means no padding.
  m.def("embedding_bags(Tensor[] weights, Tensor[] ids, int[] tables, SymInt padding_idx) -> Tensor");
  m.def(
      "embedding_bags_backward(Tensor grad, Tensor[] ids, int[] tables, SymInt[] num_rows, SymInt[] widths, "
      "SymInt padding_idx) -> Tensor[]");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("embedding_bags", TORCH_BOX(&embedding_bags));
  m.impl("embedding_bags_backward", TORCH_BOX(&embedding_bags_backward));
}

}  // namespace recops::embedding
