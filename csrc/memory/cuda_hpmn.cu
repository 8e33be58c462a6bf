// Launchers of HPMN's CUDA kernels. cuda.h has their contract.
#include "memory/cuda_hpmn.h"

#include "memory/cuda.h"
#include "memory/cuda_hpmn_backward.h"
#include "memory/cuda_launch.h"

namespace recops::memory::cuda {
namespace {

cudaError_t launch_pack(const Hpmn& hpmn, float* packed, cudaStream_t stream) {
  const HpmnLayout layout(hpmn);
  for (int j = 0; j < layout.layers; ++j) {
    const GruShape layer = layout.layer(j);
    const PackArguments a(layer.matrix, hpmn.w_ih[j], layer.inputs,
                          floats(hpmn.w_hh) + j * 3 * hpmn.hidden * hpmn.hidden, layer.size, packed);
    const cudaError_t error = launch_pack(a, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

HpmnArguments arguments_of(const Hpmn& hpmn, const Users& users, int64_t inputs, const void* x, const float* packed) {
  const HpmnLayout layout(hpmn);
  return {layout,
          users,
          DeviceValues(x, inputs * hpmn.inputs, hpmn.dtype),
          device_pointer(packed, layout.num_weights()),
          device_pointer(floats(hpmn.bias), hpmn.layers * 3 * hpmn.hidden),
          nullptr,
          nullptr,
          nullptr,
          nullptr,
          nullptr,
          1};
}

cudaError_t launch_forward(const HpmnArguments& a, cudaStream_t stream) {
  const Division division(a.users.count, a.layout.values(), a.layout.num_weights());
  return division.with([&](auto users, auto resident) {
    return launch(hpmn_forward<users.value, resident.value>, division.blocks, kThreads, division.bytes, stream, a);
  });
}

// Adds the parts of the gradients of weights.
cudaError_t launch_sums(const HpmnBackwardLayout& layout, const BackwardWorkspace& workspace, const HpmnGradients& to,
                        cudaStream_t stream) {
  const int h = layout.forward.hidden;
  cudaError_t error = cudaSuccess;
  for (int j = 0; j < layout.forward.layers && error == cudaSuccess; ++j) {
    const GruShape layer = layout.forward.layer(j);
    error = launch_sum(layer.matrix, workspace, workspace.parts, {to.w_ih[j], layer.inputs, layer.inputs},
                       {floats(to.w_hh) + int64_t{j} * 3 * h * h, h, h}, stream);
    if (error != cudaSuccess) return error;
    const MatrixOutput bias{floats(to.bias) + int64_t{j} * 3 * h, 1, 1};
    error = launch_sum(layout.bias(j), workspace, workspace.parts, bias, {}, stream);
  }
  return error;
}

}  // namespace

bool supports(const Hpmn& hpmn) {
  return hpmn.dtype != Dtype::f64 && hpmn.inputs <= kMostWidth && hpmn.hidden <= kMostWidth &&
         hpmn.layers <= kMostLayers;
}

int64_t hpmn_workspace_bytes(const Hpmn& hpmn) { return bytes_of<ForwardWorkspace>(HpmnLayout(hpmn).num_weights()); }

int hpmn_scan(const Hpmn& hpmn, const Batch& batch, const HpmnForward& with, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const ForwardWorkspace memory(HpmnLayout(hpmn).num_weights(), arena);
  const cudaError_t error = launch_pack(hpmn, memory.packed, stream);
  if (error != cudaSuccess) return error;
  HpmnArguments a = arguments_of(hpmn, users_of(batch), batch.count * batch.steps, with.x, memory.packed);
  const int64_t states = batch.count * hpmn.layers * hpmn.hidden;
  a.from = device_pointer(floats(with.from), states);
  a.to = device_pointer(floats(with.to), states);
  a.counts = device_pointer(with.counts, batch.count);
  if (with.kept.states != nullptr) {
    a.every = with.kept.every;
    a.kept = device_pointer(floats(with.kept.states), (batch.steps - 1) / a.every * states);
  }
  return launch_forward(a, stream);
}

int64_t hpmn_backward_workspace_bytes(const Hpmn& hpmn, const Batch& batch, int64_t every) {
  return bytes_of<BackwardWorkspace>(HpmnBackwardLayout{HpmnLayout(hpmn)}, batch, every);
}

int hpmn_scan_backward(const Hpmn& hpmn, const Batch& batch, const HpmnBackward& from, const HpmnGradients& to,
                       void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const HpmnBackwardLayout layout{HpmnLayout(hpmn)};
  const HpmnLayout& l = layout.forward;
  const BackwardWorkspace memory(layout, batch, from.kept.every, arena);
  const int64_t states = batch.count * l.layers * l.hidden, inputs = batch.count * batch.steps * l.inputs;
  cudaError_t error = launch_pack(hpmn, memory.packed, stream);
  if (error != cudaSuccess) return error;
  const int64_t kept = batch.steps > 0 ? (batch.steps - 1) / memory.every * states : 0;
  const HpmnBackwardArguments a{layout,
                                users_of(batch),
                                DeviceValues(from.x, inputs, hpmn.dtype),
                                device_pointer<const float>(memory.packed, l.num_weights()),
                                device_pointer(floats(hpmn.bias), int64_t{l.layers} * 3 * l.hidden),
                                device_pointer(floats(from.from), states),
                                device_pointer<const float>(floats(from.kept.states), kept),
                                device_pointer(from.counts, batch.count),
                                memory.every,
                                device_pointer(floats(from.grad_to), states),
                                device_pointer(floats(from.grad_x), inputs),
                                device_pointer(floats(from.grad_from), states),
                                device_pointer(memory.frames, memory.frames_size),
                                device_pointer(memory.gradients, memory.parts * memory.part_values)};
  error = launch_backward(hpmn_backward<true>, hpmn_backward<false>, layout.values, l.num_weights(), memory.parts,
                          stream, a);
  return error == cudaSuccess ? launch_sums(layout, memory, to, stream) : error;
}

int64_t hpmn_step_workspace_bytes(const Hpmn& hpmn, const Events& events) {
  return hpmn_workspace_bytes(hpmn) + bytes_of<StreamWorkspace>(events);
}

int hpmn_step(const Hpmn& hpmn, const Events& events, const void* x, void* memory, int64_t* counts, void* workspace,
              void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  if (events.count == 0) return cudaSuccess;
  Arena arena(workspace);
  const ForwardWorkspace weights(HpmnLayout(hpmn).num_weights(), arena);
  const StreamWorkspace runs(events, arena);
  cudaError_t error = launch_pack(hpmn, weights.packed, stream);
  if (error == cudaSuccess) error = launch_runs(events, runs, stream);
  if (error != cudaSuccess) return error;
  HpmnArguments a = arguments_of(hpmn, users_of(events, runs), events.count, x, weights.packed);
  const int64_t states = events.pool * hpmn.layers * hpmn.hidden;
  a.from = device_pointer<const float>(floats(memory), states);
  a.to = device_pointer(floats(memory), states);
  a.counts = device_pointer<const int64_t>(counts, events.pool);
  a.new_counts = device_pointer(counts, events.pool);
  return launch_forward(a, stream);
}

}  // namespace recops::memory::cuda
