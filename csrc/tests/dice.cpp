// Runs the Dice kernels without torch and Python, for sanitizers and callgrind.
//
//   dice forward|backward ROWS COLUMNS batch|given [f32|bf16|f16|f64]
//
// The data is the same in every run. Outputs are filled with NaN and surrounded by guard values first. Exit code 1
// means an unwritten output or an overwritten guard value. Checksums on stdout allow comparison between runs.
#include "dice/kernel.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "output.h"
#include "random.h"

namespace recops::dice {
namespace {

// Random values in [-1, 1); for 16-bit types, the bits of small values.
template <class S>
std::vector<S> random_values(int64_t count) {
  std::vector<S> values;
  for (int64_t i = 0; i < count; ++i)
    if constexpr (sizeof(S) == 2)
      values.push_back(static_cast<S>((next_bits() & 0x8fff) | 0x2000));
    else
      values.push_back(static_cast<S>(static_cast<int32_t>(next_bits())) / static_cast<S>(1u << 31));
  return values;
}

// Calls f(begin, end) over the columns in two parts.
template <class F>
void for_columns(int64_t columns, const F& f) {
  const int64_t middle = columns / 2 / kColumns * kColumns;
  f(int64_t{0}, middle);
  f(middle, columns);
}

// S is the storage type of x (uint16_t for 16-bit floats), T the compute type.
template <class S, class T>
bool run(bool backward, int64_t rows, int64_t columns, bool of_batch, Dtype dtype) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const std::vector<S> x = random_values<S>(rows * columns), grad = random_values<S>(rows * columns);
  const std::vector<T> alpha = random_values<T>(columns);
  const Problem problem{dtype, of_batch, rows, columns, 1e-8, x.data(), alpha.data()};
  Output<T> mean(columns), var(columns);
  if (!of_batch || backward) {
    std::copy_n(random_values<T>(columns).data(), columns, mean.data());
    std::fill_n(var.data(), columns, T{0.3});
  }
  if (backward) {
    Output<S> grad_x(rows * columns);
    Output<T> grad_alpha(columns);
    for_columns(columns, [&](int64_t begin, int64_t end) {
      kernels.backward(problem, begin, end, mean.data(), var.data(), grad.data(), grad_x.data(), grad_alpha.data());
    });
    const bool intact = grad_x.report("grad_x");
    return grad_alpha.report("grad_alpha") && intact;
  }
  Output<S> out(rows * columns);
  for_columns(columns, [&](int64_t begin, int64_t end) {
    kernels.forward(problem, begin, end, mean.data(), var.data(), out.data());
  });
  bool intact = out.report("out");
  intact = mean.report("mean") && intact;
  return var.report("var") && intact;
}

}  // namespace
}  // namespace recops::dice

int main(int argc, char** argv) {
  using namespace recops::dice;
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s forward|backward ROWS COLUMNS batch|given [f32|bf16|f16|f64]\n", argv[0]);
    return 2;
  }
  const bool backward = std::string(argv[1]) == "backward", of_batch = std::string(argv[4]) == "batch";
  const int64_t rows = std::atoll(argv[2]), columns = std::atoll(argv[3]);
  const std::string type = argc > 5 ? argv[5] : "f32";
  if (type == "f64") return run<double, double>(backward, rows, columns, of_batch, recops::Dtype::f64) ? 0 : 1;
  if (type == "f32") return run<float, float>(backward, rows, columns, of_batch, recops::Dtype::f32) ? 0 : 1;
  const recops::Dtype dtype = type == "bf16" ? recops::Dtype::bf16 : recops::Dtype::f16;
  return run<uint16_t, float>(backward, rows, columns, of_batch, dtype) ? 0 : 1;
}
