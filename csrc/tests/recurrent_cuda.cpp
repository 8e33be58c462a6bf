// Runs the CUDA kernels of recurrent scans on the host and compares them with the CPU kernel.
//
//   recurrent_cuda shapes|sizes|errors [f32|bf16|f16]
//
// `shapes` has every kind of argument in odd shapes, `sizes` every launch configuration, `errors` errors in the data.
// Each case runs in every order of threads, which must give the same bits. Exit code 1 means a difference.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "common/flush_subnormals.h"
#include "random.h"
#include "recurrent/cuda.cu"
#include "recurrent/plan.h"
#include "stored.h"

namespace recops::recurrent::cuda {
namespace {

struct Case {
  int64_t rows, steps, hidden;
  int64_t inputs = 0;   // 0: the input is the gates
  int64_t sources = 0;  // 0: one per row
  bool before = false, ragged = true;
  Mix mix = {0, 1, 0, -1};
  Keep keep = Keep::gates;
  bool has_optional = true;  // biases, first states and attention
  bool has_grad_outputs = true, has_grad_h_last = true;
  Dtype dtype = Dtype::f32;
};

struct Result {
  std::string name;
  std::vector<float> values;
  int64_t row_values;  // values of a row of the batch; 0: not by rows
};
using Results = std::vector<Result>;

std::string message;  // of the case that runs

bool fails(const std::string& what) {
  std::printf("%s: %s\n", message.c_str(), what.c_str());
  return false;
}

class Problem {
 public:
  explicit Problem(const Case& c)
      : c(c),
        sources(c.sources > 0 ? c.sources : c.rows),
        width(c.inputs > 0 ? c.inputs : 3 * c.hidden),
        input(c.dtype, random_values(sources * c.steps * width, 1)),
        grad_outputs(c.dtype, random_values(c.rows * c.steps * c.hidden, 1)),
        w_ih(random_values(3 * c.hidden * c.inputs, 0.5f)),
        w_hh(random_values(3 * c.hidden * c.hidden, 1 / std::sqrt(static_cast<float>(c.hidden)))),
        b_ih(random_values(3 * c.hidden, 1)),
        b_hh(random_values(3 * c.hidden, 1)),
        h0(random_values(c.rows * c.hidden, 1)),
        attention(random_values(c.rows * c.steps, 1)),
        grad_h_last(random_values(c.rows * c.hidden, 1)),
        lengths(sources, c.steps) {
    for (int64_t& length : lengths)
      if (c.ragged) length = next_bits() % (c.steps + 1);
    for (int64_t i = 0; c.sources > 0 && i < c.rows; ++i) index.push_back(next_bits() % c.sources);
    // Padding is not read.
    for (int64_t s = 0; s < sources; ++s)
      for (int64_t i = lengths[s] * width; i < c.steps * width; ++i) input.set(s * c.steps * width + i, kNan);
  }

  Scan scan() const {
    const auto optional = [&](const std::vector<float>& values) { return c.has_optional ? values.data() : nullptr; };
    return {c.dtype,      c.before,    c.mix,       c.steps,        c.hidden,       c.inputs > 0, c.inputs,
            input.data(), w_ih.data(), w_hh.data(), optional(b_ih), optional(b_hh), optional(h0), optional(attention)};
  }

  Results run_cuda() const {
    const Scan of_scan = scan();
    const Rows of_rows{c.rows, sources, c.ragged ? lengths.data() : nullptr, index.empty() ? nullptr : index.data()};
    if (!supports(of_scan, of_rows)) throw emulation::KernelError("the scan was refused");
    Buffers b(*this, c.before ? 3 : 4);
    std::vector<char> workspace(forward_workspace_bytes(of_scan, of_rows), '\xff');
    check(cuda::forward(of_scan, of_rows, b.forward(c.keep), workspace.data(), nullptr));

    std::vector<int64_t> order(c.rows), sorted;
    std::iota(order.begin(), order.end(), int64_t{0});
    if (!index.empty())
      std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return index[i] < index[j]; });
    for (int64_t row : order) sorted.push_back(index.empty() ? row : index[row]);
    const Backward from = b.backward(*this);
    workspace.assign(backward_workspace_bytes(of_scan, of_rows, from), '\xff');
    check(cuda::backward(of_scan, of_rows, {sorted.data(), order.data()}, from, b.parameters(*this), workspace.data(),
                         nullptr));
    return b.results(*this);
  }

