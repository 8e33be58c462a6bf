// Update of embedding tables by the gradient of their bags: schema, sorting, memory and threads. update-inl.h has the
// arithmetic.
#include <algorithm>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "embedding/arguments.h"
#include "embedding/features.h"
#include "embedding/gradient.h"
#include "embedding/kernel.h"

namespace recops::embedding {
namespace {

// The occurrences of the rows of one table: those of the first feature in order of its ids, then those of the second.
// Occurrences of padding are left out.
class Occurrences {
 public:
  Occurrences(const Features& features, int64_t table, const Tensor& grad) {
    int64_t most = 0;
    for (const auto& feature : features.all())
      if (feature.table == table) most += feature.bags.count * feature.bags.each;
    rows_ = empty({most}, ScalarType::Long, grad);
    offsets_ = empty({most}, ScalarType::Long, grad);
    int64_t* rows = static_cast<int64_t*>(rows_.data_ptr());
    int64_t* offsets = static_cast<int64_t*>(offsets_.data_ptr());
    for (const auto& [of_table, column, bags] : features.all()) {
      if (of_table != table) continue;
      for (int64_t i = 0; i < bags.count * bags.each; ++i) {
        const int64_t row = bags.ids[i];
        rows[count_] = row;
        offsets[count_] = i / bags.each * grad.stride(0) + column;
        count_ += row != bags.padding;
      }
    }
    std::tie(rows_, order_) = sorted(torch::stable::narrow(rows_, 0, 0, count_));
  }

  SortedGradients gradients(const Tensor& grad, Dtype dtype, int64_t width) const {
    return {count_,
            static_cast<const int64_t*>(rows_.data_ptr()),
            static_cast<const int64_t*>(order_.data_ptr()),
            static_cast<const int64_t*>(offsets_.data_ptr()),
            grad.data_ptr(),
            dtype,
            width};
  }

 private:
  Tensor rows_, offsets_, order_;
  int64_t count_ = 0;
};

void embedding_bags_update_(std::vector<Tensor> weights, std::vector<Tensor> states, Tensor grad_in,
                            std::vector<Tensor> ids, std::vector<int64_t> tables, Text optimizer, double lr, double eps,
                            double weight_decay, int64_t padding_idx) {
  const char* op = "embedding_bags_update_";
  const UpdateRule rule = require_update(op, weights, states, grad_in, optimizer, lr, eps, weight_decay);
  std::vector<int64_t> num_rows, widths;
  for (const Tensor& weight : weights) {
    num_rows.push_back(weight.size(0));
    widths.push_back(weight.size(1));
  }
  const Features features(op, num_rows, widths, ids, tables, padding_idx);
  require_shape(op, "grad", grad_in, {features.count(), features.width()});
  const Tensor grad = grad_in.stride(1) == 1 ? grad_in : recops::contiguous(grad_in);
  const Dtype dtype = dtype_of(op, "grad", grad);
  const Kernels& kernels = select_kernels();
  for (size_t i = 0; i < weights.size(); ++i) {
    if (widths[i] == 0) continue;
    const Occurrences occurrences(features, static_cast<int64_t>(i), grad);
    const SortedGradients gradients = occurrences.gradients(grad, dtype, widths[i]);
    void* state = states.empty() ? nullptr : states[i].data_ptr();
    // Every thread has room for the gradient of one row. Rows are not split, so results do not depend on the ranges.
    const int64_t ranges = std::clamp<int64_t>(gradients.count * widths[i] / kGrain, 1, num_threads());
    const Tensor sums = empty({ranges, widths[i]}, compute_type(dtype), grad);
    parallel_for(ranges, 1, [&](int64_t first, int64_t last) {
      for (int64_t range = first; range < last; ++range)
        kernels.update_rows(gradients, rule, gradients.count * range / ranges, gradients.count * (range + 1) / ranges,
                            static_cast<char*>(sums.data_ptr()) + range * widths[i] * sums.element_size(),
                            weights[i].data_ptr(), state);
    });
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  // `states` is empty for sgd, and has one tensor per table otherwise.
  m.def(
      "embedding_bags_update_(Tensor(a!)[] weights, Tensor(b!)[] states, Tensor grad, Tensor[] ids, int[] tables, str "
      "optimizer, float lr, float eps, float weight_decay, SymInt padding_idx) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) { m.impl("embedding_bags_update_", TORCH_BOX(&embedding_bags_update_)); }

}  // namespace recops::embedding
