// Recurrent scan ops on the GPU: memory and registration. cuda.h has the kernels' contract, and what they do about
// errors in data, which the host does not read. Inputs beyond the kernels' limits use the composites.
#include <string>
#include <tuple>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "recurrent/arguments.h"
#include "recurrent/call.h"
#include "recurrent/cuda.h"
#include "recurrent/gradients.h"

namespace recops::recurrent {
namespace {

cuda::Rows rows_of(const Call& call) { return {call.rows, call.sources, call.lengths, call.gates_index}; }

bool has_kernel(const Call& call, const Tensor& input) {
  return has_code_for(device_of(input).index) && cuda::supports(call.scan, rows_of(call));
}

using Scanned = std::tuple<Tensor, Tensor, Tensor>;

Scanned forward(const Call& call, const Tensor& input, const std::string& keep_name) {
  const Scan& scan = call.scan;
  const Keep keep = keep_of(call.op(), keep_name, scan.dtype);
  const Tensor outputs = empty({call.rows, scan.steps, scan.hidden}, input.scalar_type(), input);
  const Tensor h_last = empty({call.rows, scan.hidden}, call.type(), input), kept = empty_kept(call, keep, input);
  const Tensor workspace = empty({cuda::forward_workspace_bytes(scan, rows_of(call))}, ScalarType::Byte, input);
  const Forward to{keep, outputs.data_ptr(), h_last.data_ptr(), kept.data_ptr()};
  require_launched(call.op(), cuda::forward(scan, rows_of(call), to, workspace.data_ptr(), current_stream(input)));
  return {outputs, h_last, kept};
}

Gradients backward(Call& call, const Tensor& input, const Maybe& gates_index, const Maybe& grad_outputs,
                   const Maybe& grad_h_last, const Tensor& outputs, const Tensor& kept) {
  const Gradients to = empty_gradients(call, input);
  const Backward from = backward_of(call, input, grad_outputs, grad_h_last, outputs, kept, to);
  Maybe sorted_sources, order;
  cuda::SharedRows shared{};
  if (call.shared) {
    std::tie(sorted_sources, order) = sorted(*gates_index);
    shared = {static_cast<const int64_t*>(sorted_sources->data_ptr()), static_cast<const int64_t*>(order->data_ptr())};
  }
  const Tensor workspace =
      empty({cuda::backward_workspace_bytes(call.scan, rows_of(call), from)}, ScalarType::Byte, input);
  require_launched(call.op(), cuda::backward(call.scan, rows_of(call), shared, from, parameters_of(call, to),
                                             workspace.data_ptr(), current_stream(input)));
  return to;
}

Scanned recurrent_scan(Tensor gates, Tensor w_hh, Maybe b_hh, Maybe h0, Maybe attention, Maybe lengths,
                       Maybe gates_index, Text cell, Text reset, Text update, Text keep) {
  const char* op = "recurrent_scan";
  const DeviceGuard guard(gates);
  const Call call(op, gates, {}, w_hh, {}, b_hh, h0, attention, lengths, gates_index, cell, reset, update);
  if (!has_kernel(call, gates))
    return call_composite<Tensor, Tensor, Tensor>(op, gates, w_hh, b_hh, h0, attention, lengths, gates_index, cell,
                                                  reset, update, keep);
  return forward(call, gates, keep);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> recurrent_scan_backward(
    Maybe grad_outputs, Maybe grad_h_last, Tensor outputs, Tensor kept, Tensor gates, Tensor w_hh, Maybe b_hh, Maybe h0,
    Maybe attention, Maybe lengths, Maybe gates_index, Text cell, Text reset, Text update) {
  const char* op = "recurrent_scan";
  const DeviceGuard guard(gates);
  Call call(op, gates, {}, w_hh, {}, b_hh, h0, attention, lengths, gates_index, cell, reset, update);
  if (!has_kernel(call, gates))
    return call_composite<Tensor, Tensor, Tensor, Tensor, Tensor>("recurrent_scan_backward", grad_outputs, grad_h_last,
                                                                  outputs, kept, gates, w_hh, b_hh, h0, attention,
                                                                  lengths, gates_index, cell, reset, update);
  const Gradients to = backward(call, gates, gates_index, grad_outputs, grad_h_last, outputs, kept);
  return {to.input, to.w_hh, to.b_hh, to.h0, to.attention};
}

Scanned recurrent_layer(Tensor x, Tensor w_ih, Tensor w_hh, Maybe b_ih, Maybe b_hh, Maybe h0, Maybe attention,
                        Maybe lengths, Text cell, Text reset, Text update, Text keep) {
  const char* op = "recurrent_layer";
  const DeviceGuard guard(x);
  const Call call(op, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths, {}, cell, reset, update);
  if (!has_kernel(call, x))
    return call_composite<Tensor, Tensor, Tensor>(op, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths, cell, reset,
                                                  update, keep);
  return forward(call, x, keep);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> recurrent_layer_backward(
    Maybe grad_outputs, Maybe grad_h_last, Tensor outputs, Tensor kept, Tensor x, Tensor w_ih, Tensor w_hh, Maybe b_ih,
    Maybe b_hh, Maybe h0, Maybe attention, Maybe lengths, Text cell, Text reset, Text update) {
  const char* op = "recurrent_layer";
  const DeviceGuard guard(x);
  Call call(op, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths, {}, cell, reset, update);
  if (!has_kernel(call, x))
    return call_composite<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>(
        "recurrent_layer_backward", grad_outputs, grad_h_last, outputs, kept, x, w_ih, w_hh, b_ih, b_hh, h0, attention,
        lengths, cell, reset, update);
  const Gradients to = backward(call, x, {}, grad_outputs, grad_h_last, outputs, kept);
  return {to.input, to.w_ih, to.w_hh, to.b_ih, to.b_hh, to.h0, to.attention};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(recops, CUDA, m) {
  m.impl("recurrent_scan", TORCH_BOX(&recurrent_scan));
  m.impl("recurrent_scan_backward", TORCH_BOX(&recurrent_scan_backward));
  m.impl("recurrent_layer", TORCH_BOX(&recurrent_layer));
  m.impl("recurrent_layer_backward", TORCH_BOX(&recurrent_layer_backward));
}

}  // namespace recops::recurrent