  Results run_cpu() const {
    const Kernels& kernels = RECOPS_SELECT_KERNELS();
    const Plan plan(c.rows, c.steps, lengths.data(), index.empty() ? nullptr : index.data());
    const Scan of_scan = scan();
    Buffers b(*this, 4);
    std::vector<char> packed(kernels.packed_bytes(of_scan, false)), scratch(kernels.scratch_bytes(of_scan, false));
    kernels.pack(of_scan, false, packed.data());
    for (int64_t i = 0; i < plan.num_blocks(); ++i)
      kernels.forward(of_scan, packed.data(), plan.block(i), scratch.data(), b.forward(c.keep));
    packed.resize(kernels.packed_bytes(of_scan, true));
    scratch.resize(kernels.scratch_bytes(of_scan, true));
    kernels.pack(of_scan, true, packed.data());
    const Backward from = b.backward(*this);
    if (from.shared) std::fill(b.grad_input.begin(), b.grad_input.end(), 0.0f);
    const int64_t sum_values = kernels.sum_values(of_scan);
    std::vector<float> sums(plan.num_groups() * sum_values);
    for (int64_t g = 0; g < plan.num_groups(); ++g)
      for (int64_t i = plan.first_block(g); i < plan.first_block(g + 1); ++i)
        kernels.backward(of_scan, packed.data(), plan.block(i), scratch.data(), from, sums.data() + g * sum_values);
    kernels.add_groups(of_scan, sums.data(), plan.num_groups(), 0, sum_values);
    kernels.unpack(of_scan, sums.data(), b.parameters(*this));
    return b.results(*this);
  }

  Case c;
  int64_t sources, width;
  Stored input, grad_outputs;
  std::vector<float> w_ih, w_hh, b_ih, b_hh, h0, attention, grad_h_last;
  std::vector<int64_t> lengths, index;

 private:
  // Outputs of both passes, full of NaN at first.
  struct Buffers {
    Stored outputs;
    std::vector<float> h_last, kept, grad_input, grad_h0, grad_attention, grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh;

    Buffers(const Problem& p, int64_t num_gates)
        : outputs(p.c.dtype, p.c.rows * p.c.steps * p.c.hidden),
          h_last(nans(p.c.rows * p.c.hidden)),
          kept(nans(p.c.keep == Keep::nothing
                        ? 0
                        : p.c.rows * p.c.steps * p.c.hidden * (p.c.keep == Keep::gates ? num_gates : 1))),
          grad_input(nans(p.sources * p.c.steps * p.width)),
          grad_h0(nans(p.c.rows * p.c.hidden)),
          grad_attention(nans(p.c.rows * p.c.steps)),
          grad_w_ih(nans(p.w_ih.size())),
          grad_w_hh(nans(p.w_hh.size())),
          grad_b_ih(nans(3 * p.c.hidden)),
          grad_b_hh(nans(3 * p.c.hidden)) {}

    static std::vector<float> nans(int64_t count) { return std::vector<float>(count, kNan); }

    Forward forward(Keep keep) { return {keep, outputs.data(), h_last.data(), kept.data()}; }

    Backward backward(const Problem& p) {
      return {p.c.keep,
              p.c.keep == Keep::nothing ? nullptr : kept.data(),
              outputs.data(),
              p.c.has_grad_outputs ? p.grad_outputs.data() : nullptr,
              p.c.has_grad_h_last ? p.grad_h_last.data() : nullptr,
              !p.index.empty(),
              grad_input.data(),
              grad_h0.data(),
              p.c.has_optional ? grad_attention.data() : nullptr};
    }

    ParameterGradients parameters(const Problem& p) {
      const bool projected = p.c.inputs > 0;
      return {projected ? grad_w_ih.data() : nullptr, grad_w_hh.data(), projected ? grad_b_ih.data() : nullptr,
              grad_b_hh.data()};
    }

