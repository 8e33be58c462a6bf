// Memory network ops on the GPU: memory and registration. cuda.h has the kernels' contract, and what they do about
// errors in data, which the host does not read. Inputs beyond the kernels' limits use the composites.
#include <tuple>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "memory/arguments.h"
#include "memory/cuda.h"

namespace recops::memory {
namespace {

const int64_t* integers(Arguments& call, const Maybe& values, int64_t count) {
  return values ? static_cast<const int64_t*>(call.hold(*values, count, ScalarType::Long)) : nullptr;
}

// Events of a pool in device memory, sorted by row.
class SortedEvents {
 public:
  cuda::Events events;

  SortedEvents(Arguments& call, const Tensor& rows, int64_t count, int64_t pool) {
    integers(call, rows, count);  // checks dtype and size
    std::tie(rows_, order_) = sorted(rows);
    events = {count, pool, static_cast<const int64_t*>(rows_->data_ptr()),
              static_cast<const int64_t*>(order_->data_ptr())};
  }

 private:
  Maybe rows_, order_;
};

// The tensors of a state, or of its gradient.
class StateTensors {
 public:
  MimnRows rows;

  StateTensors(const MimnArguments& call, int64_t count, const Tensor& like) {
    const int64_t m = call.mimn.slots, d = call.mimn.inputs;
    void* data[kFields];
    for (int f = 0; f < kFields; ++f) {
      of.push_back(f == kMemory || f == kChannels ? empty({count, m, d}, call.type, like)
                                                  : empty({count, call.widths[f]}, call.type, like));
      data[f] = of[f].data_ptr();
    }
    rows = MimnArguments::rows_of(data);
  }

