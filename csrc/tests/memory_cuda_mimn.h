// Cases of MIMN for memory_cuda.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "memory_cuda_results.h"

namespace recops::memory::cuda {

struct MimnCase {
  int64_t rows, steps, inputs, hidden, slots;
  Utilization utilization = Utilization::code;
  int64_t topk = 1;
  bool has_keys = true, ragged = true;
  int64_t every = 0;  // steps between checkpoints; 0: none
  Dtype dtype = Dtype::f32;
  bool clips = false;  // head values and outputs are clipped

  int64_t heads() const { return 4 * inputs + 6; }
  int64_t checkpoints() const { return every > 0 && steps > 0 ? (steps - 1) / every : 0; }
  int64_t checkpoint_values() const { return hidden + inputs + 2 * slots * inputs + slots; }

  void describe() const {
    message = "mimn: rows " + std::to_string(rows) + ", steps " + std::to_string(steps) + ", inputs " +
              std::to_string(inputs) + ", hidden " + std::to_string(hidden) + ", slots " + std::to_string(slots) +
              ", utilization " + std::to_string(static_cast<int>(utilization)) + ", topk " + std::to_string(topk) +
              (has_keys ? ", keys" : "") + ", every " + std::to_string(every) + ", dtype " +
              std::to_string(static_cast<int>(dtype));
  }
};

// The fields of a state, one row per user, in the order of MimnRows.
struct MimnFields {
  static constexpr std::array<const char*, 7> kNames{"hidden", "read",     "memory", "usage",
                                                     "added",  "channels", "pooled"};

  std::array<int64_t, 7> widths;
  std::array<std::vector<float>, 7> of;

  MimnFields(const MimnCase& c, int64_t rows, float scale)
      : widths{c.hidden, c.inputs, c.slots * c.inputs, c.slots, c.inputs, c.slots * c.inputs, c.inputs} {
    for (int f = 0; f < 7; ++f) of[f] = scale > 0 ? random_values(rows * widths[f], scale) : nans(rows * widths[f]);
    if (scale > 0)
      for (float& usage : of[3]) usage = std::abs(usage);
  }

  MimnRows rows() {
    return {of[0].data(), of[1].data(), of[2].data(), of[3].data(), of[4].data(), of[5].data(), of[6].data()};
  }
  MimnRows rows() const { return const_cast<MimnFields*>(this)->rows(); }

  Results results() const {
    Results results;
    for (int f = 0; f < 7; ++f) results.push_back({kNames[f], of[f], widths[f]});
    return results;
  }
};

class MimnProblem {
 public:
  explicit MimnProblem(const MimnCase& c)
      : c(c),
        x(c.dtype, random_values(c.rows * c.steps * c.inputs, 1)),
        grad_outputs(c.dtype, random_values(c.rows * c.steps * c.hidden, 1)),
        from(c, c.rows, 0.5f),
        grad_to(c, c.rows, 1),
        grad_weights(random_values(c.rows * c.slots, 1)),
        lengths(c.rows, c.steps) {
    const int64_t d = c.inputs, h = c.hidden, m = c.slots;
    for (int64_t count : {3 * h * 2 * d, 3 * h * h, 3 * h, c.heads() * (h + m), c.heads(), m * m, 3 * d * 2 * d,
                          3 * d * d, 3 * d, h * (h + d), h, m * d})
      weights.push_back(random_values(count, 0.3f));
    if (c.clips)
      for (int bias : {4, 10}) weights[bias] = random_values(static_cast<int64_t>(weights[bias].size()), 30);
    for (int64_t i = 0; i < c.rows; ++i) {
      if (c.ragged) lengths[i] = next_bits() % (c.steps + 1);
      // Padding is not read.
      for (int64_t v = lengths[i] * d; v < c.steps * d; ++v) x.set(i * c.steps * d + v, kNan);
    }
  }

