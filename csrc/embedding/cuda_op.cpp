// Embedding bags on the GPU: checks, memory and registration. cuda.h has the kernels' contract, and what they do about
// errors in data, which the host does not read. Inputs beyond the kernels' limits use the composites.
#include <algorithm>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "embedding/arguments.h"
#include "embedding/cuda.h"

namespace recops::embedding {
namespace {

// Contiguous ids and columns of every feature.
class DeviceFeatures {
 public:
  DeviceFeatures(const char* op, const std::vector<int64_t>& num_rows, const std::vector<int64_t>& widths,
                 const std::vector<Tensor>& ids, const std::vector<int64_t>& tables)
      : count_(require_features(op, num_rows, widths, ids, tables)) {
    for (size_t f = 0; f < ids.size(); ++f) {
      const Tensor& held = held_.emplace_back(recops::contiguous(ids[f]));
      features_.push_back({indices(op, "ids", held), held.dim() == 2 ? held.size(1) : 1, columns_, nullptr,
                           num_rows[tables[f]], widths[tables[f]]});
      columns_ += widths[tables[f]];
    }
  }

  int64_t count() const { return count_; }
  int64_t columns() const { return columns_; }
  std::vector<cuda::Feature>& all() { return features_; }

 private:
  int64_t count_, columns_ = 0;
  std::vector<cuda::Feature> features_;
  std::vector<Tensor> held_;
};

Tensor embedding_bags(std::vector<Tensor> weights, std::vector<Tensor> ids, std::vector<int64_t> tables,
                      int64_t padding_idx) {
  const char* op = "embedding_bags";
  require_weights(op, weights);
  const auto composite = [&] { return std::get<0>(call_composite<Tensor>(op, weights, ids, tables, padding_idx)); };
  if (!has_code_for(device_of(weights[0]).index)) return composite();
  const DeviceGuard guard(weights[0]);
  std::vector<int64_t> num_rows, widths;
  for (Tensor& weight : weights) {
    weight = recops::contiguous(weight);
    num_rows.push_back(weight.size(0));
    widths.push_back(weight.size(1));
  }
  DeviceFeatures features(op, num_rows, widths, ids, tables);
  for (size_t f = 0; f < tables.size(); ++f) features.all()[f].table = weights[tables[f]].data_ptr();
  cuda::BagsCall call{};
  call.dtype = dtype_of(op, "weights", weights[0]);
  call.count = features.count();
  call.padding = padding_idx;
  call.features = features.all().data();
  call.num_features = static_cast<int64_t>(features.all().size());
  call.stride = features.columns();
  if (!cuda::supports_bags(call)) return composite();
  const Tensor out = empty({features.count(), features.columns()}, weights[0].scalar_type(), weights[0]);
  call.values = out.data_ptr();
  require_launched(op, cuda::sum_bags(call, current_stream(weights[0])));
  return out;
}

// The occurrences of a table's rows, sorted by row, and the workspace of their sums.
struct SortedOccurrences {
  SortedOccurrences(const char* op, const cuda::GradientCall& call, const Tensor& like) {
    const Tensor keys = empty({cuda::count_occurrences(call)}, ScalarType::Int, like);
    require_launched(op, cuda::write_keys(call, static_cast<int32_t*>(keys.data_ptr()), current_stream(like)));
    std::tie(rows_, order_) = sorted(keys);
    workspace_ = empty({cuda::gradient_workspace_bytes(call)}, ScalarType::Byte, like);
  }

  const int32_t* rows() const { return static_cast<const int32_t*>(rows_.data_ptr()); }
  const int64_t* order() const { return static_cast<const int64_t*>(order_.data_ptr()); }
  void* workspace() const { return workspace_.data_ptr(); }

 private:
  Tensor rows_, order_, workspace_;
};

// The gradient of every table, or nothing if a kernel does not support one. A table with -1 rows has no features.
class GradientCalls {
 public:
  GradientCalls(const char* op, DeviceFeatures& features, const std::vector<int64_t>& tables,
                const std::vector<int64_t>& num_rows, const std::vector<int64_t>& widths, int64_t padding,
                const Tensor& grad)
      : features_(num_rows.size()) {
    for (size_t f = 0; f < tables.size(); ++f)
      if (num_rows[tables[f]] >= 0) features_[tables[f]].push_back(features.all()[f]);
    for (size_t i = 0; i < num_rows.size(); ++i) {
      cuda::GradientCall call{};
      call.dtype = dtype_of(op, "grad", grad);
      call.count = features.count();
      call.padding = padding;
      call.features = features_[i].data();
      call.num_features = static_cast<int64_t>(features_[i].size());
      call.values = grad.data_ptr();
      call.stride = grad.stride(0);
      call.columns = features.columns();
      call.num_rows = std::max<int64_t>(num_rows[i], 0);
      call.width = widths[i];
      is_supported_ = is_supported_ && cuda::supports_gradient(call);
      calls_.push_back(call);
    }
  }

