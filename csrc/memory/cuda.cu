// Launchers of the CUDA kernels for memory networks. cuda.h has their contract.
#include "memory/cuda.h"

#include <algorithm>
#include <type_traits>

#include "common/arena.h"
#include "common/launch.h"
#include "memory/cuda_hpmn.h"
#include "memory/cuda_hpmn_backward.h"
#include "memory/cuda_mimn.h"
#include "memory/cuda_mimn_backward.h"
#include "memory/cuda_stream.h"

namespace recops::memory::cuda {
namespace {

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
unsigned blocks_for(int64_t count, int64_t of_block) { return static_cast<unsigned>(divided_up(count, of_block)); }

const float* floats(const void* values) { return static_cast<const float*>(values); }
float* floats(void* values) { return static_cast<float*>(values); }

constexpr int kFewUsers = 2, kManyUsers = 8;
constexpr size_t kVariables = 4 << 10;  // more than any kernel's variables in shared memory

// Users per block, dynamic shared memory, and whether the weights are in it. A block takes groups of users one after
// another.
struct Division {
  bool is_few, is_resident;
  size_t bytes;
  unsigned blocks;

  // `values`: of a user in shared memory.
  Division(int64_t count, int64_t values, int64_t weights) {
    const size_t most = most_shared_bytes();
    const auto bytes_of = [&](int64_t users, bool resident) {
      return static_cast<size_t>(users * values + (resident ? weights : 0)) * sizeof(float);
    };
    const auto fits = [&](int64_t users, bool resident) { return bytes_of(users, resident) + kVariables <= most; };
    const int64_t most_blocks = 2 * int64_t{num_multiprocessors()};
    is_few = count <= kFewUsers * most_blocks || !fits(kManyUsers, false);
    const int64_t users = is_few ? kFewUsers : kManyUsers;
    is_resident = fits(users, true);
    bytes = bytes_of(users, is_resident);
    blocks = static_cast<unsigned>(std::min(most_blocks, divided_up(count, users)));
  }

  // Calls f(users, resident) with constants.
  template <class F>
  cudaError_t with(const F& f) const {
    const std::integral_constant<int, kFewUsers> few;
    const std::integral_constant<int, kManyUsers> many;
    const std::true_type resident;
    const std::false_type streamed;
    if (is_few) return is_resident ? f(few, resident) : f(few, streamed);
    return is_resident ? f(many, resident) : f(many, streamed);
  }
};

Users users_of(const Batch& batch) {
  Users users{};
  users.count = batch.count;
  users.steps = batch.steps;
  users.lengths = device_pointer(batch.lengths, batch.count);
  return users;
}

// The runs of a stream, in workspace.
struct StreamWorkspace {
  int* counts;
  int64_t *starts, *num_starts;

