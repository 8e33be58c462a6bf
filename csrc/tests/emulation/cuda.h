// Runs CUDA kernels on the host: their source, compiled as C++ behind this header, and launched block by block.
//
// The threads of a block are fibers that run one after another until a barrier. A missing barrier therefore changes the
// result in one of the orders (see Order), and shared memory starts as NaN. Pointers check their bounds.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "common/shared_memory.h"
#include "tests/emulation/block.h"
#include "tests/emulation/pointer.h"
#include "tests/emulation/warp.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

using dim3 = recops::emulation::Size3;
using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };

inline recops::emulation::Index3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace recops {

// As the CUDA branch of common/device.h and common/launch.h.
template <class T>
using DevicePointer = emulation::Pointer<T>;

template <class T>
DevicePointer<T> device_pointer(T* array, int64_t count) {
  return array == nullptr ? DevicePointer<T>() : DevicePointer<T>(array, count);
}

template <class T>
T* plain(DevicePointer<T> pointer, int64_t count) {
  return pointer.plain(count);
}

template <class T>
uintptr_t address_of(DevicePointer<T> pointer) {
  return pointer.address();
}

#define RECOPS_SHARED(Type, name) \
  auto& name = ::recops::emulation::block->shared.variable<Type>(::recops::emulation::site_of([] {}))
#define RECOPS_DYNAMIC_SHARED(name) const auto name = ::recops::emulation::block->shared.dynamic()

namespace emulation {

// A different address for each lambda expression.
template <class Lambda>
const void* site_of(const Lambda&) {
  static const char site = 0;
  return &site;
}

// The order of the threads in all launches that follow.
inline Order order;

// Called around the kernel of a launch if a test sets them.
inline void (*before_launch)(cudaStream_t) = nullptr;
inline void (*after_launch)() = nullptr;

constexpr uint64_t kMaxThreads = 1024, kMaxSharedWithoutRequest = 48 << 10, kMaxGridX = 0x7fffffff, kMaxGridYZ = 65535;

// Shared memory that a block may have: an H100's, or after an assignment that of another card.
inline uint64_t max_shared = 227 << 10;
inline int multiprocessors = 132;

}  // namespace emulation

inline size_t most_shared_bytes() { return emulation::max_shared; }
inline int num_multiprocessors() { return emulation::multiprocessors; }

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 threads, size_t shared_bytes, cudaStream_t stream,
                   const Arguments&... arguments) {
  using namespace emulation;
  if (grid.count() == 0) return cudaSuccess;
  if (threads.count() == 0 || threads.count() > kMaxThreads || grid.x > kMaxGridX || grid.y > kMaxGridYZ ||
      grid.z > kMaxGridYZ)
    return cudaErrorInvalidConfiguration;
  if (before_launch != nullptr) before_launch(stream);
  Block one(static_cast<int>(threads.count()), shared_bytes, order);
  block = &one;
  blockDim = threads;
  gridDim = grid;
  for (uint64_t b = 0; b < grid.count(); ++b) {
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                static_cast<unsigned>(b / grid.x / grid.y)};
    one.run([&](int) { kernel(arguments...); },
            [&](int t) {
              const auto thread = static_cast<unsigned>(t);
              threadIdx = {thread % threads.x, thread / threads.x % threads.y, thread / threads.x / threads.y};
            });
    const uint64_t most = shared_bytes > kSharedWithoutRequest ? max_shared : kMaxSharedWithoutRequest;
    require(one.shared.size() <= most, "a block uses ", one.shared.size(), " bytes of shared memory, more than ", most);
  }
  block = nullptr;
  if (after_launch != nullptr) after_launch();
  return cudaSuccess;
}

}  // namespace recops
