// Runs the memory network kernels without torch and Python, for sanitizers and callgrind.
//
//   memory mimn|hpmn forward|backward|stream ROWS STEPS INPUTS HIDDEN SLOTS [none|paper|code] [TOPK] [full|ragged]
//   [f32|bf16|f16|f64]
//
// HPMN's periods double from slot to slot; it ignores the utilization and TOPK. `stream` updates the states in place.
// The data is the same in every run. Outputs are filled with NaN and surrounded by guard values first. Exit code 1
// means an unwritten output or an overwritten guard value. Checksums on stdout allow comparison between runs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "memory/kernel.h"
#include "memory/plan.h"
#include "output.h"
#include "random.h"

namespace recops::memory {
namespace {

// Random values in [-scale, scale), 16-bit types as their bits. bf16 keeps the upper half of a float; f16 values use
// the same range.
template <class S>
std::vector<S> random_values(int64_t count, float scale, Dtype dtype = Dtype::f32) {
  std::vector<S> values;
  for (int64_t i = 0; i < count; ++i) {
    const float value = scale * static_cast<float>(static_cast<int32_t>(next_bits())) / static_cast<float>(1u << 31);
    if constexpr (sizeof(S) == 2) {
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      const uint32_t exponent = (bits >> 23 & 0xff) < 113 ? 0 : (bits >> 23 & 0xff) - 112;
      values.push_back(static_cast<S>(
          dtype == Dtype::bf16 ? bits >> 16 : (bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3ff)));
    } else {
      values.push_back(static_cast<S>(value));
    }
  }
  return values;
}

struct Arguments {
  std::string pass;
  int64_t rows, steps, inputs, hidden, slots, topk;
  Utilization utilization;
  bool ragged;
  Dtype dtype;
};

constexpr int64_t kEvery = 3;

std::vector<Row> rows_of(const Arguments& with) {
  std::vector<int64_t> lengths(with.rows, with.steps);
  for (int64_t i = 0; with.ragged && i < with.rows; ++i) lengths[i] = next_bits() % (with.steps + 1);
  return rows_of_batch(with.rows, with.steps, lengths.data());
}

// Checks the part of an output that rows write; a scan leaves values past a row's length to the op.
template <class S>
bool written(const std::vector<Row>& rows, int64_t steps, int64_t width, Output<S>& output, const char* name) {
  for (const Row& row : rows)
    std::fill(output.data() + (row.first + row.length) * width, output.data() + (row.first + steps) * width, S{0});
  return output.report(name);
}

template <class F>
std::vector<char> sum_groups(const Plan& plan, int64_t values, int64_t value_bytes, const F& add) {
  std::vector<char> sums(plan.num_groups() * values * value_bytes);
  for (int64_t b = 0; b < plan.num_blocks(); ++b)
    add(plan.block(b), sums.data() + b % plan.num_groups() * values * value_bytes);
  return sums;
}

// S is the storage type of inputs and outputs (uint16_t for 16-bit floats), T the compute type.
template <class S, class T>
bool run_mimn(const Arguments& with) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const int64_t d = with.inputs, h = with.hidden, m = with.slots, n = with.rows, heads = 4 * d + 6;
  std::vector<std::vector<T>> held;
  const auto weights = [&](int64_t count) {
    held.push_back(random_values<T>(count, 0.3f));
    return held.back().data();
  };
  const Mimn mimn{with.dtype,
                  d,
                  h,
                  m,
                  with.utilization,
                  std::min(with.topk, m),
                  {weights(3 * h * 2 * d), weights(3 * h * h), weights(3 * h)},
                  weights(heads * (h + m)),
                  weights(heads),
                  weights(m * d),
                  weights(m * m),
                  {weights(3 * d * 2 * d), weights(3 * d * d), weights(3 * d)},
                  weights(h * (h + d)),
                  weights(h),
                  100};
  const std::vector<S> x = random_values<S>(n * with.steps * d, 1, with.dtype);
  const std::vector<Row> rows = rows_of(with);
  const Plan plan(rows, {}, kernels.block_rows(with.dtype));
  const auto state = [&] {
    return MimnRows{weights(n * h), weights(n * d),     weights(n * m * d), weights(n * m),
                    weights(n * d), weights(n * m * d), weights(n * d)};
  };
  MimnRows from = state();
  const bool stream = with.pass == "stream";
  Output<T> hidden(n * h), read(n * d), memory(n * m * d), usage(n * m), added(n * d), channels(n * m * d),
      pooled(n * d), read_weights(n * m);
  Output<S> outputs(n * with.steps * h);
  const int64_t checkpoints = with.steps > 0 ? (with.steps - 1) / kEvery : 0;
  std::vector<T> kept(checkpoints * n * (h + d + 2 * m * d + m));
  const MimnRows to = stream ? from : MimnRows{hidden.data(), read.data(),     memory.data(), usage.data(),
                                               added.data(),  channels.data(), pooled.data()};
  std::vector<char> packed(kernels.mimn_packed_bytes(mimn, false)), scratch(kernels.mimn_scratch_bytes(mimn, false, 0));
  kernels.mimn_pack(mimn, false, packed.data());
  for (int64_t b = 0; b < plan.num_blocks(); ++b)
    kernels.mimn_forward(mimn, packed.data(), plan.block(b), scratch.data(),
                         {x.data(),
                          from,
                          to,
                          stream ? nullptr : outputs.data(),
                          stream ? nullptr : read_weights.data(),
                          {stream ? nullptr : kept.data(), n, kEvery}});
  if (stream) return true;
  bool intact = written(rows, with.steps, h, outputs, "outputs") & hidden.report("hidden") & read.report("read") &
                memory.report("memory") & usage.report("usage") & added.report("added") & channels.report("channels") &
                pooled.report("pooled") & read_weights.report("read_weights");
  if (with.pass == "forward") return intact;

