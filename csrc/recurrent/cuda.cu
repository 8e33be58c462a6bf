// Launchers of the CUDA kernels for recurrent scans. cuda.h has their contract.
#include "recurrent/cuda.h"

#include <algorithm>
#include <type_traits>

#include "common/arena.h"
#include "common/launch.h"
#include "recurrent/cuda_backward.h"
#include "recurrent/cuda_forward.h"
#include "recurrent/cuda_gradients.h"
#include "recurrent/cuda_tiles.h"

namespace recops::recurrent::cuda {
namespace {

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
unsigned blocks_for(int64_t count, int64_t of_block) { return static_cast<unsigned>(divided_up(count, of_block)); }

const float* floats(const void* values) { return static_cast<const float*>(values); }
float* floats(void* values) { return static_cast<float*>(values); }

// Rows per thread.
int rows_for(int64_t hidden) {
  int rows = 1;
  while (kWarpSize * rows < hidden) rows *= 2;
  return rows;
}
int units_for(int64_t hidden) { return kWarpSize * rows_for(hidden); }

int64_t num_packed(const Scan& scan) { return packed_values(static_cast<int>(scan.hidden), units_for(scan.hidden)); }

// Dynamic shared memory of a block, and whether the weights are in it.
struct Shared {
  bool is_resident;
  size_t bytes;

  // `values`: without the weights.
  Shared(const Scan& scan, int64_t values) : bytes(static_cast<size_t>(values) * sizeof(float)) {
    constexpr size_t kVariables = 1 << 10;  // more than any kernel's variables in shared memory
    const size_t weights = static_cast<size_t>(num_packed(scan)) * sizeof(float);
    const int rows = rows_for(scan.hidden);
    // A single step reads each weight once, so a copy would only delay it.
    is_resident = rows < 4 || (rows == 4 && scan.steps > 1 && bytes + weights + kVariables <= most_shared_bytes());
    if (is_resident) bytes += weights;
  }
};

// Calls f(rows, resident) with the constants of a launch configuration.
template <class F>
cudaError_t with_configuration(int64_t hidden, bool is_resident, const F& f) {
  const std::true_type resident;
  const std::false_type streamed;
  switch (rows_for(hidden)) {
    case 1: return f(std::integral_constant<int, 1>{}, resident);
    case 2: return f(std::integral_constant<int, 2>{}, resident);
    case 4:
      return is_resident ? f(std::integral_constant<int, 4>{}, resident)
                         : f(std::integral_constant<int, 4>{}, streamed);
    default: return f(std::integral_constant<int, 8>{}, streamed);
  }
}

DeviceRows device_rows(const Scan& scan, const Rows& rows) {
  return {rows.count, rows.sources, static_cast<int>(scan.steps), device_pointer(rows.lengths, rows.sources),
          device_pointer(rows.gates_index, rows.count)};
}

ScanArguments scan_arguments(const Scan& scan, const Rows& rows, DeviceValues gates, const float* packed) {
  return {device_rows(scan, rows),
          static_cast<int>(scan.steps),
          static_cast<int>(scan.hidden),
          scan.reset_before,
          GateMix(scan.mix),
          gates,
          device_pointer(packed, num_packed(scan)),
          device_pointer(floats(scan.b_hh), 3 * scan.hidden),
          device_pointer(floats(scan.h0), rows.count * scan.hidden),
          device_pointer(floats(scan.attention), rows.count * scan.steps)};
}

cudaError_t launch_pack(const Scan& scan, bool is_transposed, float* packed, cudaStream_t stream) {
  const PackArguments a{static_cast<int>(scan.hidden), units_for(scan.hidden), is_transposed,
                        device_pointer(floats(scan.w_hh), 3 * scan.hidden * scan.hidden),
                        device_pointer(packed, num_packed(scan))};
  return launch(pack_weights, blocks_for(num_packed(scan), kThreads), kThreads, 0, stream, a);
}

template <class Kernel>
cudaError_t launch_matrices(Kernel kernel, const MatrixArguments& a, cudaStream_t stream) {
  return launch(kernel, dim3(blocks_for(a.rows, kTile), blocks_for(a.columns, kTile)), kThreads, 0, stream, a);
}

// The gates of a scan: its input, or the projection of its input to `memory`.
DeviceValues gates_of(const Scan& scan, const Rows& rows, const float* memory) {
  const int64_t count = rows.sources * scan.steps * 3 * scan.hidden;
  return scan.projected ? DeviceValues(memory, count, Dtype::f32) : DeviceValues(scan.input, count, scan.dtype);
}

cudaError_t launch_projection(const Scan& scan, const Rows& rows, float* gates, cudaStream_t stream) {
  const int64_t cells = rows.sources * scan.steps, width = 3 * scan.hidden;
  return launch_matrices(multiply_matrices<false>,
                         {cells, static_cast<int>(width), static_cast<int>(scan.inputs),
                          DeviceValues(scan.input, cells * scan.inputs, scan.dtype),
                          device_pointer(floats(scan.w_ih), width * scan.inputs),
                          device_pointer(floats(scan.b_ih), width), device_pointer(gates, cells * width)},
                         stream);
}

struct ForwardWorkspace {
  float *packed, *gates;