  Mimn mimn() const {
    const auto at = [&](int i) { return weights[i].data(); };
    return {c.dtype,
            c.inputs,
            c.hidden,
            c.slots,
            c.utilization,
            std::min(c.topk, c.slots),
            {at(0), at(1), at(2)},
            at(3),
            at(4),
            c.has_keys ? at(11) : nullptr,
            at(5),
            {at(6), at(7), at(8)},
            at(9),
            at(10),
            3.0};
  }

  Results run_cuda() const {
    const Mimn net = mimn();
    const Batch batch{c.rows, c.steps, c.ragged ? lengths.data() : nullptr};
    if (!supports(net) || !supports(batch)) throw emulation::KernelError("the scan was refused");
    Buffers b(c, c.rows, c.steps);
    std::vector<char> workspace(mimn_workspace_bytes(net), '\xff');
    check(mimn_scan(net, batch, b.forward(*this), workspace.data(), nullptr));
    if (c.every > 0) {
      if (!supports_backward(net)) throw emulation::KernelError("the backward pass was refused");
      workspace.assign(mimn_backward_workspace_bytes(net, batch, c.every), '\xff');
      check(mimn_scan_backward(net, batch, b.backward(*this), b.gradients(c), workspace.data(), nullptr));
    }
    return b.results(c);
  }

  Results run_cpu() const {
    const Plan plan(rows_of_batch(c.rows, c.steps, lengths.data()), {}, RECOPS_SELECT_KERNELS().block_rows(c.dtype));
    Buffers b(c, c.rows, c.steps);
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t v = lengths[i] * c.hidden; v < c.steps * c.hidden; ++v) b.outputs.set(i * c.steps * c.hidden + v, 0);
    run_cpu(plan, b.forward(*this));
    if (c.every > 0) {
      const Kernels& kernels = RECOPS_SELECT_KERNELS();
      const Mimn net = mimn();
      std::vector<char> packed(kernels.mimn_packed_bytes(net, true)),
          scratch(kernels.mimn_scratch_bytes(net, true, c.every));
      kernels.mimn_pack(net, true, packed.data());
      const std::vector<float> sums =
          sums_of_groups(plan, kernels.mimn_sum_values(net), [&](const Block& block, float* to) {
            kernels.mimn_backward(net, packed.data(), block, scratch.data(), b.backward(*this), to);
          });
      kernels.mimn_unpack(net, packed.data(), sums.data(), b.gradients(c));
      for (int64_t i = 0; i < c.rows; ++i)
        std::fill(b.grad_x.begin() + (i * c.steps + lengths[i]) * c.inputs,
                  b.grad_x.begin() + (i + 1) * c.steps * c.inputs, 0.0f);
    }
    b.kept = by_rows(b.kept);
    return b.results(c);
  }

  // The first input of every row of the batch reads the row `rows[i]` of the states.
  Results read_cuda(const std::vector<int64_t>& rows) const {
    const Mimn net = mimn();
    const Candidates candidates{static_cast<int64_t>(rows.size()), c.rows, rows.data()};
    Buffers b(c, candidates.count, 1);
    std::vector<char> workspace(mimn_workspace_bytes(net), '\xff');
    check(mimn_read(net, candidates, b.read(*this), workspace.data(), nullptr));
    return b.results_of_read(c);
  }

  Results read_cpu(const std::vector<int64_t>& rows) const {
    std::vector<Row> reads;
    for (int64_t row : rows) reads.push_back({row, static_cast<int64_t>(reads.size()), 1, 0});
    for (size_t i = 0; i < reads.size(); ++i) reads[i].first = static_cast<int64_t>(i);
    Buffers b(c, static_cast<int64_t>(rows.size()), 1);
    run_cpu(Plan(reads, {}, RECOPS_SELECT_KERNELS().block_rows(c.dtype)), b.read(*this));
    return b.results_of_read(c);
  }