  const std::vector<S> grad_outputs = random_values<S>(n * with.steps * h, 1, with.dtype);
  Output<T> grad_x(n * with.steps * d), grad_hidden(n * h), grad_read(n * d), grad_memory(n * m * d), grad_usage(n * m),
      grad_channels(n * m * d);
  const MimnBackward back{x.data(),
                          from,
                          {kept.data(), n, kEvery},
                          grad_outputs.data(),
                          weights(n * m),
                          state(),
                          grad_x.data(),
                          {grad_hidden.data(), grad_read.data(), grad_memory.data(), grad_usage.data(), nullptr,
                           grad_channels.data(), nullptr}};
  packed.resize(kernels.mimn_packed_bytes(mimn, true));
  scratch.resize(kernels.mimn_scratch_bytes(mimn, true, kEvery));
  kernels.mimn_pack(mimn, true, packed.data());
  const int64_t values = kernels.mimn_sum_values(mimn);
  std::vector<char> sums = sum_groups(plan, values, sizeof(T), [&](const Block& block, void* of_group) {
    kernels.mimn_backward(mimn, packed.data(), block, scratch.data(), back, of_group);
  });
  kernels.add_groups(with.dtype, sums.data(), plan.num_groups(), values, 0, values);
  Output<T> w_ih(3 * h * 2 * d), w_hh(3 * h * h), bias(3 * h), head_w(heads * (h + m)), head_b(heads), keys(m * d),
      usage_w(m * m), unit_ih(3 * d * 2 * d), unit_hh(3 * d * d), unit_bias(3 * d), out_w(h * (h + d)), out_b(h);
  kernels.mimn_unpack(mimn, packed.data(), sums.data(),
                      {{w_ih.data(), w_hh.data(), bias.data()},
                       head_w.data(),
                       head_b.data(),
                       keys.data(),
                       usage_w.data(),
                       {unit_ih.data(), unit_hh.data(), unit_bias.data()},
                       out_w.data(),
                       out_b.data()});
  intact &= written(rows, with.steps, d, grad_x, "grad_x");
  const std::pair<const char*, const Output<T>*> results[] = {{"grad_hidden", &grad_hidden},
                                                              {"grad_read", &grad_read},
                                                              {"grad_memory", &grad_memory},
                                                              {"grad_usage", &grad_usage},
                                                              {"grad_channels", &grad_channels},
                                                              {"controller_w_ih", &w_ih},
                                                              {"controller_w_hh", &w_hh},
                                                              {"controller_bias", &bias},
                                                              {"head_w", &head_w},
                                                              {"head_b", &head_b},
                                                              {"key_memory", &keys},
                                                              {"usage_w", &usage_w},
                                                              {"induction_w_ih", &unit_ih},
                                                              {"induction_w_hh", &unit_hh},
                                                              {"induction_bias", &unit_bias},
                                                              {"out_w", &out_w},
                                                              {"out_b", &out_b}};
  for (const auto& [name, output] : results) intact &= output->report(name);
  return intact;
}

template <class S, class T>
bool run_hpmn(const Arguments& with) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const int64_t h = with.hidden, m = with.slots, n = with.rows;
  std::vector<int64_t> periods, counts(n, with.pass == "stream" ? 3 : 0);
  std::vector<std::vector<T>> held;
  std::vector<const void*> w_ih;
  const auto weights = [&](int64_t count) {
    held.push_back(random_values<T>(count, 0.3f));
    return held.back().data();
  };
  for (int64_t j = 0; j < m; ++j) {
    periods.push_back(int64_t{1} << j);
    w_ih.push_back(weights(3 * h * (j == 0 ? with.inputs : h)));
  }
  const Hpmn hpmn{with.dtype,        with.inputs, h, m, periods.data(), w_ih.data(), weights(m * 3 * h * h),
                  weights(m * 3 * h)};
  const std::vector<S> x = random_values<S>(n * with.steps * with.inputs, 1, with.dtype);
  const std::vector<Row> rows = rows_of(with);
  const Plan plan(rows, {}, kernels.block_rows(with.dtype));
  T* const from = weights(n * m * h);
  Output<T> memory(n * m * h);
  const bool stream = with.pass == "stream";
  std::vector<T> kept((with.steps > 0 ? (with.steps - 1) / kEvery : 0) * n * m * h);
  std::vector<char> scratch(kernels.hpmn_scratch_bytes(hpmn, false, 0));
  for (int64_t b = 0; b < plan.num_blocks(); ++b)
    kernels.hpmn_forward(
        hpmn, plan.block(b), scratch.data(),
        {x.data(), from, stream ? from : memory.data(), counts.data(), {stream ? nullptr : kept.data(), n, kEvery}});
  if (stream) return true;
  bool intact = memory.report("memory");
  if (with.pass == "forward") return intact;

