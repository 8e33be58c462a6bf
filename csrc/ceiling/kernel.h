// Peak FMA throughput of the machine, the reference for kernel efficiency.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace recops::ceiling {

struct Kernels {
  // Runs `iterations` rounds of float32 FMAs on enough independent accumulators to keep every unit busy, without memory
  // access. Returns the number of floating-point operations (two per lane and FMA). `sink` gets the result, so that the
  // compiler cannot remove the work.
  int64_t (*fma)(int64_t iterations, float* sink);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::ceiling