  // The states and counts of the batch after its events were applied in several calls.
  Results run_stream() const {
    const Mimn net = mimn();
    const int64_t pool = 2 * c.rows + 1;
    MimnFields states(c, pool, 0);
    std::vector<int64_t> counts(pool, 5);
    for (int f = 0; f < 7; ++f)
      for (int64_t i = 0; i < c.rows; ++i)
        std::copy_n(from.of[f].begin() + i * from.widths[f], from.widths[f],
                    states.of[f].begin() + (2 * i + 1) * from.widths[f]);
    for (const CallEvents& call : stream_of(x.values(), lengths, c.steps, c.inputs, 3)) {
      const Stored inputs(c.dtype, call.x);
      std::vector<char> workspace(mimn_step_workspace_bytes(net, call.events()), '\xff');
      check(mimn_step(net, call.events(), inputs.data(), states.rows(), counts.data(), workspace.data(), nullptr));
    }
    Results results{{"counts", {}}, {"other rows", {}}};
    for (int64_t i = 0; i < pool; ++i) results[0].values.push_back(static_cast<float>(counts[i]));
    for (int f = 0; f < 7; ++f) {
      Result of_field{MimnFields::kNames[f], {}};
      for (int64_t i = 0; i < pool; ++i) {
        std::vector<float>& to = i % 2 == 1 ? of_field.values : results[1].values;
        const auto begin = states.of[f].begin() + i * states.widths[f];
        to.insert(to.end(), begin, begin + states.widths[f]);
      }
      results.push_back(of_field);
    }
    return results;
  }

  MimnCase c;
  Stored x, grad_outputs;
  MimnFields from, grad_to;
  std::vector<float> grad_weights;
  std::vector<int64_t> lengths;
  std::vector<std::vector<float>> weights;

 private:
  // Outputs, full of NaN at first.
  struct Buffers {
    Stored outputs;
    MimnFields to, grad_from;
    std::vector<float> read_weights, kept, grad_x;
    std::vector<std::vector<float>> grad_params;

    Buffers(const MimnCase& c, int64_t rows, int64_t steps)
        : outputs(c.dtype, rows * steps * c.hidden),
          to(c, rows, 0),
          grad_from(c, rows, 0),
          read_weights(nans(rows * c.slots)),
          kept(nans(c.checkpoints() * rows * c.checkpoint_values())),
          grad_x(nans(rows * steps * c.inputs)) {
      const int64_t d = c.inputs, h = c.hidden, m = c.slots;
      for (int64_t count : {3 * h * 2 * d, 3 * h * h, 3 * h, c.heads() * (h + m), c.heads(), m * m, 3 * d * 2 * d,
                            3 * d * d, 3 * d, h * (h + d), h, m * d})
        grad_params.push_back(nans(count));
    }

    Checkpoints checkpoints(const MimnCase& c) { return {kept.empty() ? nullptr : kept.data(), c.rows, c.every}; }
    MimnBackward backward(const MimnProblem& p) {
      MimnRows from = grad_from.rows();
      from.added = from.pooled = nullptr;
      return {p.x.data(),
              p.from.rows(),
              checkpoints(p.c),
              p.grad_outputs.data(),
              p.grad_weights.data(),
              p.grad_to.rows(),
              grad_x.data(),
              from};
    }
    MimnGradients gradients(const MimnCase& c) {
      const auto at = [&](int i) { return grad_params[i].data(); };
      return {{at(0), at(1), at(2)}, at(3), at(4), c.has_keys ? at(11) : nullptr, at(5),
              {at(6), at(7), at(8)}, at(9), at(10)};
    }

    MimnForward forward(const MimnProblem& p) {
      return {p.x.data(),     p.from.rows(),       to.rows(),
              outputs.data(), read_weights.data(), {kept.empty() ? nullptr : kept.data(), p.c.rows, p.c.every}};
    }
    MimnForward read(const MimnProblem& p) {
      MimnRows channels{};
      channels.channels = to.of[5].data();
      return {p.x.data(), p.from.rows(), channels, outputs.data(), read_weights.data(), {nullptr, 0, 0}};
    }

