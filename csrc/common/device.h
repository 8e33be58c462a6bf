// Memory in CUDA kernels, for nvcc and for the emulation on the host (tests/emulation).
//
// Kernels reach arrays only through DevicePointer, which is a plain pointer on a GPU and checks its bounds in the
// emulation.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

namespace recops {

template <class T>
using DevicePointer = T*;

template <class T>
__host__ __device__ DevicePointer<T> device_pointer(T* array, int64_t) {
  return array;
}

// The plain pointer to the next `count` elements.
template <class T>
__device__ __forceinline__ T* plain(T* pointer, int64_t) {
  return pointer;
}

template <class T>
__device__ __forceinline__ uintptr_t address_of(T* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}

}  // namespace recops

// A variable in shared memory, and the dynamic shared memory of the launch in bytes.
#define RECOPS_SHARED(Type, name) __shared__ Type name
#define RECOPS_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

// Unrolls the loop that follows, whose count is a constant, or keeps it as a loop.
#define RECOPS_UNROLL _Pragma("unroll")
#define RECOPS_KEEP_LOOP _Pragma("unroll 1")

#else
#include "tests/emulation/cuda.h"
#define RECOPS_UNROLL
#define RECOPS_KEEP_LOOP
#endif

namespace recops {

constexpr unsigned kFullWarp = 0xffffffff;
constexpr int kWarpSize = 32;

// 16 bytes, read or written by one instruction.
struct alignas(16) [[gnu::may_alias]] Words16 {
  uint32_t words[4];
};

template <class T>
constexpr int kPerWords16 = 16 / static_cast<int>(sizeof(T));

// The elements from `at` on as 16 bytes. Their address must be a multiple of 16.
template <class T>
__device__ __forceinline__ Words16 load16(DevicePointer<const T> at) {
  return *reinterpret_cast<const Words16*>(plain(at, kPerWords16<T>));
}

template <class T>
__device__ __forceinline__ void store16(DevicePointer<T> at, Words16 value) {
  *reinterpret_cast<Words16*>(plain(at, kPerWords16<T>)) = value;
}

// Elements of T before the first whose address is a multiple of 16.
template <class T>
__device__ __forceinline__ int elements_to_aligned(DevicePointer<T> at) {
  return static_cast<int>(-address_of(at) % 16 / sizeof(T));
}

// `count` elements of dynamic shared memory from byte `begin` on.
template <class T>
__device__ __forceinline__ DevicePointer<T> shared_array(DevicePointer<unsigned char> memory, int64_t begin,
                                                         int64_t count) {
  return device_pointer(reinterpret_cast<T*>(plain(memory + begin, count * static_cast<int64_t>(sizeof(T)))), count);
}

}  // namespace recops
