// Runs the CUDA kernels of embedding bags on the host and compares them with the CPU kernels.
//
//   embedding_cuda sums|gradient|update [f32|bf16|f16]
//
// Each case runs in every order of threads, whose results must have the same bits. Arrays have exactly their sizes.
// Sums must have the bits of the CPU's. Gradients may differ from a sum in double precision by the rounding of their
// additions, and updated rows from an update in double precision. Exit code 1 means a difference.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "embedding/cuda.cu"
#include "embedding/kernel.h"
#include "random.h"

namespace recops::embedding::cuda {
namespace {

constexpr int64_t kNoPadding = -1;

// Ids [count, each] of a table, in columns after those of the features before.
struct FeatureCase {
  int64_t table, each;
  bool wide = false;
};

struct TableCase {
  int64_t rows, width;
};

struct Case {
  int64_t count;
  std::vector<TableCase> tables;
  std::vector<FeatureCase> features;
  int64_t padding = kNoPadding;
  int64_t gap = 0;         // columns of the values before the first feature
  int64_t popular = 0;     // of 8 ids, how many are the table's first row
  int64_t wrong_bag = -1;  // a bag with an id outside its table
  Dtype dtype = Dtype::f32;
};

float random_value() { return static_cast<float>(static_cast<int32_t>(next_bits())) / 4294967296.0f; }

// Values in their storage type, in memory that starts at an address of 16 bytes.
template <class S>
struct alignas(16) Block {
  S values[16 / sizeof(S)];
};

template <class S>
class Stored {
 public:
  explicit Stored(int64_t count) : count_(count), blocks_(count * sizeof(S) / 16 + 1) {
    for (int64_t i = 0; i < count; ++i) data()[i] = from_float<S>(random_value());
  }
  void fill(float value) { std::fill_n(data(), count_, from_float<S>(value)); }

  S* data() { return blocks_[0].values; }
  const S* data() const { return blocks_[0].values; }
  float operator[](int64_t i) const { return to_float(data()[i]); }
  int64_t count() const { return count_; }
  bool has_bits_of(const Stored& other) const { return std::memcmp(data(), other.data(), count_ * sizeof(S)) == 0; }

 private:
  int64_t count_;
  std::vector<Block<S>> blocks_;
};

// Ids in one of two widths.
struct Ids {
  std::vector<int64_t> wide;
  std::vector<int32_t> narrow;
  Indices indices(bool is_wide) const { return is_wide ? Indices{wide.data(), true} : Indices{narrow.data(), false}; }
};

bool fails(const Case& c, const std::string& what) {
  std::printf("count %d, features %d, dtype %d, padding %d, gap %d: %s\n", static_cast<int>(c.count),
              static_cast<int>(c.features.size()), static_cast<int>(c.dtype), static_cast<int>(c.padding),
              static_cast<int>(c.gap), what.c_str());
  return false;
}

template <class S>
class Step {
 public:
  explicit Step(const Case& c) : c(c), columns(c.gap) {
    for (const TableCase& table : c.tables) tables.emplace_back(table.rows * table.width);
    for (const FeatureCase& feature : c.features) {
      Ids& of_feature = ids.emplace_back();
      for (int64_t i = 0; i < c.count * feature.each; ++i) {
        const bool is_popular = static_cast<int64_t>(next_bits() % 8) < c.popular;
        of_feature.wide.push_back(is_popular ? 0 : next_bits() % c.tables[feature.table].rows);
      }
      if (c.wrong_bag >= 0 && feature.each > 0)
        of_feature.wide[c.wrong_bag * feature.each] = feature.each % 2 == 0 ? -1 : c.tables[feature.table].rows;
      of_feature.narrow.assign(of_feature.wide.begin(), of_feature.wide.end());
      columns += c.tables[feature.table].width;
    }
  }

  // The features of a table, or of all tables for −1.
  std::vector<Feature> features(int64_t table = -1) const {
    std::vector<Feature> result;
    int64_t column = c.gap;
    for (size_t f = 0; f < c.features.size(); ++f) {
      const auto [of_table, each, wide] = c.features[f];
      const auto [rows, width] = c.tables[of_table];
      if (table < 0 || table == of_table)
        result.push_back({ids[f].indices(wide), each, column, tables[of_table].data(), rows, width});
      column += width;
    }
    return result;
  }

