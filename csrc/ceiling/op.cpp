#include "ceiling/kernel.h"

#include <atomic>

#include "common/arguments.h"
#include "common/compat.h"

namespace recops::ceiling {
namespace {

// Runs the same work on every torch thread. The caller measures the time.
int64_t fma_ceiling(int64_t iterations) {
  constexpr int64_t kMost = int64_t{1} << 31;  // some seconds
  require_between("fma_ceiling", "iterations", iterations, 1, kMost);
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  std::atomic<int64_t> operations{0};
  parallel_for(num_threads(), 1, [&](int64_t begin, int64_t end) {
    float sink;
    for (int64_t i = begin; i < end; ++i) operations += kernels.fma(iterations, &sink);
  });
  return operations;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) { m.def("fma_ceiling(SymInt iterations) -> int"); }
STABLE_TORCH_LIBRARY_IMPL(recops, CompositeExplicitAutograd, m) { m.impl("fma_ceiling", TORCH_BOX(&fma_ceiling)); }

}  // namespace recops::ceiling
