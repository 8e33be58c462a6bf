#pragma once

#include "ceiling/kernel.h"

namespace recops::ceiling::RECOPS_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
typedef float Vector __attribute__((vector_size(vector_bytes)));
constexpr int lanes = vector_bytes / 4;

// Latency 4 at two a cycle needs 8 in flight; 12 leave room for slower machines and fit 16 registers.
constexpr int accumulators = 12;

int64_t fma(int64_t iterations, float* sink) {
  Vector sums[accumulators];
  for (int i = 0; i < accumulators; ++i) sums[i] = Vector{} + static_cast<float>(i);
  Vector a = Vector{} + 0.999f, b = Vector{} + 0.001f;
  for (int64_t n = 0; n < iterations; ++n) {
    // Keeps a and b opaque, or the compiler would fold the recurrence.
#if defined(__x86_64__)
    asm volatile("" : "+x"(a), "+x"(b));
#endif
#pragma GCC unroll 12
    for (int i = 0; i < accumulators; ++i) sums[i] = sums[i] * a + b;
  }
  Vector total = sums[0];
  for (int i = 1; i < accumulators; ++i) total += sums[i];
  *sink = total[0];
  return iterations * accumulators * lanes * 2;
}

}  // namespace

extern const Kernels kernels = {
    .fma = fma,
};

}  // namespace recops::ceiling::RECOPS_ISA