  Case c;
  int64_t columns;
  std::vector<Stored<S>> tables;
  std::vector<Ids> ids;
};

// The results in all orders of threads, which must be equal.
template <class S, class F>
bool run_orders(const Case& c, const F& f, Stored<S>& result) {
  for (int i = 0; i < emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i);
    Stored<S> of_order(result.count());
    of_order.fill(7);
    try {
      if (f(of_order.data()) != cudaSuccess) return fails(c, "a launch failed");
    } catch (const emulation::KernelError& error) {
      return fails(c, error.what());
    }
    if (i > 0 && !of_order.has_bits_of(result)) return fails(c, "the order of threads changes the result");
    result = of_order;
  }
  return true;
}

template <class S>
bool run_sums(const Case& c) {
  const Step<S> step(c);
  const std::vector<Feature> features = step.features();
  Stored<S> actual(c.count * step.columns), expected(c.count * step.columns);
  expected.fill(7);
  const auto call = [&](S* values) {
    const BagsCall call{c.dtype, c.count,     c.padding, features.data(), static_cast<int64_t>(features.size()),
                        values,  step.columns};
    return supports_bags(call) ? sum_bags(call, nullptr) : int{cudaErrorInvalidConfiguration};
  };
  if (!run_orders(c, call, actual)) return false;
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  for (const Feature& feature : features) {
    const Bags bags{c.count, feature.each, feature.ids, c.padding, feature.width, step.columns};
    if (c.wrong_bag < 0) {
      kernels.sum_rows(bags, feature.table, c.dtype, 0, c.count, expected.data() + feature.column);
      continue;
    }
    kernels.sum_rows(bags, feature.table, c.dtype, c.wrong_bag + 1, c.count, expected.data() + feature.column);
    kernels.sum_rows(bags, feature.table, c.dtype, 0, c.wrong_bag, expected.data() + feature.column);
    for (int64_t i = 0; i < feature.width; ++i)
      expected.data()[c.wrong_bag * step.columns + feature.column + i] = from_float<S>(std::nanf(""));
  }
  return actual.has_bits_of(expected) || fails(c, "the sums differ from the CPU's");
}

template <class S>
bool run_gradient(const Case& c, int64_t table) {
  const Step<S> step(c);
  const std::vector<Feature> features = step.features(table);
  const Stored<S> values(c.count * step.columns);
  const auto [rows, width] = c.tables[table];
  const GradientCall call{c.dtype,
                          c.count,
                          c.padding,
                          features.data(),
                          static_cast<int64_t>(features.size()),
                          values.data(),
                          step.columns,
                          step.columns,
                          rows,
                          width};
  if (!supports_gradient(call)) return fails(c, "the call was refused");
  const int64_t total = count_occurrences(call);

  // Rows, values in order of occurrence, and the number of additions.
  std::vector<double> expected(rows * width), sizes(rows * width);
  std::vector<int32_t> found;
  for (const Feature& feature : features)
    for (int64_t i = 0; i < c.count * feature.each; ++i) {
      const int64_t id = feature.ids[i];
      const bool is_added = 0 <= id && id < rows && id != c.padding;
      found.push_back(static_cast<int32_t>(is_added ? id : rows));
      for (int64_t d = 0; is_added && d < width; ++d) {
        const double value = values[i / feature.each * step.columns + feature.column + d];
        expected[id * width + d] += value;
        sizes[id * width + d] += std::abs(value);
      }
    }

  std::vector<int64_t> order(total);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return found[a] < found[b]; });
  std::vector<int32_t> sorted_keys;
  for (int64_t i : order) sorted_keys.push_back(found[i]);
  bool keys_are_right = true;
  Stored<S> actual(rows * width);
  const auto run = [&](S* gradient) {
    std::vector<int32_t> keys(total, -2);
    int error = write_keys(call, keys.data(), nullptr);
    keys_are_right &= keys == found;
    std::fill_n(gradient, rows * width, S{});
    std::vector<float> workspace(gradient_workspace_bytes(call) / sizeof(float), std::nanf(""));
    if (error == cudaSuccess)
      error = sum_by_row(call, sorted_keys.data(), order.data(), workspace.data(), gradient, nullptr);
    return error;
  };
  if (!run_orders(c, run, actual)) return false;
  if (!keys_are_right) return fails(c, "an occurrence has another row");
  const double unit = c.dtype == Dtype::f32 ? 0x1p-24 : c.dtype == Dtype::f16 ? 0x1p-11 : 0x1p-8;
  for (int64_t i = 0; i < rows * width; ++i) {
    const double bound = unit * std::abs(expected[i]) + 1000 * 0x1p-24 * sizes[i] + 0x1p-24;
    if (!(std::abs(actual[i] - expected[i]) <= bound))
      return fails(c, "row " + std::to_string(i / width) + " has " + std::to_string(actual[i]) + " for " +
                          std::to_string(expected[i]));
  }
  return true;
}

