// Balanced assignment op: schema, data checks and threads. repair.h decides which items move.
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "balance_assignment/arguments.h"
#include "balance_assignment/repair.h"
#include "common/compat.h"
#include "common/threads.h"

namespace recops::balance_assignment {
namespace {

const char* const kOp = "balance_assignment";

const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Returns the values as double. Raises an error naming the first that is not at least 0; infinity is allowed if
// `unbounded`.
std::vector<double> amounts(const char* name, const Tensor& values, int64_t count, bool unbounded) {
  require_amounts(kOp, name, values, count);
  const Tensor dense = recops::contiguous(values);
  const double* from = static_cast<const double*>(dense.data_ptr());
  std::vector<double> result(from, from + dense.size(0));
  for (size_t i = 0; i < result.size(); ++i)
    require_value(result[i] >= 0 && (unbounded || result[i] <= std::numeric_limits<double>::max()), kOp, ": ", name,
                  " must be ", unbounded ? "" : "finite and ", "at least 0, got ", name, "[", i, "] = ", result[i]);
  return result;
}

std::tuple<Tensor, Tensor, Tensor> repair_assignment(Tensor x, Tensor codebook, Tensor weight, Tensor capacity,
                                                     Tensor nearest) {
  const Kernels& kernels = select_kernels();
  const Tensor rows = recops::contiguous(x), words = recops::contiguous(codebook), codes = recops::contiguous(nearest);
  const Space of = space(kOp, rows, words);
  const int64_t items = x.size(0), size = codebook.size(0);
  std::vector<double> weights = amounts("weight", weight, items, false);
  std::vector<double> capacities = amounts("capacity", capacity, size, true);
  require_codes(kOp, codes, items);

  Tensor index = empty({items}, ScalarType::Int, x);
  int32_t* own = static_cast<int32_t*>(index.data_ptr());
  const int32_t* from = static_cast<const int32_t*>(codes.data_ptr());
  for (int64_t i = 0; i < items; ++i) {
    require_index(-1 <= from[i] && from[i] < size, kOp, ": nearest must be from 0 to ", size - 1,
                  ", or -1 for none, got nearest[", i, "] = ", from[i]);
    own[i] = from[i];
  }
  Repair repair(kernels, of, std::move(weights), capacities, own);
  // kGrain: least multiply-adds per thread. kCode: cost per code in addition to its distance.
  constexpr int64_t kGrain = 1 << 18, kCode = 8;
  const int64_t shares = num_shares(repair.movable(), kGrain / (size * (of.dim + kCode) + 1) + 1);
  std::vector<Repair::Scratch> scratch(shares, repair.scratch());
  for_shares(repair.movable(), shares,
             [&](int64_t share, int64_t begin, int64_t end) { repair.find_targets(begin, end, scratch[share]); });
  std::vector<double> loads;
  const bool within = repair.run(loads);

  Tensor load = empty({size}, x.scalar_type(), x), feasible = empty({}, ScalarType::Bool, x);
  for (int64_t code = 0; code < size; ++code) {
    if (of.wide) {
      static_cast<double*>(load.data_ptr())[code] = loads[code];
      continue;
    }
    // Rounding to float must not raise a load above its capacity.
    float rounded = static_cast<float>(loads[code]);
    if (loads[code] <= capacities[code] && double{rounded} > capacities[code])
      rounded = std::nextafter(rounded, -std::numeric_limits<float>::infinity());
    static_cast<float*>(load.data_ptr())[code] = rounded;
  }
  *static_cast<bool*>(feasible.data_ptr()) = within;
  return {index, load, feasible};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "repair_assignment(Tensor x, Tensor codebook, Tensor weight, Tensor capacity, Tensor nearest) -> (Tensor index, "
      "Tensor load, Tensor feasible)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) { m.impl("repair_assignment", TORCH_BOX(&repair_assignment)); }

}  // namespace recops::balance_assignment
