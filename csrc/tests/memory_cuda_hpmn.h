// Cases of HPMN for memory_cuda.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "memory_cuda_results.h"

namespace recops::memory::cuda {

struct HpmnCase {
  int64_t rows, steps, inputs, hidden;
  std::vector<int64_t> periods;
  bool ragged = true;
  int64_t every = 0;  // steps between checkpoints; 0: none
  Dtype dtype = Dtype::f32;

  int64_t layers() const { return static_cast<int64_t>(periods.size()); }
  int64_t width() const { return layers() * hidden; }
  int64_t checkpoints() const { return every > 0 && steps > 0 ? (steps - 1) / every : 0; }

  void describe() const {
    message = "hpmn: rows " + std::to_string(rows) + ", steps " + std::to_string(steps) + ", inputs " +
              std::to_string(inputs) + ", hidden " + std::to_string(hidden) + ", layers " + std::to_string(layers()) +
              ", every " + std::to_string(every) + ", dtype " + std::to_string(static_cast<int>(dtype));
  }
};

class HpmnProblem {
 public:
  explicit HpmnProblem(const HpmnCase& c)
      : c(c),
        x(c.dtype, random_values(c.rows * c.steps * c.inputs, 1)),
        w_hh(random_values(c.layers() * 3 * c.hidden * c.hidden, 1 / std::sqrt(static_cast<float>(c.hidden)))),
        bias(random_values(c.layers() * 3 * c.hidden, 1)),
        from(random_values(c.rows * c.width(), 1)),
        grad_to(random_values(c.rows * c.width(), 1)),
        lengths(c.rows, c.steps),
        counts(c.rows) {
    for (int64_t j = 0; j < c.layers(); ++j)
      w_ih.push_back(random_values(3 * c.hidden * (j == 0 ? c.inputs : c.hidden), 0.5f));
    for (const std::vector<float>& each : w_ih) w_ih_data.push_back(each.data());
    for (int64_t i = 0; i < c.rows; ++i) {
      counts[i] = next_bits() % 9;
      if (c.ragged) lengths[i] = next_bits() % (c.steps + 1);
      // Padding is not read.
      for (int64_t v = lengths[i] * c.inputs; v < c.steps * c.inputs; ++v) x.set(i * c.steps * c.inputs + v, kNan);
    }
  }

  Hpmn hpmn() const {
    return {c.dtype, c.inputs, c.hidden, c.layers(), c.periods.data(), w_ih_data.data(), w_hh.data(), bias.data()};
  }

  Results run_cuda() const {
    const Hpmn net = hpmn();
    const Batch batch{c.rows, c.steps, c.ragged ? lengths.data() : nullptr};
    if (!supports(net) || !supports(batch)) throw emulation::KernelError("the scan was refused");
    Buffers b(c);
    std::vector<char> workspace(hpmn_workspace_bytes(net), '\xff');
    check(hpmn_scan(net, batch, b.forward(*this), workspace.data(), nullptr));
    if (c.every > 0) {
      workspace.assign(hpmn_backward_workspace_bytes(net, batch, c.every), '\xff');
      check(hpmn_scan_backward(net, batch, b.backward(*this), b.gradients(), workspace.data(), nullptr));
    }
    return b.results(c);
  }

  Results run_cpu() const {
    const Kernels& kernels = RECOPS_SELECT_KERNELS();
    const Hpmn net = hpmn();
    std::vector<int64_t> phases;
    for (int64_t count : counts) phases.push_back(count % c.periods.back());
    const Plan plan(rows_of_batch(c.rows, c.steps, lengths.data()), {}, kernels.block_rows(c.dtype), phases.data());
    Buffers b(c);
    std::vector<char> scratch(kernels.hpmn_scratch_bytes(net, false, 0));
    for (int64_t i = 0; i < plan.num_blocks(); ++i)
      kernels.hpmn_forward(net, plan.block(i), scratch.data(), b.forward(*this));
    if (c.every > 0) {
      std::vector<char> packed(kernels.hpmn_packed_bytes(net));
      scratch.resize(kernels.hpmn_scratch_bytes(net, true, c.every));
      kernels.hpmn_pack(net, packed.data());
      const std::vector<float> sums =
          sums_of_groups(plan, kernels.hpmn_sum_values(net), [&](const Block& block, float* to) {
            kernels.hpmn_backward(net, packed.data(), block, scratch.data(), b.backward(*this), to);
          });
      kernels.hpmn_unpack(net, sums.data(), b.gradients());
      for (int64_t i = 0; i < c.rows; ++i)
        std::fill(b.grad_x.begin() + (i * c.steps + lengths[i]) * c.inputs,
                  b.grad_x.begin() + (i + 1) * c.steps * c.inputs, 0.0f);
    }
    return b.results(c);
  }