  StreamWorkspace(const Events& events, Arena& arena)
      : counts(arena.take<int>(divided_up(events.count, kEventsOfBlock))),
        starts(arena.take<int64_t>(events.count + 1)),
        num_starts(arena.take<int64_t>(1)) {}
};

cudaError_t launch_runs(const Events& events, const StreamWorkspace& parts, cudaStream_t stream) {
  const int64_t blocks = divided_up(events.count, kEventsOfBlock);
  const RunsArguments a{events.count,
                        blocks,
                        device_pointer(events.sorted_rows, events.count),
                        device_pointer(parts.counts, blocks),
                        device_pointer(parts.starts, events.count + 1),
                        device_pointer(parts.num_starts, 1)};
  const auto grid = static_cast<unsigned>(blocks);
  const cudaError_t error = launch(count_runs, grid, kThreads, 0, stream, a);
  return error == cudaSuccess ? launch(write_runs, grid, kThreads, 0, stream, a) : error;
}

Users users_of(const Events& events, const StreamWorkspace& parts) {
  Users users{};
  users.count = events.count;
  users.pool = events.pool;
  users.rows = device_pointer(events.sorted_rows, events.count);
  users.order = device_pointer(events.order, events.count);
  users.starts = device_pointer<const int64_t>(parts.starts, events.count + 1);
  users.num_starts = device_pointer<const int64_t>(parts.num_starts, 1);
  return users;
}

Users users_of(const Candidates& candidates) {
  Users users{};
  users.count = candidates.count;
  users.steps = 1;
  users.pool = candidates.pool;
  users.rows = device_pointer(candidates.rows, candidates.count);
  return users;
}

cudaError_t launch_pack(const PackArguments& a, cudaStream_t stream) {
  return launch(pack_matrix, blocks_for(a.shape.values(), kThreads), kThreads, 0, stream, a);
}

// ---- MIMN.

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

struct MimnWorkspace {
  float* packed;
  MimnWorkspace(const Mimn& mimn, Arena& arena) : packed(arena.take<float>(MimnLayout(mimn).num_weights())) {}
};

// `inputs`, `from` and `to`: numbers of inputs and of rows.
MimnArguments mimn_arguments(const Mimn& mimn, const Users& users, const MimnForward& with, int64_t inputs,
                             int64_t from, int64_t to, const float* packed) {
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

cudaError_t launch_mimn(const MimnArguments& a, cudaStream_t stream) {
  const Division division(a.users.count, a.layout.values, a.layout.num_weights());
  return division.with([&](auto users, auto resident) {
    return launch(mimn_forward<users.value, resident.value>, division.blocks, kThreads, division.bytes, stream, a);
  });
}

// ---- HPMN.

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

HpmnArguments hpmn_arguments(const Hpmn& hpmn, const Users& users, int64_t inputs, const void* x, const float* packed) {
  const HpmnLayout layout(hpmn);
  HpmnArguments a{layout,
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
  return a;
}

cudaError_t launch_hpmn(const HpmnArguments& a, cudaStream_t stream) {
  const Division division(a.users.count, a.layout.values(), a.layout.num_weights());
  return division.with([&](auto users, auto resident) {
    return launch(hpmn_forward<users.value, resident.value>, division.blocks, kThreads, division.bytes, stream, a);
  });
}

struct HpmnWorkspace {
  float* packed;
  HpmnWorkspace(const Hpmn& hpmn, Arena& arena) : packed(arena.take<float>(HpmnLayout(hpmn).num_weights())) {}
};

// Blocks of a backward pass. Each has a part of the gradients of weights. A number that does not depend on the card
// makes the bits of their sums the same on all cards.
constexpr int64_t kMostParts = 128;
int64_t num_parts(const Batch& batch) { return std::min(kMostParts, divided_up(batch.count, kBackwardUsers)); }

// Steps that a block recomputes at once.
int64_t segment_steps(const Batch& batch, int64_t every) { return std::min(every, std::max<int64_t>(batch.steps, 1)); }

struct HpmnBackwardWorkspace {
  float *packed, *frames, *parts;

  HpmnBackwardWorkspace(const Hpmn& hpmn, const Batch& batch, int64_t every, Arena& arena) {
    const HpmnBackwardLayout layout{HpmnLayout(hpmn)};
    packed = arena.take<float>(layout.forward.num_weights());
    frames = arena.take<float>(num_parts(batch) * segment_steps(batch, every) * kBackwardUsers * layout.frame);
    parts = arena.take<float>(num_parts(batch) * layout.part_values());
  }
};

struct MimnBackwardWorkspace {
  float *packed, *frames, *parts;

  MimnBackwardWorkspace(const Mimn& mimn, const Batch& batch, int64_t every, Arena& arena) {
    const MimnBackwardLayout layout{MimnLayout(mimn)};
    packed = arena.take<float>(layout.forward.num_weights());
    frames = arena.take<float>(num_parts(batch) * segment_steps(batch, every) * kBackwardUsers * layout.frame());
    parts = arena.take<float>(num_parts(batch) * layout.part_values());
  }
};

// Adds the parts of a matrix, to one or two arrays of rows.
cudaError_t launch_sum(const MatrixShape& shape, int64_t parts, int64_t part_values, const float* from, void* first,
                       int first_stride, int first_count, void* second, int second_stride, int second_count,
                       cudaStream_t stream) {
  const auto size = [&](int stride, int count) { return int64_t{shape.rows - 1} * stride + count; };
  const UnpackArguments a{shape,
                          parts,
                          part_values,
                          device_pointer(from, parts * part_values),
                          device_pointer(floats(first), size(first_stride, first_count)),
                          device_pointer(floats(second), size(second_stride, second_count)),
                          first_stride,
                          second_stride,
                          first_count,
                          second_count};
  return launch(sum_parts, blocks_for(shape.values(), kThreads), kThreads, 0, stream, a);
}

// Adds the parts of MIMN's gradients of weights.
cudaError_t launch_sums(const Mimn& mimn, const MimnBackwardLayout& layout, int64_t parts, const float* from,
                        const MimnGradients& to, cudaStream_t stream) {
  const MimnLayout& l = layout.forward;
  cudaError_t error = cudaSuccess;
  const auto sum = [&](const MatrixShape& shape, int64_t count, void* first, int first_stride, int first_count,
                       void* second = nullptr, int second_stride = 0, int second_count = 0) {
    if (error == cudaSuccess)
      error = launch_sum(shape, count, layout.part_values(), from, first, first_stride, first_count, second,
                         second_stride, second_count, stream);
  };
  sum(l.controller().matrix, parts, to.controller.w_ih, 2 * l.d, 2 * l.d, to.controller.w_hh, l.h, l.h);
  sum(layout.controller_bias(), parts, to.controller.bias, 1, 1);
  sum(l.induction().matrix, parts, to.induction.w_ih, 2 * l.d, 2 * l.d, to.induction.w_hh, l.d, l.d);
  sum(layout.induction_bias(), parts, to.induction.bias, 1, 1);
  sum(l.head_matrix(), parts, to.head_w, l.h + l.m, l.head_columns());
  sum(layout.head_bias(), parts, to.head_b, 1, 1);
  sum(l.out_matrix(), parts, to.out_w, l.h + l.d, l.h, floats(to.out_w) + l.h, l.h + l.d, l.d);
  sum(layout.out_bias(), parts, to.out_b, 1, 1);
  // Sums of no part are zeros, for weights that the network does not use.
  if (l.utilization == Utilization::none) sum({0, l.heads, l.m, 0}, 0, floats(to.head_w) + l.h, l.h + l.m, l.m);
  if (l.utilization == Utilization::paper)
    sum(l.usage_matrix(), parts, to.usage_w, l.m, l.m);
  else
    sum({0, l.m, l.m, 0}, 0, to.usage_w, l.m, l.m);
  if (to.key_memory == nullptr || error != cudaSuccess) return error;
  const int64_t count = int64_t{l.m} * l.d;
  const StaticSlotsArguments a{layout.static_slots(),
                               layout.static_norms(),
                               parts,
                               layout.part_values(),
                               device_pointer(from, parts * layout.part_values()),
                               device_pointer(floats(mimn.key_memory), count),
                               device_pointer(floats(to.key_memory), count)};
  return launch(sum_static_slots, blocks_for(count, kThreads), kThreads, 0, stream, a);
}

}  // namespace

bool supports(const Batch& batch) { return batch.count <= kMostRows && batch.steps <= kMostSteps; }

bool supports(const Events& events) { return events.count <= kMostEvents; }

bool supports(const Candidates& candidates) { return candidates.count <= kMostEvents; }

bool supports(const Mimn& mimn) {
  if (mimn.dtype == Dtype::f64 || mimn.inputs > kMostWidth || mimn.hidden > kMostWidth || mimn.slots > kMostSlots)
    return false;
  const MimnLayout layout(mimn);
  return kFewUsers * layout.values * sizeof(float) + kVariables <= most_shared_bytes();
}

bool supports(const Hpmn& hpmn) {
  return hpmn.dtype != Dtype::f64 && hpmn.inputs <= kMostWidth && hpmn.hidden <= kMostWidth &&
         hpmn.layers <= kMostLayers;
}

int64_t mimn_workspace_bytes(const Mimn& mimn) {
  Arena arena(nullptr);
  MimnWorkspace(mimn, arena);
  return arena.used();
}

int mimn_scan(const Mimn& mimn, const Batch& batch, const MimnForward& with, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const MimnWorkspace parts(mimn, arena);
  const cudaError_t error = launch_pack(mimn, parts.packed, stream);
  if (error != cudaSuccess) return error;
  MimnArguments a =
      mimn_arguments(mimn, users_of(batch), with, batch.count * batch.steps, batch.count, batch.count, parts.packed);
  a.kept = checkpoints_of(mimn, batch, with.kept);
  return launch_mimn(a, stream);
}

bool supports_backward(const Mimn& mimn) {
  if (!supports(mimn)) return false;
  const MimnBackwardLayout layout{MimnLayout(mimn)};
  return kBackwardUsers * layout.values * sizeof(float) + kVariables <= most_shared_bytes();
}

int64_t mimn_backward_workspace_bytes(const Mimn& mimn, const Batch& batch, int64_t every) {
  Arena arena(nullptr);
  MimnBackwardWorkspace(mimn, batch, every, arena);
  return arena.used();
}

int mimn_scan_backward(const Mimn& mimn, const Batch& batch, const MimnBackward& from, const MimnGradients& to,
                       void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const MimnBackwardWorkspace memory(mimn, batch, from.kept.every, arena);
  const MimnBackwardLayout layout{MimnLayout(mimn)};
  const MimnLayout& l = layout.forward;
  const int64_t parts = num_parts(batch), every = segment_steps(batch, from.kept.every), rows = batch.count,
                inputs = rows * batch.steps;
  cudaError_t error = launch_pack(mimn, memory.packed, stream);
  if (error != cudaSuccess) return error;
  Checkpoints kept = from.kept;
  kept.every = every;
  const MimnBackwardArguments a{layout,
                                net_of(mimn, memory.packed),
                                users_of(batch),
                                DeviceValues(from.x, inputs * l.d, mimn.dtype),
                                StateRows(l, from.from, rows),
                                checkpoints_of(mimn, batch, kept),
                                every,
                                DeviceValues(from.grad_outputs, inputs * l.h, mimn.dtype),
                                device_pointer(floats(from.grad_weights), rows * l.m),
                                StateRows(l, from.grad_to, rows),
                                StateRows(l, from.grad_from, rows),
                                device_pointer(floats(from.grad_x), inputs * l.d),
                                device_pointer(memory.frames, parts * every * kBackwardUsers * layout.frame()),
                                device_pointer(memory.parts, parts * layout.part_values())};
  size_t bytes = kBackwardUsers * layout.values * sizeof(float);
  const size_t weights = l.num_weights() * sizeof(float);
  const bool is_resident = bytes + weights + kVariables <= most_shared_bytes();
  if (is_resident) bytes += weights;
  const auto grid = static_cast<unsigned>(parts);
  error = is_resident ? launch(mimn_backward<true>, grid, kThreads, bytes, stream, a)
                      : launch(mimn_backward<false>, grid, kThreads, bytes, stream, a);
  return error == cudaSuccess ? launch_sums(mimn, layout, parts, memory.parts, to, stream) : error;
}

int mimn_read(const Mimn& mimn, const Candidates& candidates, const MimnForward& with, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const MimnWorkspace parts(mimn, arena);
  const cudaError_t error = launch_pack(mimn, parts.packed, stream);
  if (error != cudaSuccess) return error;
  return launch_mimn(mimn_arguments(mimn, users_of(candidates), with, candidates.count, candidates.pool,
                                    candidates.count, parts.packed),
                     stream);
}

int64_t mimn_step_workspace_bytes(const Mimn& mimn, const Events& events) {
  Arena arena(nullptr);
  MimnWorkspace(mimn, arena);
  StreamWorkspace(events, arena);
  return arena.used();
}

int mimn_step(const Mimn& mimn, const Events& events, const void* x, const MimnRows& states, int64_t* counts,
              void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  if (events.count == 0) return cudaSuccess;
  Arena arena(workspace);
  const MimnWorkspace parts(mimn, arena);
  const StreamWorkspace runs(events, arena);
  cudaError_t error = launch_pack(mimn, parts.packed, stream);
  if (error == cudaSuccess) error = launch_runs(events, runs, stream);
  if (error != cudaSuccess) return error;
  const MimnForward with{x, states, states, nullptr, nullptr, {nullptr, 0, 0}};
  MimnArguments a =
      mimn_arguments(mimn, users_of(events, runs), with, events.count, events.pool, events.pool, parts.packed);
  a.counts = device_pointer(counts, events.pool);
  return launch_mimn(a, stream);
}

int64_t hpmn_workspace_bytes(const Hpmn& hpmn) {
  Arena arena(nullptr);
  HpmnWorkspace(hpmn, arena);
  return arena.used();
}

int hpmn_scan(const Hpmn& hpmn, const Batch& batch, const HpmnForward& with, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const HpmnWorkspace parts(hpmn, arena);
  const cudaError_t error = launch_pack(hpmn, parts.packed, stream);
  if (error != cudaSuccess) return error;
  HpmnArguments a = hpmn_arguments(hpmn, users_of(batch), batch.count * batch.steps, with.x, parts.packed);
  const int64_t states = batch.count * hpmn.layers * hpmn.hidden;
  a.from = device_pointer(floats(with.from), states);
  a.to = device_pointer(floats(with.to), states);
  a.counts = device_pointer(with.counts, batch.count);
  if (with.kept.states != nullptr) {
    a.every = with.kept.every;
    a.kept = device_pointer(floats(with.kept.states), (batch.steps - 1) / a.every * states);
  }
  return launch_hpmn(a, stream);
}

int64_t hpmn_backward_workspace_bytes(const Hpmn& hpmn, const Batch& batch, int64_t every) {
  Arena arena(nullptr);
  HpmnBackwardWorkspace(hpmn, batch, every, arena);
  return arena.used();
}

int hpmn_scan_backward(const Hpmn& hpmn, const Batch& batch, const HpmnBackward& from, const HpmnGradients& to,
                       void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const HpmnBackwardWorkspace memory(hpmn, batch, from.kept.every, arena);
  const HpmnBackwardLayout layout{HpmnLayout(hpmn)};
  const HpmnLayout& l = layout.forward;
  const int64_t parts = num_parts(batch), every = segment_steps(batch, from.kept.every),
                states = batch.count * l.layers * l.hidden, inputs = batch.count * batch.steps * l.inputs;
  cudaError_t error = launch_pack(hpmn, memory.packed, stream);
  if (error != cudaSuccess) return error;
  const HpmnBackwardArguments a{
      layout,
      users_of(batch),
      DeviceValues(from.x, inputs, hpmn.dtype),
      device_pointer<const float>(memory.packed, l.num_weights()),
      device_pointer(floats(hpmn.bias), int64_t{l.layers} * 3 * l.hidden),
      device_pointer(floats(from.from), states),
      device_pointer<const float>(floats(from.kept.states), batch.steps > 0 ? (batch.steps - 1) / every * states : 0),
      device_pointer(from.counts, batch.count),
      every,
      device_pointer(floats(from.grad_to), states),
      device_pointer(floats(from.grad_x), inputs),
      device_pointer(floats(from.grad_from), states),
      device_pointer(memory.frames, parts * every * kBackwardUsers * layout.frame),
      device_pointer(memory.parts, parts * layout.part_values())};
  size_t bytes = kBackwardUsers * layout.values * sizeof(float);
  const size_t weights = l.num_weights() * sizeof(float);
  const bool is_resident = bytes + weights + kVariables <= most_shared_bytes();
  if (is_resident) bytes += weights;
  const auto grid = static_cast<unsigned>(parts);
  error = is_resident ? launch(hpmn_backward<true>, grid, kThreads, bytes, stream, a)
                      : launch(hpmn_backward<false>, grid, kThreads, bytes, stream, a);
  for (int j = 0; j < l.layers && error == cudaSuccess; ++j) {
    const GruShape layer = l.layer(j);
    error = launch_sum(layer.matrix, parts, layout.part_values(), memory.parts, to.w_ih[j], layer.inputs, layer.inputs,
                       floats(to.w_hh) + j * 3 * l.hidden * l.hidden, l.hidden, l.hidden, stream);
    if (error == cudaSuccess)
      error = launch_sum(layout.bias(j), parts, layout.part_values(), memory.parts, floats(to.bias) + j * 3 * l.hidden,
                         1, 1, nullptr, 0, 0, stream);
  }
  return error;
}

int64_t hpmn_step_workspace_bytes(const Hpmn& hpmn, const Events& events) {
  Arena arena(nullptr);
  HpmnWorkspace(hpmn, arena);
  StreamWorkspace(events, arena);
  return arena.used();
}

int hpmn_step(const Hpmn& hpmn, const Events& events, const void* x, void* memory, int64_t* counts, void* workspace,
              void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  if (events.count == 0) return cudaSuccess;
  Arena arena(workspace);
  const HpmnWorkspace parts(hpmn, arena);
  const StreamWorkspace runs(events, arena);
  cudaError_t error = launch_pack(hpmn, parts.packed, stream);
  if (error == cudaSuccess) error = launch_runs(events, runs, stream);
  if (error != cudaSuccess) return error;
  HpmnArguments a = hpmn_arguments(hpmn, users_of(events, runs), events.count, x, parts.packed);
  const int64_t states = events.pool * hpmn.layers * hpmn.hidden;
  a.from = device_pointer<const float>(floats(memory), states);
  a.to = device_pointer(floats(memory), states);
  a.counts = device_pointer<const int64_t>(counts, events.pool);
  a.new_counts = device_pointer(counts, events.pool);
  return launch_hpmn(a, stream);
}

}  // namespace recops::memory::cuda
