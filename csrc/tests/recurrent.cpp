// Runs the recurrent scan kernels without torch and Python, for sanitizers and callgrind.
//
//   recurrent PASS ROWS STEPS HIDDEN INPUTS SOURCES [after|before] [full|ragged] [f32|bf16|f16|f64]
//
// PASS is forward, backward, or checkpoint (a backward pass that recomputes the gates). With INPUTS 0 the input is the
// gates. With SOURCES below ROWS, rows share sources. The data is the same in every run. Outputs are filled with NaN
// and surrounded by guard values first. Exit code 1 means an unwritten output or an overwritten guard value. Checksums
// on stdout allow comparison between runs.
#include "recurrent/kernel.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "output.h"
#include "random.h"
#include "recurrent/plan.h"

namespace recops::recurrent {
namespace {

// Random values in [-scale, scale), 16-bit types as their bits. bf16 keeps the upper half of a float; f16 values use
// the same range.
template <class S>
std::vector<S> random_values(int64_t count, Dtype dtype, float scale) {
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
  int64_t rows, steps, hidden, inputs, sources;
  bool before, ragged;
  Dtype dtype;
};

// S is the storage type of input and outputs (uint16_t for 16-bit floats), T the compute type.
template <class S, class T>
bool run(const Arguments& with) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const int64_t rows = with.rows, steps = with.steps, hidden = with.hidden;
  const bool projected = with.inputs > 0, shared = with.sources < rows, narrow = sizeof(S) == 2;
  const int64_t width = projected ? with.inputs : 3 * hidden;
  const auto values = [](int64_t count, float scale) { return random_values<T>(count, Dtype::f32, scale); };
  const std::vector<S> input = random_values<S>(with.sources * steps * width, with.dtype, 1);
  const std::vector<T> w_ih = values(3 * hidden * with.inputs, 0.3f), w_hh = values(3 * hidden * hidden, 0.3f),
                       b_ih = values(3 * hidden, 1), b_hh = values(3 * hidden, 1), h0 = values(rows * hidden, 1),
                       attention = values(rows * steps, 1);
  std::vector<int64_t> lengths(with.sources, steps), row_sources(rows);
  for (int64_t i = 0; with.ragged && i < with.sources; ++i) lengths[i] = next_bits() % (steps + 1);
  for (int64_t& source : row_sources) source = next_bits() % std::max<int64_t>(with.sources, 1);
  const Plan plan(rows, steps, lengths.data(), shared ? row_sources.data() : nullptr);
  const Scan scan{with.dtype,   with.before, {0, 1, 0, -1}, steps,       hidden,      projected, with.inputs,
                  input.data(), w_ih.data(), w_hh.data(),   b_ih.data(), b_hh.data(), h0.data(), attention.data()};

  Keep keep = narrow ? Keep::states : Keep::nothing;
  if (!narrow && with.pass == "backward") keep = Keep::gates;
  Output<T> h_last(rows * hidden);
  std::vector<S> outputs(rows * steps * hidden);
  std::vector<T> kept(rows * steps * hidden * (keep == Keep::gates ? 4 : 1));
  std::vector<char> packed(kernels.packed_bytes(scan, false)), scratch(kernels.scratch_bytes(scan, false));
  kernels.pack(scan, false, packed.data());
  for (int64_t b = 0; b < plan.num_blocks(); ++b)
    kernels.forward(scan, packed.data(), plan.block(b), scratch.data(),
                    {keep, outputs.data(), h_last.data(), kept.data()});
  bool intact = h_last.report("h_last");
  if (with.pass == "forward") return intact;

  const std::vector<S> grad_outputs = random_values<S>(rows * steps * hidden, with.dtype, 1);
  const std::vector<T> grad_h_last = values(rows * hidden, 1);
  Output<T> grad_input(with.sources * steps * width), grad_h0(rows * hidden), grad_attention(rows * steps);
  Output<T> grad_w_ih(w_ih.size()), grad_w_hh(w_hh.size()), grad_b_ih(projected ? 3 * hidden : 0),
      grad_b_hh(3 * hidden);
  if (shared) std::memset(grad_input.data(), 0, with.sources * steps * width * sizeof(T));
  const Backward from{keep,   kept.data(),       outputs.data(), grad_outputs.data(),  grad_h_last.data(),
                      shared, grad_input.data(), grad_h0.data(), grad_attention.data()};
  packed.resize(kernels.packed_bytes(scan, true));
  scratch.resize(kernels.scratch_bytes(scan, true));
  kernels.pack(scan, true, packed.data());
  const int64_t sum_values = kernels.sum_values(scan);
  std::vector<T> sums(plan.num_groups() * sum_values);
  for (int64_t g = 0; g < plan.num_groups(); ++g)
    for (int64_t b = plan.first_block(g); b < plan.first_block(g + 1); ++b)
      kernels.backward(scan, packed.data(), plan.block(b), scratch.data(), from, sums.data() + g * sum_values);
  kernels.add_groups(scan, sums.data(), plan.num_groups(), 0, sum_values / 2);
  kernels.add_groups(scan, sums.data(), plan.num_groups(), sum_values / 2, sum_values);
  kernels.unpack(scan, sums.data(), {grad_w_ih.data(), grad_w_hh.data(), grad_b_ih.data(), grad_b_hh.data()});
  const std::pair<const char*, const Output<T>*> results[] = {
      {"grad_input", &grad_input}, {"grad_h0", &grad_h0},     {"grad_attention", &grad_attention},
      {"grad_w_ih", &grad_w_ih},   {"grad_w_hh", &grad_w_hh}, {"grad_b_ih", &grad_b_ih},
      {"grad_b_hh", &grad_b_hh}};
  for (const auto& [name, output] : results) intact = output->report(name) && intact;
  return intact;
}

}  // namespace
}  // namespace recops::recurrent

int main(int argc, char** argv) {
  using namespace recops::recurrent;
  if (argc < 7) {
    std::fprintf(stderr,
                 "usage: %s forward|backward|checkpoint ROWS STEPS HIDDEN INPUTS SOURCES [after|before] [full|ragged] "
                 "[f32|bf16|f16|f64]\n",
                 argv[0]);
    return 2;
  }
  const auto option = [&](int i) { return std::string(argc > i ? argv[i] : ""); };
  const std::string type = option(9);
  const recops::Dtype dtype = type == "bf16"  ? recops::Dtype::bf16
                              : type == "f16" ? recops::Dtype::f16
                              : type == "f64" ? recops::Dtype::f64
                                              : recops::Dtype::f32;
  const Arguments arguments{argv[1],
                            std::atoll(argv[2]),
                            std::atoll(argv[3]),
                            std::atoll(argv[4]),
                            std::atoll(argv[5]),
                            std::atoll(argv[6]),
                            option(7) == "before",
                            option(8) == "ragged",
                            dtype};
  if (dtype == recops::Dtype::f64) return run<double, double>(arguments) ? 0 : 1;
  if (dtype == recops::Dtype::f32) return run<float, float>(arguments) ? 0 : 1;
  return run<uint16_t, float>(arguments) ? 0 : 1;
}