    Results results(const MimnCase& c) const {
      Results all = to.results();
      all.push_back({"outputs", outputs.values(), c.steps * c.hidden, true});
      all.push_back({"read_weights", read_weights, c.slots});
      all.push_back({"kept", kept, 0, false, true});
      if (c.every == 0) return all;
      all.push_back({"grad_x", grad_x, c.steps * c.inputs});
      for (int f : {0, 1, 2, 3, 5})
        all.push_back({std::string("grad of ") + MimnFields::kNames[f], grad_from.of[f], grad_from.widths[f]});
      for (int i = 0; i < 11 + c.has_keys; ++i)
        all.push_back({"grad of parameter " + std::to_string(i), grad_params[i]});
      return all;
    }
    Results results_of_read(const MimnCase& c) const {
      return {{"outputs", outputs.values(), c.hidden, true},
              {"read_weights", read_weights, c.slots},
              {"channels", to.of[5], to.widths[5]}};
    }
  };

  // Converts checkpoints to the layout of the CUDA kernels.
  std::vector<float> by_rows(const std::vector<float>& kept) const {
    const int64_t values = c.checkpoint_values(), slots = c.slots * c.inputs;
    std::vector<float> result(kept.size());
    int64_t from = 0;
    for (int64_t number = 0; number < c.checkpoints(); ++number) {
      int64_t column = 0;
      for (int64_t width : {c.hidden, c.inputs, slots, c.slots, slots}) {
        for (int64_t i = 0; i < c.rows * width; ++i)
          result[(number * c.rows + i / width) * values + column + i % width] = kept[from++];
        column += width;
      }
    }
    return result;
  }

  void run_cpu(const Plan& plan, const MimnForward& with) const {
    const Kernels& kernels = RECOPS_SELECT_KERNELS();
    const Mimn net = mimn();
    std::vector<char> packed(kernels.mimn_packed_bytes(net, false)), scratch(kernels.mimn_scratch_bytes(net, false, 0));
    kernels.mimn_pack(net, false, packed.data());
    for (int64_t i = 0; i < plan.num_blocks(); ++i)
      kernels.mimn_forward(net, packed.data(), plan.block(i), scratch.data(), with);
  }
};

inline bool run_read(const MimnProblem& problem) {
  const MimnCase& c = problem.c;
  if (c.rows == 0 || c.steps == 0 || c.ragged) return true;  // candidates are the first inputs of the batch
  std::vector<int64_t> rows(c.rows);
  for (int64_t& row : rows) row = next_bits() % c.rows;
  Results read;
  if (!run_orders([&] { return problem.read_cuda(rows); }, read)) return false;
  return agree(c.dtype, read, problem.read_cpu(rows)) || fails("a read differs");
}

inline bool run(const MimnCase& c) {
  c.describe();
  const MimnProblem problem(c);
  Results scan, stream;
  if (!run_orders([&] { return problem.run_cuda(); }, scan) || !agree(c.dtype, scan, problem.run_cpu())) return false;
  if (!run_orders([&] { return problem.run_stream(); }, stream)) return false;
  for (int f = 0; f < 7; ++f)
    if (!has_bits_of(stream[f + 2].values, scan[f].values))
      return fails("a stream differs from the scan in " + scan[f].name);
  for (int64_t i = 0; i < 2 * c.rows + 1; ++i)
    if (stream[0].values[i] != static_cast<float>(5 + (i % 2 == 1 ? problem.lengths[i / 2] : 0)))
      return fails("a stream counts wrong");
  for (float value : stream[1].values)
    if (!std::isnan(value)) return fails("a stream changes another row");
  return run_read(problem);
}