  bool is_supported() const { return is_supported_; }
  const std::vector<cuda::GradientCall>& all() const { return calls_; }

 private:
  std::vector<std::vector<cuda::Feature>> features_;
  std::vector<cuda::GradientCall> calls_;
  bool is_supported_ = true;
};

// Gradient of a table from the gradients of its features' values.
Tensor table_gradient(const char* op, const cuda::GradientCall& call, const Tensor& grad) {
  const Tensor gradient = zeros({call.num_rows, call.width}, grad.scalar_type(), grad);
  if (cuda::count_occurrences(call) == 0 || gradient.numel() == 0) return gradient;
  const SortedOccurrences occurrences(op, call, grad);
  require_launched(op, cuda::sum_by_row(call, occurrences.rows(), occurrences.order(), occurrences.workspace(),
                                        gradient.data_ptr(), current_stream(grad)));
  return gradient;
}

std::vector<Tensor> embedding_bags_backward(Tensor grad_in, std::vector<Tensor> ids, std::vector<int64_t> tables,
                                            std::vector<int64_t> num_rows, std::vector<int64_t> widths,
                                            int64_t padding_idx) {
  const char* op = "embedding_bags_backward";
  const auto composite = [&] {
    return std::get<0>(call_composite<std::vector<Tensor>>(op, grad_in, ids, tables, num_rows, widths, padding_idx));
  };
  if (!has_code_for(device_of(grad_in).index)) return composite();
  const DeviceGuard guard(grad_in);
  DeviceFeatures features(op, num_rows, widths, ids, tables);
  require_shape(op, "grad", grad_in, {features.count(), features.columns()});
  // A column slice of a wider gradient is read without a copy.
  const Tensor grad = grad_in.stride(1) == 1 ? grad_in : recops::contiguous(grad_in);
  const GradientCalls calls(op, features, tables, num_rows, widths, padding_idx, grad);
  if (!calls.is_supported()) return composite();
  std::vector<Tensor> gradients;
  for (const cuda::GradientCall& call : calls.all()) gradients.push_back(table_gradient(op, call, grad));
  return gradients;
}

void embedding_bags_update_(std::vector<Tensor> weights, std::vector<Tensor> states, Tensor grad_in,
                            std::vector<Tensor> ids, std::vector<int64_t> tables, Text optimizer, double lr, double eps,
                            double weight_decay, int64_t padding_idx) {
  const char* op = "embedding_bags_update_";
  const UpdateRule rule = require_update(op, weights, states, grad_in, optimizer, lr, eps, weight_decay);
  const auto composite = [&] {
    call_composite(op, weights, states, grad_in, ids, tables, optimizer, lr, eps, weight_decay, padding_idx);
  };
  if (!has_code_for(device_of(grad_in).index)) return composite();
  const DeviceGuard guard(grad_in);
  std::vector<int64_t> num_rows, widths;
  for (const Tensor& weight : weights) {
    num_rows.push_back(weight.size(0));
    widths.push_back(weight.size(1));
  }
  DeviceFeatures features(op, num_rows, widths, ids, tables);
  require_shape(op, "grad", grad_in, {features.count(), features.columns()});
  const Tensor grad = grad_in.stride(1) == 1 ? grad_in : recops::contiguous(grad_in);
  const GradientCalls calls(op, features, tables, num_rows, widths, padding_idx, grad);
  if (!calls.is_supported()) return composite();
  for (size_t i = 0; i < weights.size(); ++i) {
    const cuda::GradientCall& call = calls.all()[i];
    if (cuda::count_occurrences(call) == 0 || weights[i].numel() == 0) continue;
    const SortedOccurrences occurrences(op, call, grad);
    float* state = states.empty() ? nullptr : static_cast<float*>(states[i].data_ptr());
    require_launched(op, cuda::update_rows({call, rule, weights[i].data_ptr(), state}, occurrences.rows(),
                                           occurrences.order(), occurrences.workspace(), current_stream(grad)));
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(recops, CUDA, m) {
  m.impl("embedding_bags", TORCH_BOX(&embedding_bags));
  m.impl("embedding_bags_backward", TORCH_BOX(&embedding_bags_backward));
  m.impl("embedding_bags_update_", TORCH_BOX(&embedding_bags_update_));
}

}  // namespace recops::embedding