  // The memory and counts of the batch after its events were applied in several calls.
  Results run_stream() const {
    const Hpmn net = hpmn();
    const int64_t pool = 2 * c.rows + 1, width = c.width();
    std::vector<float> memory = nans(pool * width);
    std::vector<int64_t> of_pool(pool, -7);
    for (int64_t i = 0; i < c.rows; ++i) {
      std::copy_n(from.begin() + i * width, width, memory.begin() + (2 * i + 1) * width);
      of_pool[2 * i + 1] = counts[i];
    }
    for (const CallEvents& call : stream_of(x.values(), lengths, c.steps, c.inputs, 3)) {
      const Stored inputs(c.dtype, call.x);
      std::vector<char> workspace(hpmn_step_workspace_bytes(net, call.events()), '\xff');
      check(hpmn_step(net, call.events(), inputs.data(), memory.data(), of_pool.data(), workspace.data(), nullptr));
    }
    Results results{{"memory", {}}, {"counts", {}}, {"other rows", {}}};
    for (int64_t i = 0; i < pool; ++i) {
      std::vector<float>& to = results[i % 2 == 1 ? 0 : 2].values;
      to.insert(to.end(), memory.begin() + i * width, memory.begin() + (i + 1) * width);
      results[1].values.push_back(static_cast<float>(of_pool[i]));
    }
    return results;
  }

  // What run_stream() must give, according to the memory after a scan.
  Results expected_stream(const std::vector<float>& memory) const {
    Results results{{"memory", memory}, {"counts", {-7.0f}}, {"other rows", nans((c.rows + 1) * c.width())}};
    for (int64_t i = 0; i < c.rows; ++i) {
      results[1].values.push_back(static_cast<float>(counts[i] + lengths[i]));
      results[1].values.push_back(-7.0f);
    }
    return results;
  }

  HpmnCase c;
  Stored x;
  std::vector<std::vector<float>> w_ih;
  std::vector<const void*> w_ih_data;
  std::vector<float> w_hh, bias, from, grad_to;
  std::vector<int64_t> lengths, counts;

 private:
  // Outputs, full of NaN at first.
  struct Buffers {
    std::vector<float> memory, kept, grad_x, grad_from, w_hh, bias;
    std::vector<std::vector<float>> w_ih;
    std::vector<void*> w_ih_data;

    explicit Buffers(const HpmnCase& c)
        : memory(nans(c.rows * c.width())),
          kept(nans(c.checkpoints() * c.rows * c.width())),
          grad_x(nans(c.rows * c.steps * c.inputs)),
          grad_from(nans(c.rows * c.width())),
          w_hh(nans(c.layers() * 3 * c.hidden * c.hidden)),
          bias(nans(c.layers() * 3 * c.hidden)) {
      for (int64_t j = 0; j < c.layers(); ++j) w_ih.push_back(nans(3 * c.hidden * (j == 0 ? c.inputs : c.hidden)));
      for (std::vector<float>& each : w_ih) w_ih_data.push_back(each.data());
    }

    Checkpoints checkpoints(const HpmnCase& c) { return {kept.empty() ? nullptr : kept.data(), c.rows, c.every}; }
    HpmnForward forward(const HpmnProblem& p) {
      return {p.x.data(), p.from.data(), memory.data(), p.counts.data(), checkpoints(p.c)};
    }
    HpmnBackward backward(const HpmnProblem& p) {
      return {p.x.data(),       p.from.data(), p.counts.data(), checkpoints(p.c),
              p.grad_to.data(), grad_x.data(), grad_from.data()};
    }
    HpmnGradients gradients() { return {w_ih_data.data(), w_hh.data(), bias.data()}; }