    Results results(const Problem& p) const {
      const Case& c = p.c;
      Results all{{"outputs", outputs.values(), c.steps * c.hidden},
                  {"h_last", h_last, c.hidden},
                  {"grad_input", grad_input, p.index.empty() ? c.steps * p.width : 0},
                  {"grad_h0", grad_h0, c.hidden},
                  {"grad_w_hh", grad_w_hh, 0},
                  {"grad_b_hh", grad_b_hh, 0}};
      if (c.has_optional) all.push_back({"grad_attention", grad_attention, c.steps});
      if (c.inputs > 0) {
        all.push_back({"grad_w_ih", grad_w_ih, 0});
        all.push_back({"grad_b_ih", grad_b_ih, 0});
      }
      return all;
    }
  };

  static void check(int error) {
    if (error != cudaSuccess) throw emulation::KernelError("a launch was refused");
  }
};

bool has_bits_of(const Results& a, const Results& b) {
  const auto equal = [](float x, float y) { return __float_as_uint(x) == __float_as_uint(y); };
  for (size_t i = 0; i < a.size(); ++i)
    if (!std::equal(a[i].values.begin(), a[i].values.end(), b[i].values.begin(), equal)) return false;
  return true;
}

// The results in each order of threads, which must be the same.
bool run_orders(const Problem& problem, Results& results) {
  for (int i = 0; i < emulation::Order::kCount; ++i) {
    emulation::order = emulation::Order::number(i);
    try {
      Results of_order = problem.run_cuda();
      if (i > 0 && !has_bits_of(of_order, results)) return fails("the order of threads changes the result");
      results = std::move(of_order);
    } catch (const emulation::KernelError& error) {
      return fails(error.what());
    }
  }
  return true;
}

// Compares results, apart from those of row `except`.
bool agree(const Case& c, const Results& actual, const Results& expected, int64_t except = -1) {
  const float step = c.dtype == Dtype::f32 ? 2e-5f : c.dtype == Dtype::bf16 ? 0x1p-7f : 0x1p-10f;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, values, row_values] = expected[i];
    float largest = 1;
    for (float value : values) largest = std::max(largest, std::abs(value));
    const float tolerance = (name == "outputs" ? step : 2e-5f) * largest;
    for (size_t j = 0; j < values.size(); ++j) {
      if (except >= 0 && row_values > 0 && static_cast<int64_t>(j) / row_values == except) continue;
      const float value = actual[i].values[j];
      if (!(std::abs(value - values[j]) <= tolerance))
        return fails(name + "[" + std::to_string(j) + "] is " + std::to_string(value) + " for " +
                     std::to_string(values[j]));
    }
  }
  return true;
}

void describe(const Case& c) {
  message = "rows " + std::to_string(c.rows) + ", steps " + std::to_string(c.steps) + ", hidden " +
            std::to_string(c.hidden) + ", inputs " + std::to_string(c.inputs) + ", sources " +
            std::to_string(c.sources) + (c.before ? ", before" : ", after") + ", keep " +
            std::to_string(static_cast<int>(c.keep)) + ", dtype " + std::to_string(static_cast<int>(c.dtype));
}

bool run(Case c) {
  if (c.dtype != Dtype::f32) c.keep = Keep::states;
  describe(c);
  const Problem problem(c);
  Results gpu;
  return run_orders(problem, gpu) && agree(c, gpu, problem.run_cpu());
}

constexpr Mix kGru{1, 0, -1, 0}, kAgru{0, 1, 0, 0}, kPaper{0, 1, 0, -1}, kOr{1, 0, -1, 1};

// Odd shapes with every kind of argument.
bool run_shapes(Dtype dtype) {
  std::vector<Case> cases{
      {1, 1, 1},
      {0, 3, 5},
      {3, 0, 5},
      {9, 4, 7},
      {9, 4, 7, 5},
      {11, 3, 33, 0, 4},
      {21, 5, 20, 70, 0, true},
      {10, 3, 34, 0, 3, true, false, kOr},
      {5, 6, 9, 0, 0, true, true, kGru, Keep::nothing},
      {5, 6, 9, 3, 0, false, true, kAgru, Keep::nothing},
      {12, 6, 9, 0, 5, false, true, kOr, Keep::nothing, true, true, false},
      {9, 6, 10, 0, 0, false, true, kGru, Keep::gates, false, false, true},
      {9, 6, 10, 4, 0, true, true, kGru, Keep::nothing, false, true, false},
  };
  bool good = true;
  for (Case c : cases) {
    c.dtype = dtype;
    good &= run(c);
  }
  return good;
}

