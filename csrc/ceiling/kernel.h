// The machine's own FMA ceiling, so that a kernel's speed can be told as a share of what is possible.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace recops::ceiling {

struct Kernels {
  // Runs `iterations` rounds of float32 FMAs on enough independent accumulators to keep every unit busy, touching no
  // memory. Returns the floating-point operations done (two per lane and FMA); `sink` receives the result, so that the
  // work cannot be dropped.
  int64_t (*fma)(int64_t iterations, float* sink);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::ceiling