  ForwardWorkspace(const Scan& scan, const Rows& rows, Arena& arena)
      : packed(arena.take<float>(num_packed(scan))),
        gates(arena.take<float>(scan.projected ? rows.sources * scan.steps * 3 * scan.hidden : 0)) {}
};

// Groups of rows whose weight gradients are summed by separate blocks. More than kMost would not occupy more
// multiprocessors of a large card.
struct Groups {
  int64_t count, rows;

  explicit Groups(int64_t num_rows) {
    constexpr int64_t kMost = 32, kLeastRows = 4;
    rows = std::max(kLeastRows, divided_up(num_rows, kMost));
    count = std::max<int64_t>(1, divided_up(num_rows, rows));
  }
};

struct BackwardWorkspace {
  float *packed, *packed_backward, *gates, *gate_grads, *candidates, *weight_parts, *bias_parts;

  BackwardWorkspace(const Scan& scan, const Rows& rows, const Backward& from, Arena& arena) {
    const bool recomputes = from.keep != Keep::gates;
    const int64_t cells = rows.count * scan.steps, width = 3 * scan.hidden, groups = Groups(rows.count).count;
    packed = arena.take<float>(recomputes ? num_packed(scan) : 0);
    packed_backward = arena.take<float>(num_packed(scan));
    gates = arena.take<float>(recomputes && scan.projected ? cells * width : 0);
    gate_grads = arena.take<float>(scan.projected || from.shared ? cells * width : 0);
    if (!scan.projected && !from.shared) gate_grads = floats(from.grad_input);
    candidates = arena.take<float>(cells * scan.hidden);
    weight_parts = arena.take<float>(groups * width * std::max(scan.hidden, scan.projected ? scan.inputs : 0));
    bias_parts = arena.take<float>(groups * width);
  }
};

// The gradients of weights [3·hidden, operand.width] and of their biases.
template <class Operand>
cudaError_t launch_weight_gradients(const Scan& scan, const Rows& rows, const BackwardWorkspace& parts,
                                    bool has_candidates, const Operand& operand, void* weights, void* biases,
                                    cudaStream_t stream) {
  const Groups groups(rows.count);
  const int64_t cells = rows.count * scan.steps, width = 3 * scan.hidden, num_weights = width * operand.width;
  const WeightGradientArguments a{
      device_rows(scan, rows),
      static_cast<int>(scan.hidden),
      groups.rows,
      device_pointer<const float>(parts.gate_grads, cells * width),
      device_pointer<const float>(has_candidates ? parts.candidates : nullptr, cells * scan.hidden),
      device_pointer(parts.weight_parts, groups.count * num_weights),
      device_pointer(parts.bias_parts, groups.count * width)};
  const dim3 grid(std::max(1u, blocks_for(operand.width, kTile)), 3 * blocks_for(scan.hidden, kTile),
                  static_cast<unsigned>(groups.count));
  cudaError_t error = launch(sum_weight_gradients<Operand>, grid, kThreads, 0, stream, a, operand);
  const auto sum = [&](const float* from, int64_t count, void* to) {
    if (error == cudaSuccess)
      error = launch(sum_groups, blocks_for(count, kThreads), kThreads, 0, stream,
                     SumGroupsArguments{static_cast<int>(groups.count), count,
                                        device_pointer(from, groups.count * count), device_pointer(floats(to), count)});
  };
  sum(parts.weight_parts, num_weights, weights);
  sum(parts.bias_parts, width, biases);
  return error;
}

cudaError_t launch_scan_backward(const Scan& scan, const Rows& rows, const Backward& from,
                                 const BackwardWorkspace& parts, cudaStream_t stream) {
  const int64_t cells = rows.count * scan.steps, states = cells * scan.hidden;
  BackwardArguments a{scan_arguments(scan, rows, gates_of(scan, rows, parts.gates), parts.packed),
                      from.keep == Keep::gates,
                      nullptr,
                      device_pointer(floats(from.keep == Keep::states ? from.kept : from.outputs), states),
                      device_pointer<const float>(parts.packed_backward, num_packed(scan)),
                      DeviceValues(from.grad_outputs, states, scan.dtype),
                      device_pointer(floats(from.grad_h_last), rows.count * scan.hidden),
                      device_pointer(parts.gate_grads, 3 * states),
                      device_pointer(parts.candidates, states),
                      device_pointer(floats(from.grad_h0), rows.count * scan.hidden),
                      device_pointer(floats(from.grad_attention), cells)};
  if (a.has_gates) a.kept = device_pointer(floats(from.kept), states * a.scan.num_gates());
  const Shared shared(scan, backward_values(a.scan.hidden));
  return with_configuration(scan.hidden, shared.is_resident, [&](auto thread_rows, auto resident) {
    return launch(scan_backward<thread_rows.value, resident.value>, blocks_for(rows.count, kRows), kThreads,
                  shared.bytes, stream, a);
  });
}

// The gradient of the input from those of the gates: of x by W_ihᵀ, or of shared gates by sums.
cudaError_t launch_input_gradients(const Scan& scan, const Rows& rows, const SharedRows& shared, const Backward& from,
                                   const BackwardWorkspace& parts, cudaStream_t stream) {
  const int64_t cells = rows.count * scan.steps, width = 3 * scan.hidden;
  if (scan.projected)
    return launch_matrices(multiply_matrices<true>,
                           {cells, static_cast<int>(scan.inputs), static_cast<int>(width),
                            DeviceValues(parts.gate_grads, cells * width, Dtype::f32),
                            device_pointer(floats(scan.w_ih), width * scan.inputs), nullptr,
                            device_pointer(floats(from.grad_input), cells * scan.inputs)},
                           stream);
  if (!from.shared) return cudaSuccess;
  constexpr unsigned kMostParts = 1 << 15;
  const int64_t of_source = scan.steps * width;
  const SharedGatesArguments a{rows.count,
                               of_source,
                               device_pointer(shared.sorted_sources, rows.count),
                               device_pointer(shared.order, rows.count),
                               device_pointer<const float>(parts.gate_grads, cells * width),
                               device_pointer(floats(from.grad_input), rows.sources * of_source)};
  const dim3 grid(static_cast<unsigned>(rows.sources), std::min(kMostParts, blocks_for(of_source, kThreads)));
  return launch(sum_shared_gates, grid, kThreads, 0, stream, a);
}

}  // namespace

bool supports(const Scan& scan, const Rows& rows) {
  return scan.dtype != Dtype::f64 && scan.hidden <= kMostHidden && scan.inputs <= kMostInputs &&
         scan.steps <= kMostSteps && rows.count <= kMostRows && rows.sources <= kMostRows;
}

int64_t forward_workspace_bytes(const Scan& scan, const Rows& rows) {
  Arena arena(nullptr);
  ForwardWorkspace(scan, rows, arena);
  return arena.used();
}

int forward(const Scan& scan, const Rows& rows, const Forward& to, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const ForwardWorkspace parts(scan, rows, arena);
  cudaError_t error = launch_pack(scan, false, parts.packed, stream);
  if (error == cudaSuccess && scan.projected) error = launch_projection(scan, rows, parts.gates, stream);
  if (error != cudaSuccess) return error;
  const int64_t states = rows.count * scan.steps * scan.hidden;
  ForwardArguments a{scan_arguments(scan, rows, gates_of(scan, rows, parts.gates), parts.packed), to.keep,
                     DeviceOutputs(to.outputs, states, scan.dtype),
                     device_pointer(floats(to.h_last), rows.count * scan.hidden), nullptr};
  if (to.keep != Keep::nothing)
    a.kept = device_pointer(floats(to.kept), states * (to.keep == Keep::gates ? a.scan.num_gates() : 1));
  const Shared shared(scan, forward_values(a.scan.hidden));
  return with_configuration(scan.hidden, shared.is_resident, [&](auto thread_rows, auto resident) {
    return launch(scan_forward<thread_rows.value, resident.value>, blocks_for(rows.count, kRows), kThreads,
                  shared.bytes, stream, a);
  });
}

int64_t backward_workspace_bytes(const Scan& scan, const Rows& rows, const Backward& from) {
  Arena arena(nullptr);
  BackwardWorkspace(scan, rows, from, arena);
  return arena.used();
}

int backward(const Scan& scan, const Rows& rows, const SharedRows& shared, const Backward& from,
             const ParameterGradients& to, void* workspace, void* stream_) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  Arena arena(workspace);
  const BackwardWorkspace parts(scan, rows, from, arena);
  cudaError_t error = launch_pack(scan, true, parts.packed_backward, stream);
  const auto then = [&](const auto& next) {
    if (error == cudaSuccess) error = next();
  };
  if (from.keep != Keep::gates) {
    then([&] { return launch_pack(scan, false, parts.packed, stream); });
    if (scan.projected) then([&] { return launch_projection(scan, rows, parts.gates, stream); });
  }
  then([&] { return launch_scan_backward(scan, rows, from, parts, stream); });
  then([&] { return launch_input_gradients(scan, rows, shared, from, parts, stream); });
  const int64_t states = rows.count * scan.steps * scan.hidden;
  const HiddenOperand hidden{static_cast<int>(scan.hidden), scan.reset_before,
                             device_pointer(floats(from.keep == Keep::states ? from.kept : from.outputs), states),
                             device_pointer<const float>(parts.candidates, states),
                             device_pointer(floats(scan.h0), rows.count * scan.hidden)};
  then(
      [&] { return launch_weight_gradients(scan, rows, parts, !scan.reset_before, hidden, to.w_hh, to.b_hh, stream); });
  if (scan.projected) {
    const InputOperand input{static_cast<int>(scan.inputs),
                             DeviceValues(scan.input, rows.count * scan.steps * scan.inputs, scan.dtype)};
    then([&] { return launch_weight_gradients(scan, rows, parts, false, input, to.w_ih, to.b_ih, stream); });
  }
  return error;
}

}  // namespace recops::recurrent::cuda