// Every launch configuration: one to eight rows per thread, weights in shared memory and outside, several tiles of
// weight gradients and several groups of rows.
bool run_sizes(Dtype dtype) {
  std::vector<Case> cases{
      {3, 2, 32},
      {3, 2, 64, 66},
      {9, 2, 100, 0, 0, true},
      {9, 2, 128, 0, 0, false, true, kPaper, Keep::nothing},
      {9, 1, 128},  // a single step does not copy the weights
      {3, 2, 129, 0, 0, true, true, kPaper, Keep::nothing},
      {9, 2, 256},
      {140, 2, 3},
  };
  bool good = true;
  for (Case c : cases) {
    c.dtype = dtype;
    good &= run(c);
  }
  // On a card with less shared memory, the weights stay outside of it.
  emulation::max_shared = 163 << 10;
  for (const bool before : {false, true}) {
    Case c{9, 2, 128, 0, 0, before};
    c.dtype = dtype;
    good &= run(c);
  }
  emulation::max_shared = 227 << 10;
  return good;
}

// An error in the data of row 1 makes its results NaN and leaves the other rows as they are.
bool is_noticed(const char* what, Case c, const std::function<void(Problem&)>& damage) {
  if (c.dtype != Dtype::f32) c.keep = Keep::states;
  describe(c);
  Problem problem(c);
  Results after;
  damage(problem);
  if (!run_orders(problem, after)) return false;
  for (const auto& [name, values, row_values] : after) {
    if (row_values == 0) continue;
    for (int64_t i = row_values; i < 2 * row_values; ++i)
      if (values[i] == values[i]) return fails(std::string(what) + " was not noticed in " + name);
  }
  // Row 1 adds nothing to the other gradients.
  if (!problem.index.empty()) problem.index[1] = 1;
  problem.lengths[1] = 0;
  return agree(c, after, problem.run_cpu(), 1) || fails(std::string(what) + " changed another row");
}

bool run_errors(Dtype dtype) {
  bool good = true;
  for (const bool before : {false, true}) {
    Case c{3, 4, 6, 0, 0, before};
    c.dtype = dtype;
    good &= is_noticed("a negative length", c, [](Problem& p) { p.lengths[1] = -1; });
    good &= is_noticed("a length past the steps", c, [](Problem& p) { p.lengths[1] = 5; });
    c.inputs = 2;
    good &= is_noticed("a wrong length of a layer", c, [](Problem& p) { p.lengths[1] = int64_t{1} << 33; });
    c.inputs = 0;
    c.sources = 4;
    const auto with_source = [](int64_t source) { return [source](Problem& p) { p.index = {2, source, 0}; }; };
    good &= is_noticed("a source past the gates", c, with_source(4));
    good &= is_noticed("a negative source", c, with_source(-1));
  }
  return good;
}

}  // namespace
}  // namespace recops::recurrent::cuda

int main(int argc, char** argv) {
  using namespace recops::recurrent::cuda;
  const std::string what = argc > 1 ? argv[1] : "", dtype = argc > 2 ? argv[2] : "f32";
  const recops::Dtype type = dtype == "bf16"  ? recops::Dtype::bf16
                             : dtype == "f16" ? recops::Dtype::f16
                                              : recops::Dtype::f32;
  recops::set_flush_subnormals(true);  // as nvcc compiles the kernels
  if (what == "shapes") return run_shapes(type) ? 0 : 1;
  if (what == "sizes") return run_sizes(type) ? 0 : 1;
  if (what == "errors") return run_errors(type) ? 0 : 1;
  std::fprintf(stderr, "usage: %s shapes|sizes|errors [f32|bf16|f16]\n", argv[0]);
  return 2;
}
