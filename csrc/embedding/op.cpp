// The ops of embedding tables: schemas, checks on data, memory, threads. The arithmetic is in cpu-inl.h; the checks on
// dtype and shape that give a user's error are in recops/ops, here they only keep memory safe.
#include <string>
#include <vector>

#include "compat.h"
#include "embedding/gradient.h"
#include "embedding/kernel.h"

namespace recops::embedding {
namespace {

// Where the entry at `position` of a tensor is, as "[2, 3]".
std::string place_of(const Tensor& tensor, int64_t position) {
  std::string place;
  for (int64_t d = tensor.dim(); d-- > 0; position /= tensor.size(d))
    place = concat(d > 0 ? ", " : "[", position % tensor.size(d), place.empty() ? "]" : place);
  return place;
}

// Ids as kernels take them: contiguous, rows of a table of `size`.
class Rows {
 public:
  Rows(const char* op, const Tensor& ids, int64_t size) : held_(recops::contiguous(ids)) {
    const ScalarType type = ids.scalar_type();
    require_value(type == ScalarType::Long || type == ScalarType::Int, op, ": ids must be int32 or int64");
    const int64_t outside = select_kernels().find_outside(this->ids(), ids.numel(), size);
    if (outside < 0) return;
    const int64_t id = this->ids().wide ? static_cast<const int64_t*>(held_.data_ptr())[outside]
                                        : static_cast<const int32_t*>(held_.data_ptr())[outside];
    throw std::out_of_range(
        concat(op, ": ids", place_of(held_, outside), " is ", id, ", which is not from 0 to ", size - 1));
  }

  Ids ids() const { return {held_.data_ptr(), held_.scalar_type() == ScalarType::Long}; }

 private:
  Tensor held_;
};

Tensor table(const char* op, const Tensor& weight) {
  require_value(weight.dim() == 2, op, ": weight must be a matrix");
  return recops::contiguous(weight);
}

// `padding_idx` is for the gradients' sake alone.
Tensor embedding_rows(Tensor weight_in, Tensor ids, int64_t) {
  const char* op = "embedding_rows";
  const Tensor weight = table(op, weight_in);
  dtype_of(op, "weight", weight);
  const Rows rows(op, ids, weight.size(0));
  const int64_t width = weight.size(1), bytes = width * weight.element_size();
  std::vector<int64_t> sizes(ids.sizes().begin(), ids.sizes().end());
  sizes.push_back(width);
  Tensor out = empty(sizes, weight.scalar_type(), weight);
  const Kernels& kernels = select_kernels();
  parallel_for(ids.numel(), kGrain / std::max<int64_t>(width, 1) + 1, [&](int64_t begin, int64_t end) {
    kernels.copy_rows(weight.data_ptr(), bytes, rows.ids(), begin, end, out.data_ptr());
  });
  return out;
}

Tensor embedding_sum(Tensor weight_in, Tensor ids, int64_t padding_idx) {
  const char* op = "embedding_sum";
  const Tensor weight = table(op, weight_in);
  const Dtype dtype = dtype_of(op, "weight", weight);
  require_value(ids.dim() == 2, op, ": ids must be a matrix");
  const Rows rows(op, ids, weight.size(0));
  const int64_t width = weight.size(1);
  const Bags bags{ids.size(0), width, rows.ids(), ids.size(1), padding_idx};
  Tensor out = empty({bags.rows, width}, weight.scalar_type(), weight);
  const Kernels& kernels = select_kernels();
  parallel_for(bags.rows, kGrain / std::max<int64_t>(bags.each * width, 1) + 1, [&](int64_t begin, int64_t end) {
    kernels.sum_rows(bags, weight.data_ptr(), dtype, begin, end, out.data_ptr());
  });
  return out;
}

// A row of `grad` goes to each of the ids whose place begins as its own.
Tensor embedding_backward(Tensor grad_in, Tensor ids, int64_t num_rows, int64_t padding_idx) {
  const char* op = "embedding_backward";
  const Tensor grad = recops::contiguous(grad_in);
  const Dtype dtype = dtype_of(op, "grad", grad);
  const int64_t leading = grad.dim() - 1;
  require_value(0 <= leading && leading <= ids.dim(), op, ": grad must have a row for each row of ids");
  int64_t count = 1;
  for (int64_t d = 0; d < leading; ++d) {
    require_value(grad.size(d) == ids.size(d), op, ": grad must have a row for each row of ids");
    count *= grad.size(d);
  }
  require_value(num_rows >= 0, op, ": num_rows must not be negative, got ", num_rows);
  const Rows rows(op, ids, num_rows);
  const int64_t width = grad.size(leading);
  const Bags bags{count, width, rows.ids(), ids.numel() / std::max<int64_t>(count, 1), padding_idx};
  return sum_by_row({num_rows, width}, ids.numel(), grad,
                    [&](const Kernels& kernels, int64_t first, int64_t last, void* out) {
                      kernels.add_rows(bags, grad.data_ptr(), dtype, first, last, out);
                    });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  // Of padding_idx −1 means none.
  m.def("embedding_rows(Tensor weight, Tensor ids, SymInt padding_idx) -> Tensor");
  m.def("embedding_sum(Tensor weight, Tensor ids, SymInt padding_idx) -> Tensor");
  m.def("embedding_backward(Tensor grad, Tensor ids, SymInt num_rows, SymInt padding_idx) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("embedding_rows", TORCH_BOX(&embedding_rows));
  m.impl("embedding_sum", TORCH_BOX(&embedding_sum));
  m.impl("embedding_backward", TORCH_BOX(&embedding_backward));
}

}  // namespace recops::embedding
