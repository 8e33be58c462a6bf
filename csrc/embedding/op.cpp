// Embedding table ops: schemas, data checks, memory and threads. cpu-inl.h has the arithmetic, arguments.h the checks
// of dtype and shape.
#include <string>
#include <vector>

#include "common/compat.h"
#include "embedding/arguments.h"
#include "embedding/gradient.h"
#include "embedding/kernel.h"

namespace recops::embedding {
namespace {

// Returns the index of a tensor's entry for an error message, for example "[2, 3]".
std::string place_of(const Tensor& tensor, int64_t position) {
  std::string place;
  for (int64_t d = tensor.dim(); d-- > 0; position /= tensor.size(d))
    place = concat(d > 0 ? ", " : "[", position % tensor.size(d), place.empty() ? "]" : place);
  return place;
}

// The bags and table of every feature, and the feature's columns in the result.
class Features {
 public:
  struct Feature {
    int64_t table, column;
    Bags bags;
  };

  // Tables are [num_rows[i], widths[i]]; the ids of feature f are rows of table tables[f]. Features of a table with −1
  // rows are skipped, but keep their columns.
  Features(const char* op, const std::vector<int64_t>& num_rows, const std::vector<int64_t>& widths,
           const std::vector<Tensor>& ids, const std::vector<int64_t>& tables, int64_t padding)
      : width_(0) {
    count_ = require_features(op, num_rows, widths, ids, tables);
    for (size_t f = 0; f < ids.size(); ++f) {
      const int64_t table = tables[f];
      const int64_t each = ids[f].dim() == 2 ? ids[f].size(1) : 1;
      if (num_rows[table] >= 0)
        features_.push_back(
            {table, width_, {count_, each, rows(op, f, ids[f], num_rows[table]), padding, widths[table], 0}});
      width_ += widths[table];
    }
    for (Feature& feature : features_) feature.bags.stride = width_;
  }

  int64_t count() const { return count_; }
  int64_t width() const { return width_; }
  const std::vector<Feature>& all() const { return features_; }

 private:
  // Returns contiguous ids after checking that all are rows of a table of `size` rows.
  Indices rows(const char* op, size_t feature, const Tensor& ids, int64_t size) {
    const Tensor& held = held_.emplace_back(recops::contiguous(ids));
    const Indices found = indices(op, "ids", held);
    const int64_t outside = select_kernels().find_outside(found, held.numel(), size);
    if (outside < 0) return found;
    throw std::out_of_range(concat(op, ": bags[", feature, "]: ids must be from 0 to ", size - 1, ", got ids",
                                   place_of(held, outside), " = ", found[outside]));
  }

  int64_t count_, width_;
  std::vector<Feature> features_;
  std::vector<Tensor> held_;
};

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
