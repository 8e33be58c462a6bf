// Runs the embedding kernels without torch and Python, for sanitizers and callgrind.
//
//   embedding KERNEL SIZE WIDTH COUNT EACH [f32|bf16|f16|f64] [int32|int64]
//
// KERNEL is sums, gradient, sgd, adagrad or rowwise_adagrad (updates of the table by sorted gradients), for a table
// [SIZE, WIDTH] and ids [COUNT, EACH]; EACH 1 tests copying. The data is the same in every run. Outputs are filled with
// NaN and surrounded by guard values first. Exit code 1 means an unwritten output or an overwritten guard value.
// Checksums on stdout allow comparison between runs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "embedding/kernel.h"
#include "output.h"
#include "random.h"

namespace recops::embedding {
namespace {

constexpr int64_t kPadding = 2;

struct Shape {
  int64_t size, width, bags, each;
};

// Random values of about ±1; 16-bit floats as their bits.
template <class S>
std::vector<S> random_values(int64_t count) {
  std::vector<S> values;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = next_bits();
    if constexpr (std::is_same_v<S, uint16_t>)
      values.push_back(0x3c00 | (bits & 0x807f));
    else
      values.push_back(static_cast<S>(static_cast<int32_t>(bits)) / static_cast<S>(1u << 31));
  }
  return values;
}

template <class S>
bool run_update(const std::string& kernel, const Shape& s, Dtype dtype, const Bags& bags) {
  using T = std::conditional_t<std::is_same_v<S, double>, double, float>;
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const Optimizer optimizer = kernel == "sgd"       ? Optimizer::sgd
                              : kernel == "adagrad" ? Optimizer::adagrad
                                                    : Optimizer::rowwise_adagrad;
  const UpdateRule rule{optimizer, 0.125, 0.25, 0.5};
  const int64_t count = s.bags * s.each;
  std::vector<int64_t> order(count), rows, offsets;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return bags.ids[a] < bags.ids[b]; });
  for (int64_t i : order) rows.push_back(bags.ids[i]);
  for (int64_t i = 0; i < count; ++i) offsets.push_back(i / s.each * s.width);
  const std::vector<S> values = random_values<S>(s.bags * s.width), weights = random_values<S>(s.size * s.width);
  Output<S> table(s.size * s.width);
  std::copy(weights.begin(), weights.end(), table.data());
  Output<T> sums(s.width), state(optimizer == Optimizer::adagrad ? s.size * s.width : s.size);
  std::fill_n(sums.data(), s.width, T{0});
  std::fill_n(state.data(), optimizer == Optimizer::adagrad ? s.size * s.width : s.size, T{1});
  const SortedGradients gradients{count, rows.data(), order.data(), offsets.data(), values.data(), dtype, s.width};
  if (s.width > 0) {
    kernels.update_rows(gradients, rule, 0, count / 3, sums.data(), table.data(), state.data());
    kernels.update_rows(gradients, rule, count / 3, count, sums.data(), table.data(), state.data());
  }
  return table.report("table") && state.report("state") && sums.report("sums of the last row");
}

template <class S, class I>
bool run(const std::string& kernel, const Shape& s, Dtype dtype) {
  using T = std::conditional_t<std::is_same_v<S, double>, double, float>;
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const int64_t count = s.bags * s.each, middle = s.bags / 2;
  std::vector<I> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<I>(next_bits() % s.size));
  const Bags bags{s.bags, s.each, {ids.data(), sizeof(I) == 8}, kPadding, s.width, s.width};
  if (kernels.find_outside(bags.ids, count, s.size) >= 0) return false;
  if (kernel == "gradient") {
    const std::vector<S> values = random_values<S>(s.bags * s.width);
    Output<T> sums(s.size * s.width);
    std::fill_n(sums.data(), s.size * s.width, T{0});
    kernels.add_rows(bags, values.data(), dtype, 0, kBuckets / 4, sums.data());
    kernels.add_rows(bags, values.data(), dtype, kBuckets / 4, kBuckets, sums.data());
    return sums.report("gradient");
  }
  if (kernel != "sums") return run_update<S>(kernel, s, dtype, bags);
  const std::vector<S> table = random_values<S>(s.size * s.width);
  Output<S> sums(s.bags * s.width);
  kernels.sum_rows(bags, table.data(), dtype, 0, middle, sums.data());
  kernels.sum_rows(bags, table.data(), dtype, middle, s.bags, sums.data());
  return sums.report("sums");
}

template <class S>
bool run(const std::string& kernel, const Shape& s, Dtype dtype, bool wide) {
  return wide ? run<S, int64_t>(kernel, s, dtype) : run<S, int32_t>(kernel, s, dtype);
}

}  // namespace
}  // namespace recops::embedding

int main(int argc, char** argv) {
  using namespace recops;
  using embedding::run;
  if (argc < 6) {
    std::fprintf(
        stderr,
        "usage: %s sums|gradient|sgd|adagrad|rowwise_adagrad SIZE WIDTH COUNT EACH [f32|bf16|f16|f64] [int32|int64]\n",
        argv[0]);
    return 2;
  }
  const embedding::Shape shape{std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]), std::atoll(argv[5])};
  const std::string kernel = argv[1], type = argc > 6 ? argv[6] : "f32";
  const bool wide = argc <= 7 || std::string(argv[7]) == "int64";
  if (type == "f64") return run<double>(kernel, shape, Dtype::f64, wide) ? 0 : 1;
  if (type == "bf16") return run<uint16_t>(kernel, shape, Dtype::bf16, wide) ? 0 : 1;
  if (type == "f16") return run<uint16_t>(kernel, shape, Dtype::f16, wide) ? 0 : 1;
  return run<float>(kernel, shape, Dtype::f32, wide) ? 0 : 1;
}
