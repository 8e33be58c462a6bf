// What the launchers of both networks share: the division of users into blocks, workspaces, and launches of the kernels
// that know no network (cuda.cu).
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "common/arena.h"
#include "common/launch.h"
#include "memory/cuda.h"
#include "memory/cuda_backward.h"
#include "memory/cuda_matrix.h"
#include "memory/cuda_users.h"

namespace recops::memory::cuda {

inline int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline const float* floats(const void* values) { return static_cast<const float*>(values); }
inline float* floats(void* values) { return static_cast<float*>(values); }

constexpr int kFewUsers = 2, kManyUsers = 8;
constexpr size_t kVariables = 4 << 10;  // more than any kernel's variables in shared memory

// Whether a block can have these floats in dynamic shared memory.
inline bool fits_in_shared_memory(int64_t count) {
  return static_cast<size_t>(count) * sizeof(float) + kVariables <= most_shared_bytes();
}

// Users per block, dynamic shared memory, and whether the weights are in it. A block takes groups of users one after
// another.
struct Division {
  bool is_few, is_resident;
  size_t bytes;
  unsigned blocks;

  // `values`: of a user in shared memory.
  Division(int64_t count, int64_t values, int64_t weights) {
    const int64_t most_blocks = 2 * int64_t{num_multiprocessors()};
    is_few = count <= kFewUsers * most_blocks || !fits_in_shared_memory(kManyUsers * values);
    const int64_t users = is_few ? kFewUsers : kManyUsers;
    is_resident = fits_in_shared_memory(users * values + weights);
    bytes = static_cast<size_t>(users * values + (is_resident ? weights : 0)) * sizeof(float);
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

// ---- Workspaces. Their constructors are here: Arena is another type in each source.

struct ForwardWorkspace {
  float* packed;
  ForwardWorkspace(int64_t weights, Arena& arena) : packed(arena.take<float>(weights)) {}
};

// The runs of a stream.
struct StreamWorkspace {
  int* counts;
  int64_t *starts, *num_starts;

  StreamWorkspace(const Events& events, Arena& arena)
      : counts(arena.take<int>(divided_up(events.count, kEventsOfBlock))),
        starts(arena.take<int64_t>(events.count + 1)),
        num_starts(arena.take<int64_t>(1)) {}
};

// A backward pass has `parts` blocks, each of which has a part of the gradients of weights, and recomputes `every`
// steps at once.
struct BackwardWorkspace {
  // A number that does not depend on the card makes the bits of the sums of parts the same on all cards.
  static constexpr int64_t kMostParts = 128;

  int64_t parts, every, frames_size, part_values;
  float *packed, *frames, *gradients;

  template <class Layout>
  BackwardWorkspace(const Layout& layout, const Batch& batch, int64_t checkpoint, Arena& arena)
      : parts(std::min(kMostParts, divided_up(batch.count, kBackwardUsers))),
        every(std::min(checkpoint, std::max<int64_t>(batch.steps, 1))),
        frames_size(parts * every * kBackwardUsers * layout.frame()),
        part_values(layout.part_values()),
        packed(arena.take<float>(layout.forward.num_weights())),
        frames(arena.take<float>(frames_size)),
        gradients(arena.take<float>(parts * part_values)) {}
};

// The bytes of workspaces, one after the other.
template <class... Workspaces, class... Arguments>
int64_t bytes_of(const Arguments&... arguments) {
  Arena arena(nullptr);
  (Workspaces(arguments..., arena), ...);
  return arena.used();
}

// ---- Users of a launch.

Users users_of(const Batch&);
Users users_of(const Events&, const StreamWorkspace&);
Users users_of(const Candidates&);

// ---- Launches.

cudaError_t launch_pack(const PackArguments&, cudaStream_t);

// Finds the runs of equal rows among sorted events.
cudaError_t launch_runs(const Events&, const StreamWorkspace&, cudaStream_t);

// Destination of a matrix: `count` columns of each row, `stride` apart.
struct MatrixOutput {
  void* data;
  int stride, count;
};

// Adds the parts of a matrix. Its columns go to two destinations; no part gives zeros.
cudaError_t launch_sum(const MatrixShape&, const BackwardWorkspace&, int64_t parts, const MatrixOutput& first,
                       const MatrixOutput& second, cudaStream_t);

// Launches a backward pass, with weights in shared memory if they fit behind `values` of each user.
template <class A>
cudaError_t launch_backward(void (*resident)(A), void (*streamed)(A), int64_t values, int64_t weights, int64_t parts,
                            cudaStream_t stream, const A& a) {
  const int64_t own = kBackwardUsers * values;
  const bool is_resident = fits_in_shared_memory(own + weights);
  const auto grid = static_cast<unsigned>(parts);
  const size_t bytes = static_cast<size_t>(own + (is_resident ? weights : 0)) * sizeof(float);
  return launch(is_resident ? resident : streamed, grid, kThreads, bytes, stream, a);
}

}  // namespace recops::memory::cuda
