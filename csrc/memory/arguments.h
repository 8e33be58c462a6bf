// Checks of dtype and shape for memory network ops, and conversion to kernel arguments. No data is read. recops/ops
// checks with messages for users; the checks here only keep memory safe.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "common/arguments.h"
#include "common/compat.h"
#include "memory/kernel.h"

namespace recops::memory {

// Contiguous tensors of a call, kept alive as long as the call.
class Arguments {
 public:
  explicit Arguments(const char* op, const Tensor& x)
      : op(op), dtype(dtype_of(op, "x", x)), type(compute_type(dtype)) {}

  const char* const op;
  const Dtype dtype;
  const ScalarType type;  // of everything except inputs and outputs

  // Returns the data of a tensor after checking its size and dtype.
  void* hold(const Tensor& tensor, int64_t size, ScalarType type) {
    require_value(tensor.numel() == size && tensor.scalar_type() == type, op,
                  ": a tensor must have the size and dtype that x and the other tensors imply");
    return hold(tensor);
  }
  void* hold(const Tensor& tensor, int64_t size) { return hold(tensor, size, type); }

  // Returns the data of a parameter after checking its shape. The number of values is not enough, because the gradient
  // gets the parameter's shape.
  void* hold(const char* name, const Tensor& tensor, std::initializer_list<int64_t> sizes) {
    require_dtype(op, name, tensor, type);
    require_shape(op, name, tensor, sizes);
    return hold(tensor);
  }

  // Returns the data of a tensor that is written to, which must already be contiguous.
  void* hold_in_place(const Tensor& tensor, int64_t size, ScalarType type) {
    require_value(tensor.is_contiguous(), op, ": the pool's tensors must be contiguous");
    return hold(tensor, size, type);
  }

 private:
  void* hold(const Tensor& tensor) {
    held_.push_back(recops::contiguous(tensor));
    return held_.back().data_ptr();
  }

  std::vector<Tensor> held_;
};

// Fields of a MimnState, in order.
enum Field { kHidden, kRead, kMemory, kUsage, kAdded, kChannels, kPooled, kFields };

// Parameters of MIMN, and rows of its states.
class MimnArguments : public Arguments {
 public:
  Mimn mimn{};
  int64_t widths[kFields];

  MimnArguments(const char* op, const Tensor& x, const std::vector<Tensor>& params, const Maybe& key_memory,
                double usage_scale, const std::string& utilization, int64_t topk)
      : Arguments(op, x) {
    require_value(params.size() == 11 && params[1].dim() == 2 && params[5].dim() == 2 && topk >= 0 && x.dim() >= 2, op,
                  ": params must have 11 tensors, and induction_topk must be at least 0");
    require_value(utilization == "none" || utilization == "paper" || utilization == "code", op,
                  ": utilization must be 'none', 'paper' or 'code', got '", utilization, "'");
    const int64_t d = x.size(x.dim() - 1), h = params[1].size(1), m = params[5].size(0), heads = 4 * d + 6;
    mimn.dtype = dtype;
    mimn.inputs = d;
    mimn.hidden = h;
    mimn.slots = m;
    mimn.utilization = utilization == "none"    ? Utilization::none
                       : utilization == "paper" ? Utilization::paper
                                                : Utilization::code;
    mimn.topk = std::min(topk, m);
    mimn.usage_scale = usage_scale;
    mimn.controller = {hold("controller_w_ih", params[0], {3 * h, 2 * d}),
                       hold("controller_w_hh", params[1], {3 * h, h}), hold("controller_bias", params[2], {3 * h})};
    mimn.head_w = hold("head_w", params[3], {heads, h + m});
    mimn.head_b = hold("head_b", params[4], {heads});
    mimn.usage_w = hold("usage_w", params[5], {m, m});
    mimn.induction = {hold("induction_w_ih", params[6], {3 * d, 2 * d}), hold("induction_w_hh", params[7], {3 * d, d}),
                      hold("induction_bias", params[8], {3 * d})};
    mimn.out_w = hold("out_w", params[9], {h, h + d});
    mimn.out_b = hold("out_b", params[10], {h});
    mimn.key_memory = key_memory ? hold("key_memory", *key_memory, {m, d}) : nullptr;
    const int64_t all[] = {h, d, m * d, m, d, m * d, d};
    std::copy(all, all + kFields, widths);
  }

  // Rows of a state. `tensors` holds all fields in order.
  MimnRows rows_of(const std::vector<Tensor>& tensors, int64_t rows, bool in_place = false) {
    require_value(tensors.size() == kFields, op, ": a state has 7 floating tensors");
    void* data[kFields];
    for (int f = 0; f < kFields; ++f)
      data[f] = in_place ? hold_in_place(tensors[f], rows * widths[f], type) : hold(tensors[f], rows * widths[f]);
    return rows_of(data);
  }
  static MimnRows rows_of(void* const (&data)[kFields]) {
    return {data[kHidden], data[kRead], data[kMemory], data[kUsage], data[kAdded], data[kChannels], data[kPooled]};
  }
};

// Parameters of HPMN.
class HpmnArguments : public Arguments {
 public:
  Hpmn hpmn{};

  HpmnArguments(const char* op, const Tensor& x, const std::vector<Tensor>& w_ih, const Tensor& w_hh,
                const Tensor& bias, std::vector<int64_t> periods)
      : Arguments(op, x), periods_(std::move(periods)) {
    const int64_t layers = static_cast<int64_t>(w_ih.size());
    require_value(x.dim() >= 2 && w_hh.dim() == 3 && w_hh.size(0) == layers && layers > 0 &&
                      static_cast<int64_t>(periods_.size()) == layers,
                  op, ": periods and parameters must have the same number of slots");
    for (int64_t j = 0; j < layers; ++j)
      require_value(periods_[j] > 0 && (j == 0 ? periods_[j] == 1 : periods_[j] % periods_[j - 1] == 0), op,
                    ": periods must begin with 1 and each divide the next, got periods[", j, "] = ", periods_[j]);
    // Kernels count a layer's updates in int32 lanes.
    for (int64_t j = 1; j < layers; ++j)
      require_value(periods_[j] / periods_[j - 1] <= INT32_MAX, op, ": periods must each be at most ", INT32_MAX,
                    " times the last, got periods[", j, "] = ", periods_[j]);
    const int64_t h = w_hh.size(2), inputs = x.size(x.dim() - 1);
    for (int64_t j = 0; j < layers; ++j) w_ih_.push_back(hold("w_ih", w_ih[j], {3 * h, j == 0 ? inputs : h}));
    hpmn = {dtype,
            inputs,
            h,
            layers,
            periods_.data(),
            w_ih_.data(),
            hold("w_hh", w_hh, {layers, 3 * h, h}),
            hold("bias", bias, {layers, 3 * h})};
  }

  int64_t width() const { return hpmn.layers * hpmn.hidden; }
  int64_t longest_period() const { return periods_.back(); }

 private:
  std::vector<int64_t> periods_;
  std::vector<const void*> w_ih_;
};

// Values of a checkpoint of a row (kernel.h).
inline int64_t checkpoint_values(const Mimn& mimn) {
  return mimn.hidden + mimn.inputs + 2 * mimn.slots * mimn.inputs + mimn.slots;
}

// Number of states that a scan keeps: one every `every` steps after the first.
inline int64_t num_checkpoints(int64_t steps, int64_t every) {
  return steps > 0 && every > 0 ? (steps - 1) / every : 0;
}

}  // namespace recops::memory
