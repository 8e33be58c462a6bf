// Launchers of the CUDA kernels that know no network: matrices, users and sums. cuda_launch.h declares them.
#include "memory/cuda.h"
#include "memory/cuda_launch.h"
#include "memory/cuda_repack.h"
#include "memory/cuda_stream.h"

namespace recops::memory::cuda {

bool supports(const Batch& batch) { return batch.count <= kMostRows && batch.steps <= kMostSteps; }

bool supports(const Events& events) { return events.count <= kMostEvents; }

bool supports(const Candidates& candidates) { return candidates.count <= kMostEvents; }

Users users_of(const Batch& batch) {
  Users users{};
  users.count = batch.count;
  users.steps = batch.steps;
  users.lengths = device_pointer(batch.lengths, batch.count);
  return users;
}

Users users_of(const Events& events, const StreamWorkspace& runs) {
  Users users{};
  users.count = events.count;
  users.pool = events.pool;
  users.rows = device_pointer(events.sorted_rows, events.count);
  users.order = device_pointer(events.order, events.count);
  users.starts = device_pointer<const int64_t>(runs.starts, events.count + 1);
  users.num_starts = device_pointer<const int64_t>(runs.num_starts, 1);
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

cudaError_t launch_runs(const Events& events, const StreamWorkspace& runs, cudaStream_t stream) {
  const int64_t blocks = divided_up(events.count, kEventsOfBlock);
  const RunsArguments a{events.count,
                        blocks,
                        device_pointer(events.sorted_rows, events.count),
                        device_pointer(runs.counts, blocks),
                        device_pointer(runs.starts, events.count + 1),
                        device_pointer(runs.num_starts, 1)};
  const auto grid = static_cast<unsigned>(blocks);
  const cudaError_t error = launch(count_runs, grid, kThreads, 0, stream, a);
  return error == cudaSuccess ? launch(write_runs, grid, kThreads, 0, stream, a) : error;
}

cudaError_t launch_pack(const PackArguments& a, cudaStream_t stream) {
  const auto grid = static_cast<unsigned>(divided_up(a.shape.values(), kThreads));
  return launch(pack_matrix, grid, kThreads, 0, stream, a);
}

cudaError_t launch_sum(const MatrixShape& shape, const BackwardWorkspace& workspace, int64_t parts,
                       const MatrixOutput& first, const MatrixOutput& second, cudaStream_t stream) {
  const auto rows = [&](const MatrixOutput& to) {
    return device_pointer(floats(to.data), int64_t{shape.rows - 1} * to.stride + to.count);
  };
  const UnpackArguments a{shape,
                          parts,
                          workspace.part_values,
                          device_pointer<const float>(workspace.gradients, parts * workspace.part_values),
                          rows(first),
                          rows(second),
                          first.stride,
                          second.stride,
                          first.count,
                          second.count};
  const auto grid = static_cast<unsigned>(divided_up(shape.values(), kThreads));
  return launch(sum_parts, grid, kThreads, 0, stream, a);
}

}  // namespace recops::memory::cuda