  std::vector<Tensor> of;
};

bool has_kernel(const MimnArguments& call, const Tensor& x) {
  return has_code_for(device_of(x).index) && cuda::supports(call.mimn);
}

using Scanned = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

Scanned mimn_scan(Tensor x, std::vector<Tensor> state, std::vector<Tensor> params, Maybe key_memory, double usage_scale,
                  Maybe lengths, Text utilization, int64_t induction_topk, int64_t checkpoint) {
  const char* op = "mimn_scan";
  const DeviceGuard guard(x);
  MimnArguments call(op, x, params, key_memory, usage_scale, utilization, induction_topk);
  require_value(x.dim() == 3 && checkpoint >= 0, op, ": x must have 3 dimensions");
  const int64_t rows = x.size(0), steps = x.size(1);
  const cuda::Batch batch{rows, steps, integers(call, lengths, rows)};
  if (!has_kernel(call, x) || !cuda::supports(batch))
    return call_composite<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>(
        op, x, state, params, key_memory, usage_scale, lengths, utilization, induction_topk, checkpoint);
  const Tensor outputs = empty({rows, steps, call.mimn.hidden}, x.scalar_type(), x);
  const StateTensors last(call, rows, x);
  const Tensor weights = empty({rows, call.mimn.slots}, call.type, x);
  const Tensor kept = empty({num_checkpoints(steps, checkpoint), rows, checkpoint_values(call.mimn)}, call.type, x);
  const Tensor workspace = empty({cuda::mimn_workspace_bytes(call.mimn)}, ScalarType::Byte, x);
  const MimnForward with{call.hold(x, x.numel(), x.scalar_type()),
                         call.rows_of(state, rows),
                         last.rows,
                         outputs.data_ptr(),
                         weights.data_ptr(),
                         {kept.numel() > 0 ? kept.data_ptr() : nullptr, rows, checkpoint}};
  require_launched(op, cuda::mimn_scan(call.mimn, batch, with, workspace.data_ptr(), current_stream(x)));
  return {outputs, last.of[0], last.of[1], last.of[2], last.of[3], last.of[4], last.of[5], last.of[6], weights, kept};
}

std::vector<Tensor> mimn_scan_backward(Tensor grad_outputs, std::vector<Tensor> grad_state, Tensor grad_read_weights,
                                       Tensor x, std::vector<Tensor> state, std::vector<Tensor> params,
                                       Maybe key_memory, double usage_scale, Maybe lengths, Text utilization,
                                       int64_t induction_topk, int64_t checkpoint, Tensor kept) {
  const char* op = "mimn_scan";
  const DeviceGuard guard(x);
  MimnArguments call(op, x, params, key_memory, usage_scale, utilization, induction_topk);
  require_dim(op, "x", x, 3);
  require_value(checkpoint >= 1, op, ": checkpoint must be at least 1, got ", checkpoint);
  const int64_t rows = x.size(0), steps = x.size(1);
  const cuda::Batch batch{rows, steps, integers(call, lengths, rows)};
  if (!has_kernel(call, x) || !cuda::supports_backward(call.mimn) || !cuda::supports(batch))
    return std::get<0>(call_composite<std::vector<Tensor>>("mimn_scan_backward", grad_outputs, grad_state,
                                                           grad_read_weights, x, state, params, key_memory, usage_scale,
                                                           lengths, utilization, induction_topk, checkpoint, kept));
  std::vector<Tensor> grads{empty({rows, steps, call.mimn.inputs}, call.type, x)};
  StateTensors from(call, rows, x);
  for (int f : {kHidden, kRead, kMemory, kUsage, kChannels}) grads.push_back(from.of[f]);
  from.rows.added = from.rows.pooled = nullptr;
  std::vector<void*> of_params;
  const auto add_param = [&](const Tensor& param) {
    grads.push_back(param.dim() == 1 ? empty({param.size(0)}, call.type, x)
                                     : empty({param.size(0), param.size(1)}, call.type, x));
    of_params.push_back(grads.back().data_ptr());
  };
  for (const Tensor& param : params) add_param(param);
  if (key_memory) add_param(*key_memory);
  const int64_t kept_values = num_checkpoints(steps, checkpoint) * rows * checkpoint_values(call.mimn);
  const MimnBackward with{call.hold(x, x.numel(), x.scalar_type()),
                          call.rows_of(state, rows),
                          {kept_values > 0 ? call.hold(kept, kept_values) : nullptr, rows, checkpoint},
                          call.hold(grad_outputs, rows * steps * call.mimn.hidden, x.scalar_type()),
                          call.hold(grad_read_weights, rows * call.mimn.slots),
                          call.rows_of(grad_state, rows),
                          grads[0].data_ptr(),
                          from.rows};
  const MimnGradients to{{of_params[0], of_params[1], of_params[2]},
                         of_params[3],
                         of_params[4],
                         key_memory ? of_params[11] : nullptr,
                         of_params[5],
                         {of_params[6], of_params[7], of_params[8]},
                         of_params[9],
                         of_params[10]};
  const Tensor workspace =
      empty({cuda::mimn_backward_workspace_bytes(call.mimn, batch, checkpoint)}, ScalarType::Byte, x);
  require_launched(op, cuda::mimn_scan_backward(call.mimn, batch, with, to, workspace.data_ptr(), current_stream(x)));
  return grads;
}

void mimn_step_(std::vector<Tensor> state, Tensor count, Tensor rows, Tensor x, std::vector<Tensor> params,
                Maybe key_memory, double usage_scale, Text utilization, int64_t induction_topk) {
  const char* op = "mimn_step_";
  const DeviceGuard guard(x);
  MimnArguments call(op, x, params, key_memory, usage_scale, utilization, induction_topk);
  const int64_t num_events = x.size(0), pool = count.numel();
  if (!has_kernel(call, x) || num_events > cuda::kMostEvents) {
    call_composite<>(op, state, count, rows, x, params, key_memory, usage_scale, utilization, induction_topk);
    return;
  }
  auto* const counts = static_cast<int64_t*>(call.hold_in_place(count, pool, ScalarType::Long));
  const MimnRows users = call.rows_of(state, pool, true);
  const SortedEvents sorted(call, rows, num_events, pool);
  const Tensor workspace = empty({cuda::mimn_step_workspace_bytes(call.mimn, sorted.events)}, ScalarType::Byte, x);
  require_launched(op, cuda::mimn_step(call.mimn, sorted.events, call.hold(x, x.numel(), x.scalar_type()), users,
                                       counts, workspace.data_ptr(), current_stream(x)));
}

std::tuple<Tensor, Tensor, Tensor> mimn_read(std::vector<Tensor> state, Tensor rows, Tensor target,
                                             std::vector<Tensor> params, Maybe key_memory, double usage_scale,
                                             Text utilization, int64_t induction_topk) {
  const char* op = "mimn_read";
  const DeviceGuard guard(target);
  MimnArguments call(op, target, params, key_memory, usage_scale, utilization, induction_topk);
  require_value(state.size() == kFields, op, ": a state has 7 floating tensors");
  const int64_t count = target.size(0), pool = state[kHidden].size(0);
  const cuda::Candidates candidates{count, pool, integers(call, rows, count)};
  if (!has_kernel(call, target) || !cuda::supports(candidates))
    return call_composite<Tensor, Tensor, Tensor>(op, state, rows, target, params, key_memory, usage_scale, utilization,
                                                  induction_topk);
  const Mimn& mimn = call.mimn;
  const Tensor out = empty({count, mimn.hidden}, target.scalar_type(), target);
  const Tensor weights = empty({count, mimn.slots}, call.type, target);
  const Tensor channels = empty({count, mimn.slots, mimn.inputs}, call.type, target);
  MimnRows to{};
  to.channels = channels.data_ptr();
  const Tensor workspace = empty({cuda::mimn_workspace_bytes(mimn)}, ScalarType::Byte, target);
  const MimnForward with{call.hold(target, target.numel(), target.scalar_type()),
                         call.rows_of(state, pool),
                         to,
                         out.data_ptr(),
                         weights.data_ptr(),
                         {nullptr, 0, 0}};
  require_launched(op, cuda::mimn_read(mimn, candidates, with, workspace.data_ptr(), current_stream(target)));
  return {out, weights, channels};
}

std::tuple<Tensor, Tensor> hpmn_scan(Tensor x, Tensor memory, Tensor count, std::vector<Tensor> w_ih, Tensor w_hh,
                                     Tensor bias, std::vector<int64_t> periods, Maybe lengths, int64_t checkpoint) {
  const char* op = "hpmn_scan";
  const DeviceGuard guard(x);
  HpmnArguments call(op, x, w_ih, w_hh, bias, periods);
  require_value(x.dim() == 3 && checkpoint >= 0, op, ": x must have 3 dimensions");
  const cuda::Batch batch{x.size(0), x.size(1), integers(call, lengths, x.size(0))};
  if (!has_code_for(device_of(x).index) || !cuda::supports(call.hpmn) || !cuda::supports(batch))
    return call_composite<Tensor, Tensor>(op, x, memory, count, w_ih, w_hh, bias, periods, lengths, checkpoint);
  const int64_t rows = batch.count, layers = call.hpmn.layers, h = call.hpmn.hidden;
  const Tensor last = empty({rows, layers, h}, call.type, x);
  const Tensor kept = empty({num_checkpoints(batch.steps, checkpoint), rows, layers, h}, call.type, x);
  const Tensor workspace = empty({cuda::hpmn_workspace_bytes(call.hpmn)}, ScalarType::Byte, x);
  const HpmnForward with{call.hold(x, x.numel(), x.scalar_type()),
                         call.hold(memory, rows * call.width()),
                         last.data_ptr(),
                         integers(call, count, rows),
                         {kept.numel() > 0 ? kept.data_ptr() : nullptr, rows, checkpoint}};
  require_launched(op, cuda::hpmn_scan(call.hpmn, batch, with, workspace.data_ptr(), current_stream(x)));
  return {last, kept};
}

std::vector<Tensor> hpmn_scan_backward(Tensor grad_memory, Tensor x, Tensor memory, Tensor count,
                                       std::vector<Tensor> w_ih, Tensor w_hh, Tensor bias, std::vector<int64_t> periods,
                                       Maybe lengths, int64_t checkpoint, Tensor kept) {
  const char* op = "hpmn_scan";
  const DeviceGuard guard(x);
  HpmnArguments call(op, x, w_ih, w_hh, bias, periods);
  require_dim(op, "x", x, 3);
  require_value(checkpoint >= 1, op, ": checkpoint must be at least 1, got ", checkpoint);
  const cuda::Batch batch{x.size(0), x.size(1), integers(call, lengths, x.size(0))};
  if (!has_code_for(device_of(x).index) || !cuda::supports(call.hpmn) || !cuda::supports(batch))
    return std::get<0>(call_composite<std::vector<Tensor>>("hpmn_scan_backward", grad_memory, x, memory, count, w_ih,
                                                           w_hh, bias, periods, lengths, checkpoint, kept));
  const int64_t rows = batch.count, layers = call.hpmn.layers, h = call.hpmn.hidden, inputs = call.hpmn.inputs;
  std::vector<Tensor> grads{empty({rows, batch.steps, inputs}, call.type, x), empty({rows, layers, h}, call.type, x)};
  std::vector<void*> of_w_ih;
  for (int64_t j = 0; j < layers; ++j) {
    grads.push_back(empty({3 * h, j == 0 ? inputs : h}, call.type, x));
    of_w_ih.push_back(grads.back().data_ptr());
  }
  grads.push_back(empty({layers, 3 * h, h}, call.type, x));
  grads.push_back(empty({layers, 3 * h}, call.type, x));
  const HpmnBackward from{
      call.hold(x, x.numel(), x.scalar_type()),
      call.hold(memory, rows * call.width()),
      integers(call, count, rows),
      {call.hold(kept, num_checkpoints(batch.steps, checkpoint) * rows * call.width()), rows, checkpoint},
      call.hold(grad_memory, rows * call.width()),
      grads[0].data_ptr(),
      grads[1].data_ptr()};
  const HpmnGradients to{of_w_ih.data(), grads[layers + 2].data_ptr(), grads[layers + 3].data_ptr()};
  const Tensor workspace =
      empty({cuda::hpmn_backward_workspace_bytes(call.hpmn, batch, checkpoint)}, ScalarType::Byte, x);
  require_launched(op, cuda::hpmn_scan_backward(call.hpmn, batch, from, to, workspace.data_ptr(), current_stream(x)));
  return grads;
}

void hpmn_step_(Tensor memory, Tensor count, Tensor rows, Tensor x, std::vector<Tensor> w_ih, Tensor w_hh, Tensor bias,
                std::vector<int64_t> periods) {
  const char* op = "hpmn_step_";
  const DeviceGuard guard(x);
  HpmnArguments call(op, x, w_ih, w_hh, bias, periods);
  const int64_t num_events = x.size(0), pool = count.numel();
  if (!has_code_for(device_of(x).index) || !cuda::supports(call.hpmn) || num_events > cuda::kMostEvents) {
    call_composite<>(op, memory, count, rows, x, w_ih, w_hh, bias, periods);
    return;
  }
  void* const users = call.hold_in_place(memory, pool * call.width(), call.type);
  auto* const counts = static_cast<int64_t*>(call.hold_in_place(count, pool, ScalarType::Long));
  const SortedEvents sorted(call, rows, num_events, pool);
  const Tensor workspace = empty({cuda::hpmn_step_workspace_bytes(call.hpmn, sorted.events)}, ScalarType::Byte, x);
  require_launched(op, cuda::hpmn_step(call.hpmn, sorted.events, call.hold(x, x.numel(), x.scalar_type()), users,
                                       counts, workspace.data_ptr(), current_stream(x)));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(recops, CUDA, m) {
  m.impl("mimn_scan", TORCH_BOX(&mimn_scan));
  m.impl("mimn_scan_backward", TORCH_BOX(&mimn_scan_backward));
  m.impl("mimn_step_", TORCH_BOX(&mimn_step_));
  m.impl("mimn_read", TORCH_BOX(&mimn_read));
  m.impl("hpmn_scan", TORCH_BOX(&hpmn_scan));
  m.impl("hpmn_scan_backward", TORCH_BOX(&hpmn_scan_backward));
  m.impl("hpmn_step_", TORCH_BOX(&hpmn_step_));
}

}  // namespace recops::memory
