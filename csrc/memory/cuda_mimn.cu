// Launchers of MIMN's CUDA kernels. cuda.h has their contract.
#include "memory/cuda.h"
#include "memory/cuda_launch.h"
#include "memory/cuda_mimn.h"
#include "memory/cuda_mimn_backward.h"

namespace recops::memory::cuda {
namespace {

cudaError_t launch_pack(const Mimn& mimn, float* packed, cudaStream_t stream) {
  const MimnLayout l(mimn);
  const GruShape controller = l.controller(), induction = l.induction();
  const PackArguments all[] = {
      {controller.matrix, mimn.controller.w_ih, 2 * l.d, mimn.controller.w_hh, l.h, packed},
      {induction.matrix, mimn.induction.w_ih, 2 * l.d, mimn.induction.w_hh, l.d, packed},
      {l.head_matrix(), mimn.head_w, l.h + l.m, nullptr, 0, packed},
      {l.out_matrix(), mimn.out_w, l.h + l.d, floats(mimn.out_w) + l.h, l.h + l.d, packed},
      {l.usage_matrix(), mimn.usage_w, l.m, nullptr, 0, packed},
  };
  for (const PackArguments& a : all) {
    const cudaError_t error = launch_pack(a, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

MimnNet net_of(const Mimn& mimn, const float* packed) {
  const MimnLayout l(mimn);
  return {device_pointer(packed, l.num_weights()),      device_pointer(floats(mimn.controller.bias), 3 * l.h),
          device_pointer(floats(mimn.head_b), l.heads), device_pointer(floats(mimn.induction.bias), 3 * l.d),
          device_pointer(floats(mimn.out_b), l.h),      device_pointer(floats(mimn.key_memory), int64_t{l.m} * l.d),
          static_cast<float>(mimn.usage_scale)};
}

// `inputs`, `from` and `to`: numbers of inputs and of rows.
MimnArguments arguments_of(const Mimn& mimn, const Users& users, const MimnForward& with, int64_t inputs, int64_t from,
                           int64_t to, const float* packed) {
  const MimnLayout l(mimn);
  MimnArguments a{l,
                  net_of(mimn, packed),
                  users,
                  DeviceValues(with.x, inputs * l.d, mimn.dtype),
                  StateRows(l, with.from, from),
                  StateRows(l, with.to, to),
                  nullptr,
                  {},
                  with.outputs != nullptr,
                  device_pointer(floats(with.read_weights), to * l.m),
                  {}};
  if (a.has_outputs) a.outputs = DeviceOutputs(with.outputs, inputs * l.h, mimn.dtype);
  return a;
}

DeviceCheckpoints checkpoints_of(const Mimn& mimn, const Batch& batch, const Checkpoints& kept) {
  if (kept.states == nullptr) return {nullptr, 0, 1};
  const int64_t number = (batch.steps - 1) / kept.every;
  return {device_pointer(floats(kept.states), number * batch.count * MimnLayout(mimn).checkpoint_values()), batch.count,
          kept.every};
}

cudaError_t launch_forward(const MimnArguments& a, cudaStream_t stream) {
  const Division division(a.users.count, a.layout.values, a.layout.num_weights());
  return division.with([&](auto users, auto resident) {
    return launch(mimn_forward<users.value, resident.value>, division.blocks, kThreads, division.bytes, stream, a);
  });
}

// Adds the parts of the gradients of weights.
cudaError_t launch_sums(const Mimn& mimn, const MimnBackwardLayout& layout, const BackwardWorkspace& workspace,
                        const MimnGradients& to, cudaStream_t stream) {
  const MimnLayout& l = layout.forward;
  const int64_t parts = workspace.parts;
  cudaError_t error = cudaSuccess;
  const auto sum = [&](const MatrixShape& shape, int64_t count, const MatrixOutput& first,
                       const MatrixOutput& second = {}) {
    if (error == cudaSuccess) error = launch_sum(shape, workspace, count, first, second, stream);
  };
  sum(l.controller().matrix, parts, {to.controller.w_ih, 2 * l.d, 2 * l.d}, {to.controller.w_hh, l.h, l.h});
  sum(layout.controller_bias(), parts, {to.controller.bias, 1, 1});
  sum(l.induction().matrix, parts, {to.induction.w_ih, 2 * l.d, 2 * l.d}, {to.induction.w_hh, l.d, l.d});
  sum(layout.induction_bias(), parts, {to.induction.bias, 1, 1});
  sum(l.head_matrix(), parts, {to.head_w, l.h + l.m, l.head_columns()});
  sum(layout.head_bias(), parts, {to.head_b, 1, 1});
  sum(l.out_matrix(), parts, {to.out_w, l.h + l.d, l.h}, {floats(to.out_w) + l.h, l.h + l.d, l.d});
  sum(layout.out_bias(), parts, {to.out_b, 1, 1});
  // Sums of no part are zeros, for weights that the network does not use.
  if (l.utilization == Utilization::none) sum({0, l.heads, l.m, 0}, 0, {floats(to.head_w) + l.h, l.h + l.m, l.m});
  if (l.utilization == Utilization::paper)
    sum(l.usage_matrix(), parts, {to.usage_w, l.m, l.m});
  else
    sum({0, l.m, l.m, 0}, 0, {to.usage_w, l.m, l.m});
  if (to.key_memory == nullptr || error != cudaSuccess) return error;
  const int64_t count = int64_t{l.m} * l.d;
  const StaticSlotsArguments a{layout.static_slots(),
                               layout.static_norms(),
                               parts,
                               workspace.part_values,
                               device_pointer<const float>(workspace.gradients, parts * workspace.part_values),
                               device_pointer(floats(mimn.key_memory), count),
                               device_pointer(floats(to.key_memory), count)};
  return launch(sum_static_slots, static_cast<unsigned>(divided_up(count, kThreads)), kThreads, 0, stream, a);
}

}  // namespace

bool supports(const Mimn& mimn) {
  if (mimn.dtype == Dtype::f64 || mimn.inputs > kMostWidth || mimn.hidden > kMostWidth || mimn.slots > kMostSlots)
    return false;
  return fits_in_shared_memory(kFewUsers * MimnLayout(mimn).values);
}

int64_t mimn_workspace_bytes(const Mimn& mimn) { return bytes_of<ForwardWorkspace>(MimnLayout(mimn).num_weights()); }

int mimn_scan(const Mimn& mimn, const Batch& batch, const MimnForward& with, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const ForwardWorkspace memory(MimnLayout(mimn).num_weights(), arena);
  const cudaError_t error = launch_pack(mimn, memory.packed, stream);
  if (error != cudaSuccess) return error;
  MimnArguments a =
      arguments_of(mimn, users_of(batch), with, batch.count * batch.steps, batch.count, batch.count, memory.packed);
  a.kept = checkpoints_of(mimn, batch, with.kept);
  return launch_forward(a, stream);
}

bool supports_backward(const Mimn& mimn) {
  return supports(mimn) && fits_in_shared_memory(kBackwardUsers * MimnBackwardLayout{MimnLayout(mimn)}.values);
}

int64_t mimn_backward_workspace_bytes(const Mimn& mimn, const Batch& batch, int64_t every) {
  return bytes_of<BackwardWorkspace>(MimnBackwardLayout{MimnLayout(mimn)}, batch, every);
}

int mimn_scan_backward(const Mimn& mimn, const Batch& batch, const MimnBackward& from, const MimnGradients& to,
                       void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const MimnBackwardLayout layout{MimnLayout(mimn)};
  const MimnLayout& l = layout.forward;
  const BackwardWorkspace memory(layout, batch, from.kept.every, arena);
  const int64_t rows = batch.count, inputs = rows * batch.steps;
  cudaError_t error = launch_pack(mimn, memory.packed, stream);
  if (error != cudaSuccess) return error;
  Checkpoints kept = from.kept;
  kept.every = memory.every;
  const MimnBackwardArguments a{layout,
                                net_of(mimn, memory.packed),
                                users_of(batch),
                                DeviceValues(from.x, inputs * l.d, mimn.dtype),
                                StateRows(l, from.from, rows),
                                checkpoints_of(mimn, batch, kept),
                                memory.every,
                                DeviceValues(from.grad_outputs, inputs * l.h, mimn.dtype),
                                device_pointer(floats(from.grad_weights), rows * l.m),
                                StateRows(l, from.grad_to, rows),
                                StateRows(l, from.grad_from, rows),
                                device_pointer(floats(from.grad_x), inputs * l.d),
                                device_pointer(memory.frames, memory.frames_size),
                                device_pointer(memory.gradients, memory.parts * memory.part_values)};
  error = launch_backward(mimn_backward<true>, mimn_backward<false>, layout.values, l.num_weights(), memory.parts,
                          stream, a);
  return error == cudaSuccess ? launch_sums(mimn, layout, memory, to, stream) : error;
}

int mimn_read(const Mimn& mimn, const Candidates& candidates, const MimnForward& with, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const ForwardWorkspace memory(MimnLayout(mimn).num_weights(), arena);
  const cudaError_t error = launch_pack(mimn, memory.packed, stream);
  if (error != cudaSuccess) return error;
  return launch_forward(arguments_of(mimn, users_of(candidates), with, candidates.count, candidates.pool,
                                     candidates.count, memory.packed),
                        stream);
}

int64_t mimn_step_workspace_bytes(const Mimn& mimn, const Events& events) {
  return mimn_workspace_bytes(mimn) + bytes_of<StreamWorkspace>(events);
}

int mimn_step(const Mimn& mimn, const Events& events, const void* x, const MimnRows& states, int64_t* counts,
              void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  if (events.count == 0) return cudaSuccess;
  Arena arena(workspace);
  const ForwardWorkspace memory(MimnLayout(mimn).num_weights(), arena);
  const StreamWorkspace runs(events, arena);
  cudaError_t error = launch_pack(mimn, memory.packed, stream);
  if (error == cudaSuccess) error = launch_runs(events, runs, stream);
  if (error != cudaSuccess) return error;
  const MimnForward with{x, states, states, nullptr, nullptr, {nullptr, 0, 0}};
  MimnArguments a =
      arguments_of(mimn, users_of(events, runs), with, events.count, events.pool, events.pool, memory.packed);
  a.counts = device_pointer(counts, events.pool);
  return launch_forward(a, stream);
}

}  // namespace recops::memory::cuda
