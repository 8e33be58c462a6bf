// Dice on the GPU: checks, memory and registration. Without given statistics the composite runs.
#include <optional>
#include <tuple>

#include "common/compat.h"
#include "common/cuda_device.h"
#include "dice/arguments.h"
#include "dice/cuda.h"

namespace recops::dice {
namespace {

using Result = std::tuple<Tensor, Tensor, Tensor>;

Result dice(Tensor x_in, Tensor alpha_in, std::optional<Tensor> mean_in, std::optional<Tensor> var_in, double eps) {
  const char* op = "dice";
  require_value(mean_in.has_value() == var_in.has_value(), op, ": mean and var must be given both or neither, got one");
  if (!mean_in || !has_code_for(device_of(x_in).index))
    return call_composite<Tensor, Tensor, Tensor>(op, x_in, alpha_in, mean_in, var_in, eps);
  const DeviceGuard guard(x_in);
  const Tensor x = recops::contiguous(x_in), alpha = recops::contiguous(alpha_in);
  const Problem problem = problem_of(op, x, alpha, eps, false);
  require_statistics(op, "mean", *mean_in, alpha);
  require_statistics(op, "var", *var_in, alpha);
  const Tensor mean = recops::copy(*mean_in), var = recops::copy(*var_in);  // outputs must not alias inputs
  const Tensor out = empty({problem.rows, problem.columns}, x.scalar_type(), x);
  require_launched(op, forward_cuda(problem, mean.data_ptr(), var.data_ptr(), out.data_ptr(), current_stream(x)));
  return {out, mean, var};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(recops, CUDA, m) { m.impl("dice", TORCH_BOX(&dice)); }

}  // namespace recops::dice