// The rows of a table with one optimizer state each, updated by double arithmetic.
struct UpdatedTable {
  std::vector<double> weights, state;
};

template <class S>
UpdatedTable expected_update(const Case& c, const Step<S>& step, int64_t table, const Stored<S>& values,
                             const UpdateRule& rule, const std::vector<float>& state) {
  const auto [rows, width] = c.tables[table];
  std::vector<double> gradient(rows * width);
  std::vector<bool> occurs(rows);
  for (const Feature& feature : step.features(table))
    for (int64_t i = 0; i < c.count * feature.each; ++i) {
      const int64_t id = feature.ids[i];
      if (id < 0 || id >= rows || id == c.padding) continue;
      occurs[id] = true;
      for (int64_t d = 0; d < width; ++d)
        gradient[id * width + d] += values[i / feature.each * step.columns + feature.column + d];
    }
  UpdatedTable result{std::vector<double>(rows * width), {state.begin(), state.end()}};
  for (int64_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      result.weights[i] = step.tables[table][i];
      gradient[i] += rule.weight_decay * result.weights[i];
      squares += gradient[i] * gradient[i] / static_cast<double>(width);
    }
    if (!occurs[row]) continue;
    if (rule.optimizer == Optimizer::rowwise_adagrad) result.state[row] += squares;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      if (rule.optimizer == Optimizer::adagrad) result.state[i] += gradient[i] * gradient[i];
      const double divisor = rule.optimizer == Optimizer::sgd       ? 1
                             : rule.optimizer == Optimizer::adagrad ? std::sqrt(result.state[i]) + rule.eps
                                                                    : std::sqrt(result.state[row]) + rule.eps;
      result.weights[i] -= rule.lr * gradient[i] / divisor;
    }
  }
  return result;
}

template <class S>
bool run_update(const Case& c, int64_t table, Optimizer optimizer, double weight_decay) {
  const Step<S> step(c);
  const std::vector<Feature> features = step.features(table);
  const Stored<S> values(c.count * step.columns);
  const auto [rows, width] = c.tables[table];
  const UpdateRule rule{optimizer, 0.125, 0.25, weight_decay};
  const int64_t num_states = optimizer == Optimizer::sgd ? 0 : optimizer == Optimizer::adagrad ? rows * width : rows;
  std::vector<float> first_state(num_states);
  for (float& each : first_state) each = std::abs(random_value());
  const GradientCall gradient{c.dtype,
                              c.count,
                              c.padding,
                              features.data(),
                              static_cast<int64_t>(features.size()),
                              values.data(),
                              step.columns,
                              step.columns,
                              rows,
                              width};
  if (!supports_gradient(gradient)) return fails(c, "the call was refused");

  const int64_t total = count_occurrences(gradient);
  std::vector<int32_t> keys(total), sorted_keys;
  if (write_keys(gradient, keys.data(), nullptr) != cudaSuccess) return fails(c, "the keys failed");
  std::vector<int64_t> order(total);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return keys[a] < keys[b]; });
  for (int64_t i : order) sorted_keys.push_back(keys[i]);

  // The state in 16-byte memory, as torch allocates it.
  Stored<float> state(num_states), state_of_first_order(num_states);
  bool is_first = true, states_are_equal = true;
  Stored<S> actual(rows * width);
  const auto run = [&](S* weights) {
    std::copy_n(step.tables[table].data(), rows * width, weights);
    std::copy(first_state.begin(), first_state.end(), state.data());
    std::vector<float> workspace(gradient_workspace_bytes(gradient) / sizeof(float), std::nanf(""));
    const int error = update_rows({gradient, rule, weights, num_states > 0 ? state.data() : nullptr},
                                  sorted_keys.data(), order.data(), workspace.data(), nullptr);
    if (is_first) state_of_first_order = state;
    is_first = false;
    states_are_equal &= state.has_bits_of(state_of_first_order);
    return error;
  };
  if (!run_orders(c, run, actual)) return false;
  if (!states_are_equal) return fails(c, "the order of threads changes the state");

  const UpdatedTable expected = expected_update(c, step, table, values, rule, first_state);
  const double unit = c.dtype == Dtype::f32 ? 0x1p-24 : c.dtype == Dtype::f16 ? 0x1p-11 : 0x1p-8;
  const auto is_close = [](double value, double correct, double relative) {
    return std::abs(value - correct) <= relative * std::abs(correct) + 1e-4;
  };
  for (int64_t i = 0; i < rows * width; ++i)
    if (!is_close(actual[i], expected.weights[i], unit))
      return fails(c, "row " + std::to_string(i / width) + " became " + std::to_string(actual[i]) + ", not " +
                          std::to_string(expected.weights[i]));
  for (int64_t i = 0; i < num_states; ++i)
    if (!is_close(state[i], expected.state[i], 1e-4))
      return fails(c, "state " + std::to_string(i) + " became " + std::to_string(state[i]) + ", not " +
                          std::to_string(expected.state[i]));
  return true;
}

