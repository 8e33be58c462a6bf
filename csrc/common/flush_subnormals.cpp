// The op behind recops.flush_subnormals: the floating-point mode of all threads that torch computes on.
#include "common/flush_subnormals.h"

#include <vector>

#include "common/compat.h"

namespace recops {
namespace {

// Sets whether each thread flushes subnormals, and returns what each did before. Thread 0 is the caller; threads past
// the end of `flush` get the caller's value.
std::vector<int64_t> swap_flush_subnormals(std::vector<int64_t> flush) {
  require_value(!flush.empty(), "swap_flush_subnormals: flush must have an entry for the calling thread, got none");
  std::vector<int64_t> before(num_threads());
  parallel_for(num_threads(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      before[i] = flushes_subnormals();
      set_flush_subnormals(flush[i < static_cast<int64_t>(flush.size()) ? i : 0] != 0);
    }
  });
  return before;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) { m.def("swap_flush_subnormals(int[] flush) -> int[]"); }

STABLE_TORCH_LIBRARY_IMPL(recops, CompositeExplicitAutograd, m) {
  m.impl("swap_flush_subnormals", TORCH_BOX(&swap_flush_subnormals));
}

}  // namespace recops
