// Tests of the emulation in tests/emulation: what it computes, and that it finds the errors of toy kernels.
//
//   emulation
//
// Exit code 1 means that a check failed; the output names it.
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "common/launch.h"

namespace recops {
namespace {

bool all_good = true;

void check(bool good, const char* what) {
  std::printf("%s: %s\n", what, good ? "ok" : "FAILED");
  all_good &= good;
}

// Calls f once per order of threads.
template <class F>
void in_each_order(const F& f) {
  for (int i = 0; i < emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i);
    f();
  }
}

// The message of the error that `f` raises in the order that runs, or "".
std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const emulation::KernelError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

template <class T>
DevicePointer<T> pointer_to(std::vector<T>& values) {
  return device_pointer(values.data(), static_cast<int64_t>(values.size()));
}

struct Floats {
  float values[64];
};

// Reverses 64 values of each block through shared memory.
template <bool has_barrier>
__global__ void reverse(DevicePointer<const float> from, DevicePointer<float> to) {
  RECOPS_SHARED(Floats, shared);
  const int base = blockIdx.x * 64, t = threadIdx.x;
  shared.values[t] = from[base + t];
  if constexpr (has_barrier) __syncthreads();
  to[base + t] = shared.values[63 - t];
}

template <bool has_barrier>
std::vector<float> reversed() {
  std::vector<float> from(128), to(128);
  for (int i = 0; i < 128; ++i) from[i] = static_cast<float>(i);
  launch(reverse<has_barrier>, 2, 64, 0, nullptr, device_pointer<const float>(from.data(), 128), pointer_to(to));
  return to;
}

void check_barriers() {
  bool is_right = true, is_seen = false, has_nan = false;
  in_each_order([&] {
    const std::vector<float> good = reversed<true>(), bad = reversed<false>();
    for (int i = 0; i < 128; ++i) {
      const auto expected = static_cast<float>(i / 64 * 64 + 63 - i % 64);
      is_right &= good[i] == expected;
      is_seen |= bad[i] != expected;
      // Memory of the block before must not hide the error.
      has_nan |= i >= 64 && std::isnan(bad[i]);
    }
  });
  check(is_right, "a kernel with its barrier is right in every order");
  check(is_seen, "a missing barrier changes the result");
  check(has_nan, "shared memory is poisoned between blocks");
}

__global__ void write_at(DevicePointer<float> to, int offset) { to[offset + static_cast<int>(threadIdx.x)] = 1; }

__global__ void write_shared(int count) {
  RECOPS_DYNAMIC_SHARED(memory);
  shared_array<float>(memory, 0, count)[threadIdx.x] = 1;
}

__global__ void load_past_the_end(DevicePointer<const float> from, DevicePointer<float> to) {
  to[0] = __uint_as_float(load16(from + 1).words[0]);
}

void check_bounds() {
  std::vector<float> values(64);
  check(error_of([&] { launch(write_at, 1, 64, 0, nullptr, pointer_to(values), 0); }).empty(),
        "an index in bounds is no error");
  check(contains(error_of([&] { launch(write_at, 1, 64, 0, nullptr, pointer_to(values), 1); }), "out of bounds"),
        "an index off by one is found");
  check(contains(error_of([&] { launch(write_at, 1, 64, 0, nullptr, pointer_to(values), -1); }), "out of bounds"),
        "a negative index is found");
  check(contains(error_of([&] { launch(write_shared, 1, 32, 31 * 4, nullptr, 32); }), "out of bounds"),
        "an array past the dynamic shared memory is found");
  check(contains(error_of([&] { launch(write_shared, 1, 32, 32 * 4, nullptr, 31); }), "out of bounds"),
        "an index past a shared array is found");
  alignas(16) static float four[4];
  check(contains(error_of([&] {
                   launch(load_past_the_end, 1, 1, 0, nullptr, device_pointer<const float>(four, 4),
                          pointer_to(values));
                 }),
                 "out of bounds"),
        "a 16-byte load past the end is found");
}

__global__ void shuffle(DevicePointer<int> out) {
  const int t = threadIdx.x, lane = t % kWarpSize;
  out[t] = __shfl_xor_sync(kFullWarp, t, 5);
  out[64 + t] = __shfl_sync(kFullWarp, t, 3);
  out[128 + t] = __shfl_up_sync(kFullWarp, t, 2);
  out[192 + t] = __shfl_down_sync(kFullWarp, t, 2);
  out[256 + t] = static_cast<int>(__ballot_sync(kFullWarp, lane % 3 == 0));
  // Two halves of a warp exchange apart from each other.
  if (lane < 16)
    out[320 + t] = __shfl_xor_sync(0x0000ffffu, t, 1);
  else
    out[320 + t] = __shfl_xor_sync(0xffff0000u, t, 2);
  out[384 + t] = __any_sync(kFullWarp, t == 40) * 2 + __all_sync(kFullWarp, t < 32);
}

void check_warps() {
  bool shuffles = true, votes = true, halves = true;
  in_each_order([&] {
    std::vector<int> out(448);
    launch(shuffle, 1, 64, 0, nullptr, pointer_to(out));
    for (int t = 0; t < 64; ++t) {
      const int lane = t % 32, warp = t - lane;
      uint32_t thirds = 0;
      for (int i = 0; i < 32; i += 3) thirds |= 1u << i;
      shuffles &= out[t] == warp + (lane ^ 5) && out[64 + t] == warp + 3 && out[128 + t] == (lane < 2 ? t : t - 2) &&
                  out[192 + t] == (lane > 29 ? t : t + 2);
      votes &= out[256 + t] == static_cast<int>(thirds) && out[384 + t] == (t < 32 ? 1 : 2);
      halves &= out[320 + t] == (lane < 16 ? t ^ 1 : t ^ 2);
    }
  });
  check(shuffles, "shuffles read the right lanes");
  check(votes, "votes and ballots count the right lanes");
  check(halves, "parts of a warp exchange independently");
}

__global__ void count(DevicePointer<unsigned> sums) {
  RECOPS_SHARED(unsigned, sum);
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, threadIdx.x);
  const bool is_last = __syncthreads_count(threadIdx.x % 2 == 0) == 50;
  if (threadIdx.x == 0) sums[blockIdx.x + 3 * blockIdx.y] = sum + (is_last ? 0 : 1000000);
}