    Results results(const HpmnCase& c) const {
      Results all{{"memory", memory, c.width()}, {"kept", kept, 0, false, true}};
      if (c.every == 0) return all;
      all.push_back({"grad_x", grad_x, c.steps * c.inputs});
      all.push_back({"grad_from", grad_from, c.width()});
      all.push_back({"grad_w_hh", w_hh});
      all.push_back({"grad_bias", bias});
      for (const std::vector<float>& each : w_ih) all.push_back({"grad_w_ih", each});
      return all;
    }
  };
};

inline bool run(const HpmnCase& c) {
  c.describe();
  const HpmnProblem problem(c);
  Results scan, stream;
  if (!run_orders([&] { return problem.run_cuda(); }, scan) || !agree(c.dtype, scan, problem.run_cpu())) return false;
  if (!run_orders([&] { return problem.run_stream(); }, stream)) return false;
  const Results expected = problem.expected_stream(scan[0].values);
  for (size_t i = 0; i < expected.size(); ++i)
    if (!has_bits_of(stream[i].values, expected[i].values))
      return fails("a stream differs from the scan in " + expected[i].name);
  return true;
}

// An error in the data of row 1 makes its results NaN and leaves the other rows as they are. The row adds nothing to
// the gradients of weights.
inline bool is_noticed(const char* what, const HpmnCase& c, const std::function<void(HpmnProblem&)>& damage) {
  c.describe();
  HpmnProblem problem(c), without(problem);
  damage(problem);
  Results after;
  if (!run_orders([&] { return problem.run_cuda(); }, after)) return false;
  for (const Result& result : after)
    if (result.row_values > 0 && !is_nan(result, 1))
      return fails(std::string(what) + " was not noticed in " + result.name);
  without.lengths[1] = 0;
  return agree(c.dtype, after, without.run_cpu(), 1) || fails(std::string(what) + " changed another row");
}

// Events of rows outside the pool have no effect.
inline bool ignores_other_rows(const HpmnCase& c) {
  c.describe();
  const HpmnProblem problem(c);
  const Hpmn net = problem.hpmn();
  std::vector<float> memory = problem.from;
  std::vector<int64_t> counts = problem.counts;
  const std::vector<float> input(c.inputs, 0.5f);
  const CallEvents call({{-1, input}, {c.rows, input}, {int64_t{1} << 40, input}}, c.rows);
  const Stored x(c.dtype, call.x);
  std::vector<char> workspace(hpmn_step_workspace_bytes(net, call.events()), '\xff');
  try {
    check(hpmn_step(net, call.events(), x.data(), memory.data(), counts.data(), workspace.data(), nullptr));
  } catch (const emulation::KernelError& error) {
    return fails(error.what());
  }
  return (memory == problem.from && counts == problem.counts) || fails("an event of no row has an effect");
}

inline bool run_hpmn(Dtype dtype) {
  std::vector<HpmnCase> cases{
      {1, 1, 1, 1, {1}},
      {0, 3, 2, 3, {1, 2}},
      {3, 0, 2, 3, {1, 2}},
      {9, 7, 5, 6, {1, 2, 4}, true, 2},
      {6, 9, 3, 4, {1, 3, 3, 6, 12}, false, 4},
      {3, 3, 70, 36, {1, 2}, true, 1},
      {2, 2, 128, 128, {1, 1}},  // weights outside of shared memory
      {1500, 1, 1, 1, {1}},      // many events in a stream
  };
  bool good = true;
  for (HpmnCase& c : cases) {
    c.dtype = dtype;
    good &= run(c);
  }
  // On a small card blocks have many users, and several groups of them. With little shared memory the weights stay
  // outside.
  emulation::multiprocessors = 1;
  for (const uint64_t kilobytes : {227, 16}) {
    emulation::max_shared = kilobytes << 10;
    HpmnCase c{19, 4, 16, 17, {1, 2}, true, 2};
    c.dtype = dtype;
    good &= run(c);
  }
  emulation::max_shared = 227 << 10;
  emulation::multiprocessors = 132;

  HpmnCase c{3, 4, 5, 6, {1, 2}, true, 2};
  c.dtype = dtype;
  good &= is_noticed("a negative length", c, [](HpmnProblem& p) { p.lengths[1] = -1; });
  good &= is_noticed("a length past the steps", c, [](HpmnProblem& p) { p.lengths[1] = 5; });
  good &= is_noticed("a negative count", c, [](HpmnProblem& p) { p.counts[1] = -1; });
  return good & ignores_other_rows(c);
}

}  // namespace recops::memory::cuda
