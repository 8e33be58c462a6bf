// Users whose states a block advances together, and where their states and inputs are.
#pragma once

#include <cstdint>

#include "common/device.h"

namespace recops::memory::cuda {

constexpr int kThreads = 256;
constexpr int kEventsOfThread = 4, kEventsOfBlock = kThreads * kEventsOfThread;  // of a stream

// One user of a block: rows of the state before and after, number of the first input, and number of steps.
struct User {
  static constexpr int kWrong = -1;   // an error in the data: results are NaN
  static constexpr int kAbsent = -2;  // no user: nothing is written

  int64_t from, to, first;
  int length;
};

// Users of a launch. They are the rows of a batch, candidates that each read a row of a pool, or runs of equal rows in
// a sorted stream of events.
struct Users {
  int64_t count;                            // with `starts`: the number of events, which bounds that of users
  int64_t steps, pool;                      // `pool`: number of rows; only with `rows`
  DevicePointer<const int64_t> lengths;     // [count], or null if all have `steps`
  DevicePointer<const int64_t> rows;        // [count]: row of each candidate or event; null: row i
  DevicePointer<const int64_t> order;       // [count]: input of each event; null: input i
  DevicePointer<const int64_t> starts;      // [users + 1]: first event of each run; null: not a stream
  DevicePointer<const int64_t> num_starts;  // [1]: number of users of a stream

  __device__ int64_t num_users() const { return starts == nullptr ? count : num_starts[0]; }

  __device__ User find(int64_t i) const {
    if (i >= num_users()) return {0, 0, 0, User::kAbsent};
    if (!(starts == nullptr)) {
      const int64_t row = rows[starts[i]];
      if (row < 0 || row >= pool) return {0, 0, 0, User::kAbsent};
      return {row, row, starts[i], static_cast<int>(starts[i + 1] - starts[i])};
    }
    if (!(rows == nullptr)) {
      const int64_t row = rows[i];
      return {row, i, i, 0 <= row && row < pool ? 1 : User::kWrong};
    }
    const int64_t length = lengths == nullptr ? steps : lengths[i];
    return {i, i, i * steps, 0 <= length && length <= steps ? static_cast<int>(length) : User::kWrong};
  }

  __device__ int64_t input(const User& user, int t) const {
    return order == nullptr ? user.first + t : order[user.first + t];
  }
};

// Users of a block, in shared memory.
template <int users>
struct BlockUsers {
  User of[users];

  __device__ bool is_live(int user, int t) const { return t < of[user].length; }

  __device__ int longest() const {
    int most = 0;
    RECOPS_UNROLL
    for (int u = 0; u < users; ++u) most = of[u].length > most ? of[u].length : most;
    return most;
  }
};

// Calls f(user, i) for i < width of every user, with neighbouring threads at neighbouring i.
template <int users, class F>
__device__ __forceinline__ void for_values(int width, const F& f) {
  for (int at = threadIdx.x; at < users * width; at += kThreads) f(at / width, at % width);
}

// The same, from the last thread on. The first threads of a block have more work in products.
template <int users, class F>
__device__ __forceinline__ void for_values_from_last(int width, const F& f) {
  for (int at = kThreads - 1 - static_cast<int>(threadIdx.x); at < users * width; at += kThreads)
    f(at / width, at % width);
}

}  // namespace recops::memory::cuda