// An error in the data of row 1 makes its results NaN and leaves the other rows as they are. The row adds nothing to
// the gradients of weights.
inline bool is_noticed(const char* what, const MimnCase& c, const std::function<void(MimnProblem&)>& damage) {
  c.describe();
  MimnProblem problem(c), without(problem);
  damage(problem);
  Results after;
  if (!run_orders([&] { return problem.run_cuda(); }, after)) return false;
  for (const Result& result : after)
    if (result.row_values > 0 && !is_nan(result, 1))
      return fails(std::string(what) + " was not noticed in " + result.name);
  without.lengths[1] = 0;
  return agree(c.dtype, after, without.run_cpu(), 1) || fails(std::string(what) + " changed another row");
}

// A read of a row outside the pool is NaN, and events of such rows have no effect.
inline bool notices_other_rows(MimnCase c) {
  c.ragged = false;
  c.describe();
  const MimnProblem problem(c);
  Results read;
  if (!run_orders([&] { return problem.read_cuda({2, c.rows, 0}); }, read)) return false;
  const Results expected = problem.read_cpu({2, 0, 0});
  for (const Result& result : read)
    if (!is_nan(result, 1)) return fails("a read of no row was not noticed in " + result.name);
  if (!agree(c.dtype, read, expected, 1)) return fails("a read of no row changed another");
  MimnFields states = problem.from;
  std::vector<int64_t> counts(c.rows, 3);
  const std::vector<float> input(c.inputs, 0.5f);
  const CallEvents call({{-1, input}, {c.rows, input}, {int64_t{1} << 40, input}}, c.rows);
  const Stored x(c.dtype, call.x);
  std::vector<char> workspace(mimn_step_workspace_bytes(problem.mimn(), call.events()), '\xff');
  try {
    check(mimn_step(problem.mimn(), call.events(), x.data(), states.rows(), counts.data(), workspace.data(), nullptr));
  } catch (const emulation::KernelError& error) {
    return fails(error.what());
  }
  return (states.of == problem.from.of && counts == std::vector<int64_t>(c.rows, 3)) ||
         fails("an event of no row has an effect");
}

inline bool run_mimn(Dtype dtype) {
  constexpr Utilization kNone = Utilization::none, kPaper = Utilization::paper, kCode = Utilization::code;
  std::vector<MimnCase> cases{
      {1, 1, 1, 1, 1, kNone, 1},
      {0, 3, 2, 3, 2},
      {3, 0, 2, 3, 2},
      {9, 5, 5, 6, 3, kCode, 2, true, true, 2},
      {5, 6, 6, 5, 4, kPaper, 1, false, false, 4},
      {5, 4, 3, 4, 2, kNone, 5, true, true, 1},
      {4, 2, 6, 8, 3, kCode, 1, true, false, 2, Dtype::f32, true},
      {3, 3, 34, 9, 32, kCode, 0, false, false, 3},
      {2, 2, 100, 20, 6, kPaper, 2, true, false, 1},  // weights outside of shared memory
  };
  bool good = true;
  for (MimnCase& c : cases) {
    c.dtype = dtype;
    good &= run(c);
  }
  // On a small card blocks have many users, and several groups of them. With little shared memory the weights stay
  // outside.
  emulation::multiprocessors = 1;
  for (const uint64_t kilobytes : {227, 24}) {
    emulation::max_shared = kilobytes << 10;
    for (MimnCase c :
         {MimnCase{19, 3, 8, 8, 2, kCode, 1, true, true, 1}, MimnCase{17, 2, 3, 5, 5, kPaper, 2, true, false}}) {
      c.dtype = dtype;
      good &= run(c);
    }
  }
  emulation::max_shared = 227 << 10;
  emulation::multiprocessors = 132;

  MimnCase c{3, 4, 5, 6, 3, kCode, 1, true, true, 2};
  c.dtype = dtype;
  good &= is_noticed("a negative length", c, [](MimnProblem& p) { p.lengths[1] = -1; });
  good &= is_noticed("a length past the steps", c, [](MimnProblem& p) { p.lengths[1] = 5; });
  return good & notices_other_rows(c);
}

}  // namespace recops::memory::cuda
