// HPMN memory ops: schemas, data checks, memory and threads; see op.cpp.
#include <tuple>

#include "memory/call.h"

namespace recops::memory {
namespace {

class HpmnCall : public HpmnArguments {
 public:
  using HpmnArguments::HpmnArguments;

  int64_t work(const Plan& plan) const {
    return plan.cells() * 3 * hpmn.hidden * (hpmn.inputs + 3 * hpmn.hidden);  // about two updates per event
  }

  // Position of each row in the period of the last slot. Rows of one phase update the same slots.
  std::vector<int64_t> phases(const std::vector<Row>& rows, const int64_t* counts) const {
    std::vector<int64_t> found;
    for (const Row& row : rows) found.push_back(counts[row.from] % longest_period());
    return found;
  }

  void forward(const Kernels& kernels, const Plan& plan, const HpmnForward& with, const Tensor& like) const {
    on_threads(plan.num_blocks(), work(plan), kernels.hpmn_scratch_bytes(hpmn, false, 0), like,
               [&](int64_t first, int64_t stride, void* scratch) {
                 for (int64_t b = first; b < plan.num_blocks(); b += stride)
                   kernels.hpmn_forward(hpmn, plan.block(b, b + stride), scratch, with);
               });
  }
};

// Rejects negative counts, which no state has.
const int64_t* counts_of(HpmnCall& call, const Tensor& count, int64_t rows) {
  const auto* counts = static_cast<const int64_t*>(call.hold(count, rows, ScalarType::Long));
  for (int64_t i = 0; i < rows; ++i)
    require_value(counts[i] >= 0, call.op, ": count must not be negative, got count[", i, "] = ", counts[i]);
  return counts;
}

std::tuple<Tensor, Tensor> hpmn_scan(Tensor x, Tensor memory, Tensor count, std::vector<Tensor> w_ih, Tensor w_hh,
                                     Tensor bias, std::vector<int64_t> periods, Maybe lengths, int64_t checkpoint) {
  HpmnCall call("hpmn_scan", x, w_ih, w_hh, bias, std::move(periods));
  require_value(x.dim() == 3 && checkpoint >= 0, call.op, ": x must have 3 dimensions");
  const Kernels& kernels = select_kernels();
  const int64_t rows = x.size(0), steps = x.size(1), layers = call.hpmn.layers, h = call.hpmn.hidden;
  const int64_t* counts = counts_of(call, count, rows);
  const std::vector<Row> batch = rows_of_batch(rows, steps, read_lengths(call, lengths, rows, steps));
  Tensor last = empty({rows, layers, h}, call.type, x);
  Tensor kept = empty({num_checkpoints(steps, checkpoint), rows, layers, h}, call.type, x);
  const Plan plan(batch, {}, kernels.block_rows(call.dtype), call.phases(batch, counts).data());
  call.forward(kernels, plan,
               {call.hold(x, rows * steps * call.hpmn.inputs, x.scalar_type()),
                call.hold(memory, rows * call.width()),
                last.data_ptr(),
                counts,
                {kept.numel() > 0 ? kept.data_ptr() : nullptr, rows, checkpoint}},
               x);
  return {last, kept};
}

std::vector<Tensor> hpmn_scan_backward(Tensor grad_memory, Tensor x, Tensor memory, Tensor count,
                                       std::vector<Tensor> w_ih, Tensor w_hh, Tensor bias, std::vector<int64_t> periods,
                                       Maybe lengths, int64_t checkpoint, Tensor kept) {
  HpmnCall call("hpmn_scan", x, w_ih, w_hh, bias, std::move(periods));
  require_dim(call.op, "x", x, 3);
  require_value(checkpoint >= 1, call.op, ": checkpoint must be at least 1, got ", checkpoint);
  const Kernels& kernels = select_kernels();
  const int64_t rows = x.size(0), steps = x.size(1), layers = call.hpmn.layers, h = call.hpmn.hidden;
  const int64_t inputs = call.hpmn.inputs;
  const int64_t *counts = counts_of(call, count, rows), *length = read_lengths(call, lengths, rows, steps);
  const std::vector<Row> batch = rows_of_batch(rows, steps, length);
  const Plan plan(batch, {}, kernels.block_rows(call.dtype), call.phases(batch, counts).data());

  std::vector<Tensor> grads{empty({rows, steps, inputs}, call.type, x), empty({rows, layers, h}, call.type, x)};
  zero_past(length, rows, steps, inputs * grads[0].element_size(), grads[0].data_ptr());
  std::vector<void*> of_w_ih;
  for (int64_t j = 0; j < layers; ++j) {
    grads.push_back(empty({3 * h, j == 0 ? inputs : h}, call.type, x));
    of_w_ih.push_back(grads.back().data_ptr());
  }
  grads.push_back(empty({layers, 3 * h, h}, call.type, x));
  grads.push_back(empty({layers, 3 * h}, call.type, x));

  const HpmnBackward with{call.hold(x, rows * steps * inputs, x.scalar_type()),
                          call.hold(memory, rows * call.width()),
                          counts,
                          {call.hold(kept, num_checkpoints(steps, checkpoint) * rows * call.width()), rows, checkpoint},
                          call.hold(grad_memory, rows * call.width()),
                          grads[0].data_ptr(),
                          grads[1].data_ptr()};
  Tensor packed = empty({kernels.hpmn_packed_bytes(call.hpmn)}, ScalarType::Byte, x);
  kernels.hpmn_pack(call.hpmn, packed.data_ptr());
  const int64_t every = std::min(checkpoint, std::max<int64_t>(steps, 1));
  const Tensor sums = sum_groups(kernels, call, plan, kernels.hpmn_sum_values(call.hpmn), 3 * call.work(plan),
                                 kernels.hpmn_scratch_bytes(call.hpmn, true, every), x,
                                 [&](const Block& block, void* scratch, void* of_group) {
                                   kernels.hpmn_backward(call.hpmn, packed.data_ptr(), block, scratch, with, of_group);
                                 });
  kernels.hpmn_unpack(call.hpmn, sums.data_ptr(),
                      {of_w_ih.data(), grads[layers + 2].data_ptr(), grads[layers + 3].data_ptr()});
  return grads;
}

void hpmn_step_(Tensor memory, Tensor count, Tensor rows, Tensor x, std::vector<Tensor> w_ih, Tensor w_hh, Tensor bias,
                std::vector<int64_t> periods) {
  HpmnCall call("hpmn_step_", x, w_ih, w_hh, bias, std::move(periods));
  const Kernels& kernels = select_kernels();
  const int64_t events = x.size(0), pool = count.numel();
  const int64_t* row = read_rows(call, rows, events, pool);
  const void* inputs = call.hold(x, events * call.hpmn.inputs, x.scalar_type());
  void* const users = call.hold_in_place(memory, pool * call.width(), call.type);
  int64_t* const counts = static_cast<int64_t*>(call.hold_in_place(count, pool, ScalarType::Long));
  require_finite(call, inputs, events, call.hpmn.inputs);
  Stream stream(row, events, pool);
  for (const Row& each : stream.rows)
    require_value(counts[each.from] >= 0, call.op, ": count must not be negative, got count[", each.from,
                  "] = ", counts[each.from]);
  const Plan plan(stream.rows, std::move(stream.events), kernels.block_rows(call.dtype),
                  call.phases(stream.rows, counts).data());
  call.forward(kernels, plan, {inputs, users, users, counts, {nullptr, 0, 0}}, x);
  for (const Row& each : stream.rows) counts[each.from] += each.length;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "hpmn_scan(Tensor x, Tensor memory, Tensor count, Tensor[] w_ih, Tensor w_hh, Tensor bias, int[] periods, "
      "Tensor? "
      "lengths, SymInt checkpoint) -> (Tensor memory, Tensor kept)");
  m.def(
      "hpmn_scan_backward(Tensor grad_memory, Tensor x, Tensor memory, Tensor count, Tensor[] w_ih, Tensor w_hh, "
      "Tensor "
      "bias, int[] periods, Tensor? lengths, SymInt checkpoint, Tensor kept) -> Tensor[]");
  m.def(
      "hpmn_step_(Tensor(a!) memory, Tensor(b!) count, Tensor rows, Tensor x, Tensor[] w_ih, Tensor w_hh, Tensor bias, "
      "int[] periods) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("hpmn_scan", TORCH_BOX(&hpmn_scan));
  m.impl("hpmn_scan_backward", TORCH_BOX(&hpmn_scan_backward));
  m.impl("hpmn_step_", TORCH_BOX(&hpmn_step_));
}

}  // namespace recops::memory