  Output<T> grad_x(n * with.steps * with.inputs), grad_from(n * m * h), grad_w_hh(m * 3 * h * h), grad_bias(m * 3 * h);
  std::vector<Output<T>> grad_w_ih;
  std::vector<void*> to_w_ih;
  for (int64_t j = 0; j < m; ++j) grad_w_ih.emplace_back(3 * h * (j == 0 ? with.inputs : h));
  for (Output<T>& each : grad_w_ih) to_w_ih.push_back(each.data());
  const HpmnBackward back{x.data(),           from,          counts.data(),   {kept.data(), n, kEvery},
                          weights(n * m * h), grad_x.data(), grad_from.data()};
  std::vector<char> packed(kernels.hpmn_packed_bytes(hpmn));
  scratch.resize(kernels.hpmn_scratch_bytes(hpmn, true, kEvery));
  kernels.hpmn_pack(hpmn, packed.data());
  const int64_t values = kernels.hpmn_sum_values(hpmn);
  std::vector<char> sums = sum_groups(plan, values, sizeof(T), [&](const Block& block, void* of_group) {
    kernels.hpmn_backward(hpmn, packed.data(), block, scratch.data(), back, of_group);
  });
  kernels.add_groups(with.dtype, sums.data(), plan.num_groups(), values, 0, values);
  kernels.hpmn_unpack(hpmn, sums.data(), {to_w_ih.data(), grad_w_hh.data(), grad_bias.data()});
  intact &= written(rows, with.steps, with.inputs, grad_x, "grad_x");
  intact &= grad_from.report("grad_from") & grad_w_hh.report("w_hh") & grad_bias.report("bias");
  for (const Output<T>& each : grad_w_ih) intact &= each.report("w_ih");
  return intact;
}

}  // namespace
}  // namespace recops::memory

int main(int argc, char** argv) {
  using namespace recops::memory;
  if (argc < 8) {
    std::fprintf(stderr,
                 "usage: %s mimn|hpmn forward|backward|stream ROWS STEPS INPUTS HIDDEN SLOTS [none|paper|code] [TOPK] "
                 "[full|ragged] [f32|bf16|f16|f64]\n",
                 argv[0]);
    return 2;
  }
  const auto option = [&](int i) { return std::string(argc > i ? argv[i] : ""); };
  const std::string utilization = option(8), type = option(11);
  const Arguments with{argv[2],
                       std::atoll(argv[3]),
                       std::atoll(argv[4]),
                       std::atoll(argv[5]),
                       std::atoll(argv[6]),
                       std::atoll(argv[7]),
                       argc > 9 ? std::atoll(argv[9]) : 0,
                       utilization == "paper"  ? Utilization::paper
                       : utilization == "code" ? Utilization::code
                                               : Utilization::none,
                       option(10) == "ragged",
                       type == "bf16"  ? recops::Dtype::bf16
                       : type == "f16" ? recops::Dtype::f16
                       : type == "f64" ? recops::Dtype::f64
                                       : recops::Dtype::f32};
  const bool mimn = option(1) == "mimn";
  if (with.dtype == recops::Dtype::f64)
    return !(mimn ? run_mimn<double, double>(with) : run_hpmn<double, double>(with));
  if (with.dtype == recops::Dtype::f32) return !(mimn ? run_mimn<float, float>(with) : run_hpmn<float, float>(with));
  return !(mimn ? run_mimn<uint16_t, float>(with) : run_hpmn<uint16_t, float>(with));
}