std::vector<Case> cases() {
  std::vector<FeatureCase> many;
  for (int64_t f = 0; f < 2 * kMostFeatures + 3; ++f) many.push_back({f % 3, f % 4, f % 2 == 0});
  return {
      {1, {{1, 1}}, {{0, 1}}},
      {0, {{5, 3}}, {{0, 4}}},
      {3, {{5, 0}, {7, 4}}, {{0, 2}, {1, 2}}},
      {4, {{5, 3}}, {{0, 0}, {0, 2}}},
      {50, {{9, 4}, {30, 18}}, {{0, 1}, {1, 7}, {0, 5, true}}, 2},
      {70, {{40, 64}}, {{0, 3}}, kNoPadding, 0, 4},
      {20, {{40, 131}}, {{0, 6}}, 1, 0, 4},
      {9, {{40, 8}, {3, 16}}, {{0, 6}, {1, 1}}, kNoPadding, 3},     // values off 16 bytes
      {9, {{40, 8}, {3, 16}}, {{0, 6}, {1, 1}}, kNoPadding, 8},     // and on them
      {300, {{50, 5}}, {{0, 1}, {0, 2}}, 4, 0, 6},                  // a run over many chunks
      {64, {{1, 16}}, {{0, 2}}},                                    // one run, which ends with the last chunk
      {40, {{20, 6}}, {{0, 3}, {0, 2, true}, {0, 1}}, 3, 0, 2, 7},  // an id outside
      {5, {{4, 2}, {4, 8}, {4, 1}}, many, 1},                       // more features than one launch takes
  };
}

template <class S>
bool run(const std::string& what, Dtype dtype) {
  bool good = true;
  for (Case c : cases()) {
    c.dtype = dtype;
    if (what == "sums") {
      good &= run_sums<S>(c);
      continue;
    }
    for (size_t i = 0; i < c.tables.size(); ++i) {
      const int64_t table = static_cast<int64_t>(i);
      if (c.tables[i].width == 0 || c.count == 0) continue;
      if (what == "gradient") {
        good &= run_gradient<S>(c, table);
        continue;
      }
      for (Optimizer optimizer : {Optimizer::sgd, Optimizer::adagrad, Optimizer::rowwise_adagrad})
        for (double weight_decay : {0.0, 0.5}) good &= run_update<S>(c, table, optimizer, weight_decay);
    }
  }
  return good;
}

bool check_limits() {
  const Feature feature{{nullptr, false}, 1, 0, nullptr, 4, 8};
  const std::vector<Feature> features(kMostFeatures + 1, feature);
  const auto bags = [&](Dtype dtype, int64_t count) {
    return supports_bags({dtype, count, kNoPadding, features.data(), 1, nullptr, 8});
  };
  const auto gradient = [&](int64_t number, int64_t count, int64_t rows) {
    return supports_gradient({Dtype::f32, count, kNoPadding, features.data(), number, nullptr, 8, 8, rows, 8});
  };
  return bags(Dtype::f32, 9) && !bags(Dtype::f64, 9) && !bags(Dtype::f32, kMostBags) &&
         gradient(kMostFeatures, 9, kMostRows) && !gradient(kMostFeatures + 1, 9, 4) &&
         !gradient(1, 9, kMostRows + 1) && !gradient(2, kMostOccurrences / 2, 4);
}

}  // namespace
}  // namespace recops::embedding::cuda

int main(int argc, char** argv) {
  using namespace recops::embedding::cuda;
  using recops::Dtype;
  const std::string what = argc > 1 ? argv[1] : "", dtype = argc > 2 ? argv[2] : "f32";
  if (what != "sums" && what != "gradient" && what != "update") {
    std::fprintf(stderr, "usage: %s sums|gradient|update [f32|bf16|f16]\n", argv[0]);
    return 2;
  }
  if (!check_limits()) {
    std::printf("the limits are wrong\n");
    return 1;
  }
  const bool good = dtype == "bf16"  ? run<recops::StoredBf16>(what, Dtype::bf16)
                    : dtype == "f16" ? run<recops::StoredF16>(what, Dtype::f16)
                                     : run<float>(what, Dtype::f32);
  return good ? 0 : 1;
}
