// Runs the auxiliary loss kernels without torch and Python, for sanitizers and callgrind.
//
//   next_event forward|backward PLACES WIDTH HIDDEN[-HIDDEN…] [f32|bf16|f16|f64]
//
// All places except the last are cells. The data is the same in every run. Outputs are filled with NaN and surrounded
// by guard values first. Exit code 1 means an unwritten output or an overwritten guard value. Checksums on stdout allow
// comparison between runs.
#include "next_event/kernel.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "output.h"
#include "random.h"

namespace recops::next_event {
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

// S is the storage type of states and events (uint16_t for 16-bit floats), T the compute type.
template <class S, class T>
bool run(bool backward, int64_t places, int64_t width, const std::vector<int64_t>& hidden, Dtype dtype) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const std::vector<S> states = random_values<S>(places * width), events = random_values<S>(places * width);
  const int64_t cells = std::max<int64_t>(places - 1, 0);
  std::vector<int64_t> at(cells), drawn(cells);
  for (int64_t i = 0; i < cells; ++i) at[i] = i, drawn[i] = next_bits() % places;
  Problem problem{dtype,
                  width,
                  static_cast<int64_t>(hidden.size()),
                  hidden.data(),
                  states.data(),
                  events.data(),
                  at.data(),
                  drawn.data(),
                  {},
                  {}};
  std::vector<std::vector<T>> layers;
  int64_t inputs = 2 * width, parameters = 0;
  for (size_t l = 0; l <= hidden.size(); ++l) {
    const int64_t outputs = l < hidden.size() ? hidden[l] : 1;
    layers.push_back(random_values<T>(outputs * inputs));
    problem.weights[l] = layers.back().data();
    layers.push_back(random_values<T>(outputs));
    problem.biases[l] = layers.back().data();
    parameters += outputs * (inputs + 1);
    inputs = outputs;
  }

  std::vector<char> packed(kernels.packed_bytes(problem)), scratch(kernels.scratch_bytes(problem), '\xff');
  kernels.pack(problem, packed.data());
  Output<T> of_states(cells * width), of_events(places * width), of_drawn(cells * width), of_parameters(parameters);
  std::fill_n(of_events.data(), std::min(places, int64_t{1}) * width,
              T{0});  // no cell has its next event at the first place
  const Gradients to{of_states.data(), of_events.data(), of_drawn.data()};
  std::vector<T> sums(2 * kernels.sum_values(problem));
  const int64_t middle = cells / 2;
  double loss = 0;
  for (int64_t g = 0; g < 2; ++g)
    loss += kernels.run(problem, packed.data(), g * middle, g == 0 ? middle : cells, scratch.data(),
                        backward ? &to : nullptr, sums.data() + g * kernels.sum_values(problem));
  std::printf("loss %.9g\n", loss);
  if (!backward) return true;
  kernels.add_drawn(problem, cells, to, 0, places / 2);
  kernels.add_drawn(problem, cells, to, places / 2, places);
  kernels.finish(problem, sums.data(), 2, of_parameters.data());
  bool intact = true;
  const std::pair<const char*, const Output<T>*> results[] = {
      {"of_states", &of_states}, {"of_events", &of_events}, {"of_drawn", &of_drawn}, {"of_parameters", &of_parameters}};
  for (const auto& [name, output] : results) intact = output->report(name) && intact;
  return intact;
}

}  // namespace
}  // namespace recops::next_event

int main(int argc, char** argv) {
  using namespace recops::next_event;
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s forward|backward PLACES WIDTH HIDDEN[-HIDDEN…] [f32|bf16|f16|f64]\n", argv[0]);
    return 2;
  }
  const bool backward = std::string(argv[1]) == "backward";
  const int64_t places = std::atoll(argv[2]), width = std::atoll(argv[3]);
  std::vector<int64_t> hidden;
  for (const char* at = argv[4]; *at != '\0'; at += *at == '-')
    hidden.push_back(std::strtoll(at, const_cast<char**>(&at), 10));
  const std::string type = argc > 5 ? argv[5] : "f32";
  if (type == "f64") return run<double, double>(backward, places, width, hidden, recops::Dtype::f64) ? 0 : 1;
  if (type == "f32") return run<float, float>(backward, places, width, hidden, recops::Dtype::f32) ? 0 : 1;
  const recops::Dtype dtype = type == "bf16" ? recops::Dtype::bf16 : recops::Dtype::f16;
  return run<uint16_t, float>(backward, places, width, hidden, dtype) ? 0 : 1;
}
