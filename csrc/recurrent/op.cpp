// Recurrent scan ops: schemas, data checks, memory and threads. The kernels have the arithmetic, arguments.h the checks
// of dtype and shape.
#include <cstring>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "common/compat.h"
#include "common/threads.h"
#include "recurrent/arguments.h"
#include "recurrent/call.h"
#include "recurrent/gradients.h"
#include "recurrent/kernel.h"
#include "recurrent/plan.h"

namespace recops::recurrent {
namespace {

// Least number of multiplications per thread.
constexpr int64_t kGrain = 1 << 18;

const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Checks the lengths and indices of a call, and groups its rows into blocks.
Plan plan_of(const Call& call) {
  for (int64_t i = 0; call.lengths != nullptr && i < call.sources; ++i)
    require_value(call.lengths[i] >= 0 && call.lengths[i] <= call.scan.steps, call.op(), ": lengths must be from 0 to ",
                  call.scan.steps, ", got lengths[", i, "] = ", call.lengths[i]);
  for (int64_t i = 0; call.gates_index != nullptr && i < call.rows; ++i)
    require_index(call.gates_index[i] >= 0 && call.gates_index[i] < call.sources, call.op(),
                  ": gates_index must be from 0 to ", call.sources - 1, ", got gates_index[", i,
                  "] = ", call.gates_index[i]);
  return Plan(call.rows, call.scan.steps, call.lengths, call.gates_index);
}

// Calls recops::on_threads with the work of a pass over all cells.
template <class F>
void on_threads(const Kernels& kernels, const Scan& scan, const Plan& plan, int64_t pieces, bool backward,
                const Tensor& like, const F& f) {
  const int64_t work = plan.cells() * 3 * scan.hidden * (scan.hidden + scan.inputs);
  recops::on_threads(pieces, work, kernels.scratch_bytes(scan, backward), like, f);
}

Tensor pack(const Kernels& kernels, const Scan& scan, bool backward, const Tensor& like) {
  Tensor packed = empty({kernels.packed_bytes(scan, backward)}, ScalarType::Byte, like);
  kernels.pack(scan, backward, packed.data_ptr());
  return packed;
}

using Scanned = std::tuple<Tensor, Tensor, Tensor>;

Scanned forward(const char* op, const Call& call, const Tensor& input, const std::string& keep_name) {
  const Kernels& kernels = select_kernels();
  const Scan& scan = call.scan;
  const Plan plan = plan_of(call);
  const Keep keep = keep_of(op, keep_name, scan.dtype);
  Tensor outputs = empty({call.rows, scan.steps, scan.hidden}, input.scalar_type(), input);
  Tensor h_last = empty({call.rows, scan.hidden}, call.type(), input);
  Tensor kept = empty_kept(call, keep, input);
  const Forward to{keep, outputs.data_ptr(), h_last.data_ptr(), kept.data_ptr()};
  const Tensor packed = pack(kernels, scan, false, input);
  on_threads(kernels, scan, plan, plan.num_blocks(), false, input, [&](int64_t first, int64_t stride, void* scratch) {
    for (int64_t b = first; b < plan.num_blocks(); b += stride)
      kernels.forward(scan, packed.data_ptr(), plan.block(b), scratch, to);
  });
  return {outputs, h_last, kept};
}

Gradients backward(Call& call, const Tensor& input, const Maybe& grad_outputs, const Maybe& grad_h_last,
                   const Tensor& outputs, const Tensor& kept) {
  const Kernels& kernels = select_kernels();
  const Scan& scan = call.scan;
  const Plan plan = plan_of(call);
  Gradients to = empty_gradients(call, input);
  // Rows with a shared source add to its gradient.
  if (call.shared) fill_zeros(to.input);
  const Backward from = backward_of(call, input, grad_outputs, grad_h_last, outputs, kept, to);

  const int64_t groups = plan.num_groups(),
                sum_bytes = kernels.sum_values(scan) * static_cast<int64_t>(to.h0.element_size());
  Tensor sums = empty({groups, sum_bytes}, ScalarType::Byte, input);
  char* const sums_data = static_cast<char*>(sums.data_ptr());
  const Tensor packed = pack(kernels, scan, true, input);
  on_threads(kernels, scan, plan, groups, true, input, [&](int64_t first, int64_t stride, void* scratch) {
    for (int64_t g = first; g < groups; g += stride) {
      char* const group_sums = sums_data + g * sum_bytes;
      std::memset(group_sums, 0, static_cast<size_t>(sum_bytes));
      for (int64_t b = plan.first_block(g); b < plan.first_block(g + 1); ++b)
        kernels.backward(scan, packed.data_ptr(), plan.block(b), scratch, from, group_sums);
    }
  });
  const int64_t values = kernels.sum_values(scan);
  parallel_for(values, kGrain / groups + 1,
               [&](int64_t begin, int64_t end) { kernels.add_groups(scan, sums_data, groups, begin, end); });
  kernels.unpack(scan, sums_data, parameters_of(call, to));
  return to;
}

Scanned recurrent_scan(Tensor gates, Tensor w_hh, Maybe b_hh, Maybe h0, Maybe attention, Maybe lengths,
                       Maybe gates_index, Text cell, Text reset, Text update, Text keep) {
  const char* op = "recurrent_scan";
  const Call call(op, gates, {}, w_hh, {}, b_hh, h0, attention, lengths, gates_index, cell, reset, update);
  return forward(op, call, gates, keep);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> recurrent_scan_backward(
    Maybe grad_outputs, Maybe grad_h_last, Tensor outputs, Tensor kept, Tensor gates, Tensor w_hh, Maybe b_hh, Maybe h0,
    Maybe attention, Maybe lengths, Maybe gates_index, Text cell, Text reset, Text update) {
  const char* op = "recurrent_scan";
  Call call(op, gates, {}, w_hh, {}, b_hh, h0, attention, lengths, gates_index, cell, reset, update);
  Gradients to = backward(call, gates, grad_outputs, grad_h_last, outputs, kept);
  return {to.input, to.w_hh, to.b_hh, to.h0, to.attention};
}

Scanned recurrent_layer(Tensor x, Tensor w_ih, Tensor w_hh, Maybe b_ih, Maybe b_hh, Maybe h0, Maybe attention,
                        Maybe lengths, Text cell, Text reset, Text update, Text keep) {
  const char* op = "recurrent_layer";
  const Call call(op, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths, {}, cell, reset, update);
  return forward(op, call, x, keep);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> recurrent_layer_backward(
    Maybe grad_outputs, Maybe grad_h_last, Tensor outputs, Tensor kept, Tensor x, Tensor w_ih, Tensor w_hh, Maybe b_ih,
    Maybe b_hh, Maybe h0, Maybe attention, Maybe lengths, Text cell, Text reset, Text update) {
  const char* op = "recurrent_layer";
  Call call(op, x, w_ih, w_hh, b_ih, b_hh, h0, attention, lengths, {}, cell, reset, update);
  Gradients to = backward(call, x, grad_outputs, grad_h_last, outputs, kept);
  return {to.input, to.w_ih, to.w_hh, to.b_ih, to.b_hh, to.h0, to.attention};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "recurrent_scan(Tensor gates, Tensor w_hh, Tensor? b_hh, Tensor? h0, Tensor? attention, Tensor? lengths, Tensor? "
      "gates_index, str cell, str reset, str update, str keep) -> (Tensor outputs, Tensor h_last, Tensor kept)");
  m.def(
      "recurrent_scan_backward(Tensor? grad_outputs, Tensor? grad_h_last, Tensor outputs, Tensor kept, Tensor gates, "
      "Tensor w_hh, Tensor? b_hh, Tensor? h0, Tensor? attention, Tensor? lengths, Tensor? gates_index, str cell, str "
      "reset, str update) -> (Tensor grad_gates, Tensor grad_w_hh, Tensor grad_b_hh, Tensor grad_h0, Tensor "
      "grad_attention)");
  m.def(
      "recurrent_layer(Tensor x, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, Tensor? h0, Tensor? attention, "
      "Tensor? lengths, str cell, str reset, str update, str keep) -> (Tensor outputs, Tensor h_last, Tensor kept)");
  m.def(
      "recurrent_layer_backward(Tensor? grad_outputs, Tensor? grad_h_last, Tensor outputs, Tensor kept, Tensor x, "
      "Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, Tensor? h0, Tensor? attention, Tensor? lengths, str cell, "
      "str reset, str update) -> (Tensor grad_x, Tensor grad_w_ih, Tensor grad_w_hh, Tensor grad_b_ih, Tensor "
      "grad_b_hh, Tensor grad_h0, Tensor grad_attention)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("recurrent_scan", TORCH_BOX(&recurrent_scan));
  m.impl("recurrent_scan_backward", TORCH_BOX(&recurrent_scan_backward));
  m.impl("recurrent_layer", TORCH_BOX(&recurrent_layer));
  m.impl("recurrent_layer_backward", TORCH_BOX(&recurrent_layer_backward));
}

}  // namespace recops::recurrent
