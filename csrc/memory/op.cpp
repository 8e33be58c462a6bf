// MIMN ops: schemas, data checks, memory and threads. The kernels have the arithmetic. recops/ops checks dtype and
// shape with messages for users; the checks here only keep memory safe.
#include <tuple>

#include "memory/call.h"

namespace recops::memory {
namespace {

class MimnCall : public MimnArguments {
 public:
  using MimnArguments::MimnArguments;

  Tensor pack(const Kernels& kernels, bool backward, const Tensor& like) const {
    Tensor packed = empty({kernels.mimn_packed_bytes(mimn, backward)}, ScalarType::Byte, like);
    kernels.mimn_pack(mimn, backward, packed.data_ptr());
    return packed;
  }

  int64_t work(const Plan& plan) const {
    const int64_t d = mimn.inputs, h = mimn.hidden;
    return plan.cells() *
           (3 * h * (2 * d + h) + (4 * d + 6) * h + h * (h + d) + mimn.topk * 9 * d * d + 8 * mimn.slots * d);
  }

  void forward(const Kernels& kernels, const Plan& plan, const MimnForward& with, const Tensor& like) const {
    const Tensor packed = pack(kernels, false, like);
    on_threads(plan.num_blocks(), work(plan), kernels.mimn_scratch_bytes(mimn, false, 0), like,
               [&](int64_t first, int64_t stride, void* scratch) {
                 for (int64_t b = first; b < plan.num_blocks(); b += stride)
                   kernels.mimn_forward(mimn, packed.data_ptr(), plan.block(b, b + stride), scratch, with);
               });
  }
};

using Scanned = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

Scanned mimn_scan(Tensor x, std::vector<Tensor> state, std::vector<Tensor> params, Maybe key_memory, double usage_scale,
                  Maybe lengths, Text utilization, int64_t induction_topk, int64_t checkpoint) {
  MimnCall call("mimn_scan", x, params, key_memory, usage_scale, utilization, induction_topk);
  require_value(x.dim() == 3 && checkpoint >= 0, call.op, ": x must have 3 dimensions");
  const Kernels& kernels = select_kernels();
  const int64_t rows = x.size(0), steps = x.size(1), h = call.mimn.hidden, m = call.mimn.slots, d = call.mimn.inputs;
  const int64_t* length = read_lengths(call, lengths, rows, steps);
  Tensor outputs = empty({rows, steps, h}, x.scalar_type(), x);
  std::vector<Tensor> last;
  for (int f = 0; f < kFields; ++f)
    last.push_back(f == kMemory || f == kChannels ? empty({rows, m, d}, call.type, x)
                                                  : empty({rows, call.widths[f]}, call.type, x));
  Tensor weights = empty({rows, m}, call.type, x);
  Tensor kept = empty({num_checkpoints(steps, checkpoint), rows, checkpoint_values(call.mimn)}, call.type, x);
  zero_past(length, rows, steps, h * outputs.element_size(), outputs.data_ptr());
  const MimnForward with{call.hold(x, rows * steps * d, x.scalar_type()),
                         call.rows_of(state, rows),
                         call.rows_of(last, rows),
                         outputs.data_ptr(),
                         weights.data_ptr(),
                         {kept.numel() > 0 ? kept.data_ptr() : nullptr, rows, checkpoint}};
  call.forward(kernels, Plan(rows_of_batch(rows, steps, length), {}, kernels.block_rows(call.dtype)), with, x);
  return {outputs, last[0], last[1], last[2], last[3], last[4], last[5], last[6], weights, kept};
}

std::vector<Tensor> mimn_scan_backward(Tensor grad_outputs, std::vector<Tensor> grad_state, Tensor grad_read_weights,
                                       Tensor x, std::vector<Tensor> state, std::vector<Tensor> params,
                                       Maybe key_memory, double usage_scale, Maybe lengths, Text utilization,
                                       int64_t induction_topk, int64_t checkpoint, Tensor kept) {
  MimnCall call("mimn_scan", x, params, key_memory, usage_scale, utilization, induction_topk);
  require_dim(call.op, "x", x, 3);
  require_value(checkpoint >= 1, call.op, ": checkpoint must be at least 1, got ", checkpoint);
  const Kernels& kernels = select_kernels();
  const int64_t rows = x.size(0), steps = x.size(1), h = call.mimn.hidden, m = call.mimn.slots, d = call.mimn.inputs;
  const int64_t* length = read_lengths(call, lengths, rows, steps);
  const Plan plan(rows_of_batch(rows, steps, length), {}, kernels.block_rows(call.dtype));

  std::vector<Tensor> grads{empty({rows, steps, d}, call.type, x)};
  zero_past(length, rows, steps, d * grads[0].element_size(), grads[0].data_ptr());
  void* from[kFields] = {};
  for (int f : {kHidden, kRead, kMemory, kUsage, kChannels}) {
    grads.push_back(f == kMemory || f == kChannels ? empty({rows, m, d}, call.type, x)
                                                   : empty({rows, call.widths[f]}, call.type, x));
    from[f] = grads.back().data_ptr();
  }
  std::vector<void*> of_params;
  const auto add_param = [&](const Tensor& param) {
    grads.push_back(param.dim() == 1 ? empty({param.size(0)}, call.type, x)
                                     : empty({param.size(0), param.size(1)}, call.type, x));
    of_params.push_back(grads.back().data_ptr());
  };
  for (const Tensor& param : params) add_param(param);
  if (key_memory) add_param(*key_memory);

  const MimnBackward with{
      call.hold(x, rows * steps * d, x.scalar_type()),
      call.rows_of(state, rows),
      {call.hold(kept, num_checkpoints(steps, checkpoint) * rows * checkpoint_values(call.mimn)), rows, checkpoint},
      call.hold(grad_outputs, rows * steps * h, x.scalar_type()),
      call.hold(grad_read_weights, rows * m),
      call.rows_of(grad_state, rows),
      grads[0].data_ptr(),
      MimnCall::rows_of(from)};
  const Tensor packed = call.pack(kernels, true, x);
  const int64_t every = std::min(checkpoint, std::max<int64_t>(steps, 1));
  const Tensor sums = sum_groups(kernels, call, plan, kernels.mimn_sum_values(call.mimn), 3 * call.work(plan),
                                 kernels.mimn_scratch_bytes(call.mimn, true, every), x,
                                 [&](const Block& block, void* scratch, void* of_group) {
                                   kernels.mimn_backward(call.mimn, packed.data_ptr(), block, scratch, with, of_group);
                                 });
  kernels.mimn_unpack(call.mimn, packed.data_ptr(), sums.data_ptr(),
                      {{of_params[0], of_params[1], of_params[2]},
                       of_params[3],
                       of_params[4],
                       key_memory ? of_params[11] : nullptr,
                       of_params[5],
                       {of_params[6], of_params[7], of_params[8]},
                       of_params[9],
                       of_params[10]});
  return grads;
}

void mimn_step_(std::vector<Tensor> state, Tensor count, Tensor rows, Tensor x, std::vector<Tensor> params,
                Maybe key_memory, double usage_scale, Text utilization, int64_t induction_topk) {
  MimnCall call("mimn_step_", x, params, key_memory, usage_scale, utilization, induction_topk);
  const Kernels& kernels = select_kernels();
  const int64_t events = x.size(0), pool = count.numel();
  const int64_t* row = read_rows(call, rows, events, pool);
  const void* inputs = call.hold(x, events * call.mimn.inputs, x.scalar_type());
  int64_t* const counts = static_cast<int64_t*>(call.hold_in_place(count, pool, ScalarType::Long));
  const MimnRows users = call.rows_of(state, pool, true);
  require_finite(call, inputs, events, call.mimn.inputs);
  Stream stream(row, events, pool);
  const Plan plan(stream.rows, std::move(stream.events), kernels.block_rows(call.dtype));
  call.forward(kernels, plan, {inputs, users, users, nullptr, nullptr, {nullptr, 0, 0}}, x);
  for (const Row& each : stream.rows) counts[each.from] += each.length;
}

std::tuple<Tensor, Tensor, Tensor> mimn_read(std::vector<Tensor> state, Tensor rows, Tensor target,
                                             std::vector<Tensor> params, Maybe key_memory, double usage_scale,
                                             Text utilization, int64_t induction_topk) {
  MimnCall call("mimn_read", target, params, key_memory, usage_scale, utilization, induction_topk);
  require_value(state.size() == kFields, call.op, ": a state has 7 floating tensors");
  const Kernels& kernels = select_kernels();
  const int64_t candidates = target.size(0), pool = state[kHidden].size(0);
  const int64_t* row = read_rows(call, rows, candidates, pool);
  Tensor out = empty({candidates, call.mimn.hidden}, target.scalar_type(), target);
  Tensor weights = empty({candidates, call.mimn.slots}, call.type, target);
  Tensor channels = empty({candidates, call.mimn.slots, call.mimn.inputs}, call.type, target);
  std::vector<Row> reads(candidates);
  for (int64_t c = 0; c < candidates; ++c) reads[c] = {row[c], c, 1, c};
  MimnRows to{};
  to.channels = channels.data_ptr();
  call.forward(kernels, Plan(reads, {}, kernels.block_rows(call.dtype)),
               {call.hold(target, candidates * call.mimn.inputs, target.scalar_type()),
                call.rows_of(state, pool),
                to,
                out.data_ptr(),
                weights.data_ptr(),
                {nullptr, 0, 0}},
               target);
  return {out, weights, channels};
}

// Returns the rows after checking that each is in the pool. Differentiable reads then gather them with torch's own ops.
Tensor memory_rows(Tensor rows, int64_t pool, Text op) {
  require_dim(op.c_str(), "rows", rows, 1);
  require_value(rows.scalar_type() == ScalarType::Long, op, ": rows must be int64");
  const Tensor dense = recops::contiguous(rows);
  require_rows(op.c_str(), static_cast<const int64_t*>(dense.data_ptr()), rows.numel(), pool);
  Tensor checked = empty({rows.numel()}, ScalarType::Long, rows);
  std::memcpy(checked.data_ptr(), dense.data_ptr(), static_cast<size_t>(rows.numel()) * sizeof(int64_t));
  return checked;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def("memory_rows(Tensor rows, SymInt pool, str op) -> Tensor");
  m.def(
      "mimn_scan(Tensor x, Tensor[] state, Tensor[] params, Tensor? key_memory, float usage_scale, Tensor? lengths, "
      "str utilization, SymInt induction_topk, SymInt checkpoint) -> (Tensor outputs, Tensor hidden, Tensor read, "
      "Tensor memory, Tensor usage, Tensor added, Tensor channels, Tensor pooled, Tensor read_weights, Tensor kept)");
  m.def(
      "mimn_scan_backward(Tensor grad_outputs, Tensor[] grad_state, Tensor grad_read_weights, Tensor x, Tensor[] "
      "state, Tensor[] params, Tensor? key_memory, float usage_scale, Tensor? lengths, str utilization, SymInt "
      "induction_topk, SymInt checkpoint, Tensor kept) -> Tensor[]");
  m.def(
      "mimn_step_(Tensor(a!)[] state, Tensor(b!) count, Tensor rows, Tensor x, Tensor[] params, Tensor? key_memory, "
      "float usage_scale, str utilization, SymInt induction_topk) -> ()");
  m.def(
      "mimn_read(Tensor[] state, Tensor rows, Tensor target, Tensor[] params, Tensor? key_memory, float usage_scale, "
      "str utilization, SymInt induction_topk) -> (Tensor out, Tensor read_weights, Tensor channels)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("memory_rows", TORCH_BOX(&memory_rows));
  m.impl("mimn_scan", TORCH_BOX(&mimn_scan));
  m.impl("mimn_scan_backward", TORCH_BOX(&mimn_scan_backward));
  m.impl("mimn_step_", TORCH_BOX(&mimn_step_));
  m.impl("mimn_read", TORCH_BOX(&mimn_read));
}

}  // namespace recops::memory
