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
  m.impl("hpmn_scan", TORCH_BOX(&hpmn_scan));
  m.impl("hpmn_step_", TORCH_BOX(&hpmn_step_));
}

}  // namespace recops::memory
