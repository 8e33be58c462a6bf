#pragma once

#include "ceiling/kernel.h"
#include "simd/vector-inl.h"

namespace recops::ceiling::RECOPS_ISA {
namespace {

// A latency of 4 cycles at two FMAs per cycle needs 8 in flight. 12 leaves room for slower machines and fits 16
// registers.
constexpr int accumulators = 12;

int64_t fma(int64_t iterations, float* sink) {
  Vec<float> sums[accumulators];
  for (int i = 0; i < accumulators; ++i) sums[i] = Vec<float>{} + static_cast<float>(i);
  Vec<float> a = Vec<float>{} + 0.999f, b = Vec<float>{} + 0.001f;
  for (int64_t n = 0; n < iterations; ++n) {
    // Hides the values of a and b; otherwise the compiler would fold the recurrence.
#if defined(__x86_64__)
    asm volatile("" : "+x"(a), "+x"(b));
#endif
#pragma GCC unroll 12
    for (int i = 0; i < accumulators; ++i) sums[i] = sums[i] * a + b;
  }
  Vec<float> total = sums[0];
  for (int i = 1; i < accumulators; ++i) total += sums[i];
  *sink = total[0];
  return iterations * accumulators * kLanes<float> * 2;
}

}  // namespace

extern const Kernels kernels = {
    .fma = fma,
};

}  // namespace recops::ceiling::RECOPS_ISA
