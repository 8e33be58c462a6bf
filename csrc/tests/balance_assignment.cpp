// Repairs a random assignment without torch and Python, for sanitizers and callgrind.
//
//   balance_assignment ROWS DIM CODES [spread|pile|heavy] [f32|f64]
//
// All rows start at code 0. `pile` gives all rows the same vector; `heavy` makes one row heavier than any capacity. The
// data is the same in every run. Exit code 1 means that a load exceeds its capacity although the result claims a fit,
// or that the total weight changed.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "balance_assignment/repair.h"
#include "random.h"

namespace recops::balance_assignment {
namespace {

double uniform() { return next_bits() / 4294967296.0; }

template <class T>
bool run(int64_t rows, int64_t dim, int64_t codes, const std::string& kind) {
  std::vector<T> x(rows * dim), words(codes * dim);
  if (kind != "pile")
    for (T& value : x) value = static_cast<T>(uniform());
  for (T& value : words) value = static_cast<T>(uniform());
  std::vector<double> weights(rows), loads;
  double total = 0;
  for (double& weight : weights) total += weight = uniform();
  const double capacity = 1.1 * total / static_cast<double>(codes) + 1;
  if (kind == "heavy" && rows > 0) weights[rows / 2] = 2 * capacity;
  std::vector<int32_t> index(rows, 0);
  Repair repair(RECOPS_SELECT_KERNELS(), {x.data(), words.data(), sizeof(T) == 8, dim}, weights,
                std::vector<double>(codes, capacity), index.data());
  Repair::Scratch scratch = repair.scratch();
  repair.find_targets(0, repair.movable() / 2, scratch);
  repair.find_targets(repair.movable() / 2, repair.movable(), scratch);
  const bool fits = repair.run(loads);
  double carried = 0, most = 0, due = 0;
  for (double load : loads) carried += load, most = std::max(most, load);
  for (double weight : weights) due += weight;
  std::printf("fits %d, most %.9g of %.9g\n", static_cast<int>(fits), most, capacity);
  return fits == (most <= capacity) && fits == (kind != "heavy" || rows == 0) && std::abs(carried - due) < 1e-9;
}

}  // namespace
}  // namespace recops::balance_assignment

int main(int argc, char** argv) {
  using namespace recops::balance_assignment;
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s ROWS DIM CODES [spread|pile|heavy] [f32|f64]\n", argv[0]);
    return 2;
  }
  const std::string kind = argc > 4 ? argv[4] : "spread";
  const bool wide = argc > 5 && std::string(argv[5]) == "f64";
  const auto number = [&](int i) { return std::atoll(argv[i]); };
  return (wide ? run<double> : run<float>)(number(1), number(2), number(3), kind) ? 0 : 1;
}
