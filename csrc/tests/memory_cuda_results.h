// Results of the drivers of CUDA memory networks, their comparison, and streams of events.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "common/launch.h"
#include "memory/cuda.h"
#include "memory/plan.h"
#include "stored.h"

namespace recops::memory::cuda {

struct Result {
  std::string name;
  std::vector<float> values;
  int64_t row_values = 0;   // values of a row of the batch; 0: not by rows
  bool is_stored = false;   // rounded to the dtype of the case
  bool is_partial = false;  // the CPU kernel leaves NaN in values that it does not write
};
using Results = std::vector<Result>;

inline std::string message;  // of the case that runs

inline bool fails(const std::string& what) {
  std::printf("%s: %s\n", message.c_str(), what.c_str());
  return false;
}

inline void check(int error) {
  if (error != cudaSuccess) throw emulation::KernelError("a launch was refused");
}

inline std::vector<float> nans(int64_t count) { return std::vector<float>(count, kNan); }

inline bool has_bits_of(const std::vector<float>& a, const std::vector<float>& b) {
  const auto equal = [](float x, float y) { return __float_as_uint(x) == __float_as_uint(y); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
}

// The results in each order of threads, which must be the same.
template <class F>
bool run_orders(const F& run, Results& results) {
  for (int i = 0; i < emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i);
    try {
      Results of_order = run();
      for (size_t r = 0; i > 0 && r < results.size(); ++r)
        if (!has_bits_of(of_order[r].values, results[r].values))
          return fails("the order of threads changes " + results[r].name);
      results = std::move(of_order);
    } catch (const emulation::KernelError& error) {
      return fails(error.what());
    }
  }
  return true;
}

// Compares results, apart from those of row `except`.
inline bool agree(Dtype dtype, const Results& actual, const Results& expected, int64_t except = -1) {
  const float step = dtype == Dtype::f32 ? 2e-5f : dtype == Dtype::bf16 ? 0x1p-7f : 0x1p-10f;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, values, row_values, is_stored, is_partial] = expected[i];
    float largest = 1;
    for (float value : values) largest = std::max(largest, std::isnan(value) ? 0.0f : std::abs(value));
    const float tolerance = (is_stored ? step : 2e-5f) * largest;
    for (size_t j = 0; j < values.size(); ++j) {
      if (except >= 0 && row_values > 0 && static_cast<int64_t>(j) / row_values == except) continue;
      const float value = actual[i].values[j];
      if (is_partial && std::isnan(values[j])) continue;
      if (!(std::abs(value - values[j]) <= tolerance))
        return fails(name + "[" + std::to_string(j) + "] is " + std::to_string(value) + " for " +
                     std::to_string(values[j]));
    }
  }
  return true;
}

// The sums of a backward pass on the CPU. `add(block, sums)` adds those of a block.
template <class F>
std::vector<float> sums_of_groups(const Plan& plan, int64_t values, const F& add) {
  std::vector<float> sums(plan.num_groups() * values);
  for (int64_t b = 0; b < plan.num_blocks(); ++b) add(plan.block(b), sums.data() + b % plan.num_groups() * values);
  RECOPS_SELECT_KERNELS().add_groups(Dtype::f32, sums.data(), plan.num_groups(), values, 0, values);
  return sums;
}

// Whether all values of a row are NaN.
inline bool is_nan(const Result& result, int64_t row) {
  const auto begin = result.values.begin() + row * result.row_values;
  return std::all_of(begin, begin + result.row_values, [](float value) { return std::isnan(value); });
}

// Events of some rows of a pool in random order, those of a row in their order, as a call receives them.
struct CallEvents {
  std::vector<int64_t> sorted_rows, order;
  std::vector<float> x;
  int64_t pool;

  // `events`: pairs of a row and its input of `width` values.
  CallEvents(const std::vector<std::pair<int64_t, std::vector<float>>>& events, int64_t pool) : pool(pool) {
    order.resize(events.size());
    std::iota(order.begin(), order.end(), int64_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t i, int64_t j) { return events[i].first < events[j].first; });
    for (int64_t i : order) sorted_rows.push_back(events[i].first);
    for (const auto& [row, input] : events) x.insert(x.end(), input.begin(), input.end());
  }

  Events events() const { return {static_cast<int64_t>(order.size()), pool, sorted_rows.data(), order.data()}; }
};

// Splits the events of a batch, inputs [rows, steps, width], into calls. Row i of the batch is row 2·i + 1 of the pool,
// whose other rows receive no events.
inline std::vector<CallEvents> stream_of(const std::vector<float>& x, const std::vector<int64_t>& lengths,
                                         int64_t steps, int64_t width, int64_t calls) {
  std::vector<std::pair<int64_t, std::vector<float>>> all;
  std::vector<int64_t> position(lengths.size()), rows;
  for (size_t i = 0; i < lengths.size(); ++i) rows.insert(rows.end(), lengths[i], static_cast<int64_t>(i));
  for (size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[next_bits() % i]);
  for (int64_t row : rows) {
    const auto begin = x.begin() + (row * steps + position[row]++) * width;
    all.emplace_back(2 * row + 1, std::vector<float>(begin, begin + width));
  }
  std::vector<CallEvents> result;
  const size_t count = all.size();
  for (int64_t c = 0; c < calls; ++c)
    result.emplace_back(std::vector(all.begin() + count * c / calls, all.begin() + count * (c + 1) / calls),
                        2 * static_cast<int64_t>(lengths.size()) + 1);
  return result;
}

}  // namespace recops::memory::cuda