__global__ void leave_early(DevicePointer<int> out) {
  RECOPS_SHARED(int, value);
  if (threadIdx.x >= 32) return;
  if (threadIdx.x == 31) value = 7;
  __syncthreads();
  out[threadIdx.x] = value;
}

void check_blocks() {
  bool sums_are_right = true, leaves = true;
  in_each_order([&] {
    std::vector<unsigned> sums(6);
    launch(count, dim3(3, 2), 100, 0, nullptr, pointer_to(sums));
    for (unsigned sum : sums) sums_are_right &= sum == 4950;
    std::vector<int> out(32);
    launch(leave_early, 1, 64, 0, nullptr, pointer_to(out));
    for (int value : out) leaves &= value == 7;
  });
  check(sums_are_right, "atomics and block votes count every thread of every block");
  check(leaves, "a barrier does not wait for threads that have ended");
  check(launch(count, 0, 1, 0, nullptr, DevicePointer<unsigned>()) == cudaSuccess, "an empty grid runs nothing");
  check(launch(count, 1, 1025, 0, nullptr, DevicePointer<unsigned>()) == cudaErrorInvalidConfiguration,
        "a block of too many threads is refused");
}

__global__ void wait_apart() {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void wait_for_part_of_a_warp() {
  if (threadIdx.x == 0)
    __syncwarp();
  else
    __syncthreads();
}

__global__ void shuffle_with_the_ended() {
  if (threadIdx.x == 0) return;
  __shfl_sync(kFullWarp, 1, 0);
}

__global__ void shuffle_from_outside() {
  if (threadIdx.x < 16) __shfl_sync(0x0000ffffu, 1, 20);
}

__global__ void fill_shared() {
  RECOPS_DYNAMIC_SHARED(memory);
  memory[threadIdx.x] = 1;
}

struct ManyFloats {
  float values[5 << 10];
};

__global__ void use_both_kinds_of_shared_memory() {
  RECOPS_SHARED(ManyFloats, shared);
  RECOPS_DYNAMIC_SHARED(memory);
  shared.values[threadIdx.x] = memory[threadIdx.x];
}

void check_errors() {
  in_each_order([&] {
    check(contains(error_of([] { launch(wait_apart, 1, 32, 0, nullptr); }), "different barriers"),
          "barriers in two branches are found");
    check(contains(error_of([] { launch(wait_for_part_of_a_warp, 1, 32, 0, nullptr); }), "deadlock"),
          "a deadlock is found");
    check(contains(error_of([] { launch(shuffle_from_outside, 1, 32, 0, nullptr); }), "takes no part"),
          "a shuffle from a lane outside of the mask is found");
  });
  emulation::order = {};
  check(contains(error_of([] { launch(shuffle_with_the_ended, 1, 32, 0, nullptr); }), "has ended"),
        "a shuffle with an ended lane is found");
  check(contains(error_of([] { launch(fill_shared, 1, 32, 228 << 10, nullptr); }), "shared memory"),
        "too much shared memory is found");
  check(contains(error_of([] { launch(use_both_kinds_of_shared_memory, 1, 32, 30 << 10, nullptr); }), "shared memory"),
        "too much shared memory without a request is found");
  check(error_of([] { launch(use_both_kinds_of_shared_memory, 1, 32, 33 << 10, nullptr); }).empty(),
        "requested shared memory is no error");
}

}  // namespace
}  // namespace recops

int main() {
  recops::check_barriers();
  recops::check_bounds();
  recops::check_warps();
  recops::check_blocks();
  recops::check_errors();
  return recops::all_good ? 0 : 1;
}
