// Dice ops: schemas, memory and threads. cpu-inl.h has the arithmetic, arguments.h the checks of dtype and shape.
#include <algorithm>
#include <cstring>
#include <optional>
#include <tuple>

#include "common/compat.h"
#include "dice/arguments.h"
#include "dice/kernel.h"

namespace recops::dice {
namespace {

const Kernels& select_kernels() { return RECOPS_SELECT_KERNELS(); }

// Calls f(begin, end) over columns. Each thread gets at least kGrain values.
template <class F>
void for_columns(const Problem& problem, const F& f) {
  constexpr int64_t kGrain = 1 << 17;
  const int64_t work = std::max<int64_t>(problem.rows, 1) * kColumns;
  parallel_for((problem.columns + kColumns - 1) / kColumns, kGrain / work + 1,
               [&](int64_t begin, int64_t end) { f(begin * kColumns, std::min(end * kColumns, problem.columns)); });
}

std::tuple<Tensor, Tensor, Tensor> dice(Tensor x_in, Tensor alpha_in, std::optional<Tensor> mean_in,
                                        std::optional<Tensor> var_in, double eps) {
  const char* op = "dice";
  require_value(mean_in.has_value() == var_in.has_value(), op, ": mean and var must be given both or neither, got one");
  const Tensor x = recops::contiguous(x_in), alpha = recops::contiguous(alpha_in);
  const Problem problem = problem_of(op, x, alpha, eps, !mean_in);
  Tensor out = empty({problem.rows, problem.columns}, x.scalar_type(), x);
  Tensor mean = empty({problem.columns}, alpha.scalar_type(), x);
  Tensor var = empty({problem.columns}, alpha.scalar_type(), x);
  if (mean_in) {  // Outputs must not alias inputs.
    require_statistics(op, "mean", *mean_in, alpha);
    require_statistics(op, "var", *var_in, alpha);
    const size_t bytes = static_cast<size_t>(problem.columns) * alpha.element_size();
    const Tensor given_mean = recops::contiguous(*mean_in), given_var = recops::contiguous(*var_in);
    if (bytes > 0) {
      std::memcpy(mean.data_ptr(), given_mean.data_ptr(), bytes);
      std::memcpy(var.data_ptr(), given_var.data_ptr(), bytes);
    }
  }
  const Kernels& kernels = select_kernels();
  for_columns(problem, [&](int64_t begin, int64_t end) {
    kernels.forward(problem, begin, end, mean.data_ptr(), var.data_ptr(), out.data_ptr());
  });
  return {out, mean, var};
}

std::tuple<Tensor, Tensor> dice_backward(Tensor grad_in, Tensor x_in, Tensor alpha_in, Tensor mean_in, Tensor var_in,
                                         double eps, bool of_batch) {
  const char* op = "dice_backward";
  const Tensor grad = recops::contiguous(grad_in), x = recops::contiguous(x_in), alpha = recops::contiguous(alpha_in);
  const Tensor mean = recops::contiguous(mean_in), var = recops::contiguous(var_in);
  const Problem problem = problem_of(op, x, alpha, eps, of_batch);
  require_statistics(op, "mean", mean, alpha);
  require_statistics(op, "var", var, alpha);
  require_gradient(op, grad, x);
  Tensor grad_x = empty({problem.rows, problem.columns}, x.scalar_type(), x);
  Tensor grad_alpha = empty({problem.columns}, alpha.scalar_type(), x);
  const Kernels& kernels = select_kernels();
  for_columns(problem, [&](int64_t begin, int64_t end) {
    kernels.backward(problem, begin, end, mean.data_ptr(), var.data_ptr(), grad.data_ptr(), grad_x.data_ptr(),
                     grad_alpha.data_ptr());
  });
  return {grad_x, grad_alpha};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def(
      "dice(Tensor x, Tensor alpha, Tensor? mean, Tensor? var, float eps) -> (Tensor out, Tensor used_mean, Tensor "
      "used_var)");
  m.def(
      "dice_backward(Tensor grad, Tensor x, Tensor alpha, Tensor mean, Tensor var, float eps, bool of_batch) -> "
      "(Tensor grad_x, Tensor grad_alpha)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("dice", TORCH_BOX(&dice));
  m.impl("dice_backward", TORCH_BOX(&dice_backward));
}

}  // namespace recops::dice
