// Runs the co-action kernels without torch and Python, for sanitizers and callgrind.
//
//   coaction KERNEL CANDIDATES USERS TIME DIMS ORDERS [tanh|selu|relu|none] [plain|full] [f32|bf16|f16|f64]
//
// KERNEL is forward or backward; DIMS is a list such as 16-8-4. USERS 0 gives each candidate its own history; otherwise
// users take turns, and lengths vary. `full` selects biases, an activation on the last layer and separate parameters
// per order. It also selects output of the last layer only, the mean, and rows that count several times.
//
// The data is the same in every run. Outputs and scratch are filled with NaN and surrounded by guard values first. Exit
// code 1 means an unwritten output or an overwritten guard value. Checksums on stdout allow comparison between runs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "coaction/kernel.h"
#include "random.h"

namespace recops::coaction {
namespace {

constexpr int64_t kFence = 16;

struct Stored {
  Dtype dtype;
  int64_t bytes;
};

Stored stored(const std::string& name) {
  if (name == "f64") return {Dtype::f64, 8};
  if (name == "bf16") return {Dtype::bf16, 2};
  if (name == "f16") return {Dtype::f16, 2};
  return {Dtype::f32, 4};
}

// Random values of about ±0.6, stored as `type`.
std::vector<char> random_values(Stored type, int64_t count) {
  std::vector<char> bytes(count * type.bytes);
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = next_bits();
    char* to = bytes.data() + i * type.bytes;
    if (type.dtype == Dtype::f64) *reinterpret_cast<double*>(to) = static_cast<int32_t>(bits) * 0x1p-32;
    if (type.dtype == Dtype::f32)
      *reinterpret_cast<float*>(to) = static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-32f;
    if (type.dtype == Dtype::bf16) *reinterpret_cast<uint16_t*>(to) = 0x3e80 | (bits & 0x807f);
    if (type.dtype == Dtype::f16) *reinterpret_cast<uint16_t*>(to) = 0x3400 | (bits & 0x83ff);
  }
  return bytes;
}

class Output {
 public:
  Output(Stored type, int64_t count) : type_(type), values_((count + 2 * kFence) * type.bytes, '\xff'), count_(count) {}

  char* data() { return values_.data() + kFence * type_.bytes; }

  bool report(const char* name) {
    double sum = 0;
    bool intact = true;
    for (int64_t i = -kFence; i < count_ + kFence; ++i) {
      const char* at = data() + i * type_.bytes;
      bool poison = true;
      for (int64_t b = 0; b < type_.bytes; ++b) poison &= at[b] == '\xff';
      const bool fence = i < 0 || i >= count_;
      intact &= fence == poison;
      if (fence) continue;
      if (type_.dtype == Dtype::f64) sum += *reinterpret_cast<const double*>(at);
      if (type_.dtype == Dtype::f32) sum += *reinterpret_cast<const float*>(at);
      if (type_.bytes == 2) sum += *reinterpret_cast<const uint16_t*>(at);
    }
    std::printf("%s %.9g%s\n", name, sum, intact ? "" : " (an output unwritten, or a sentinel overwritten)");
    return intact;
  }

 private:
  Stored type_;
  std::vector<char> values_;
  int64_t count_;
};

struct Case {
  std::string kernel;
  int64_t candidates, users, time;
  std::vector<int64_t> dims;
  int64_t orders;
  Activation activation;
  bool full;
  Stored type;
};

bool run(const Case& c) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const Net net{
      c.dims.data(), static_cast<int64_t>(c.dims.size()) - 1, c.orders, c.activation, c.full, c.full, !c.full, c.full,
      c.full};
  const int64_t users = c.users > 0 ? c.users : c.candidates, width = params_width(net), d0 = net.dims[0];
  const std::vector<char> feed = random_values(c.type, users * c.time * d0);
  const std::vector<char> params = random_values(c.type, c.candidates * width);
  std::vector<int64_t> of, lengths;
  for (int64_t b = 0; b < c.candidates; ++b) of.push_back(b * users / c.candidates);
  for (int64_t u = 0; u < users; ++u) lengths.push_back(c.time - next_bits() % (c.time / 4 + 1));
  std::vector<int32_t> times;
  std::vector<int64_t> events;
  for (int64_t u = 0; c.full && u < users; ++u) {
    events.push_back(0);
    for (int64_t t = 0; t < c.time; ++t) {
      times.push_back(1 + static_cast<int32_t>(next_bits() % 3));
      if (c.users == 0 || t < lengths[u]) events[u] += times.back();
    }
  }
  const Batch batch{{feed.data(), c.type.dtype, d0, nullptr},
                    {params.data(), c.type.dtype, width, nullptr},
                    nullptr,
                    c.users > 0 ? of.data() : nullptr,
                    c.users > 0 ? lengths.data() : nullptr,
                    c.candidates,
                    c.time,
                    c.full ? times.data() : nullptr,
                    c.full ? events.data() : nullptr};
  const int64_t bytes = kernels.scratch_bytes(net, c.type.dtype), middle = c.candidates / 2,
                columns = output_width(net);
  constexpr std::align_val_t line{64};
  char* scratch = static_cast<char*>(::operator new(bytes, line));
  std::fill_n(scratch, bytes, '\xff');
  bool intact;
  if (c.kernel == "forward") {
    Output out(c.type, c.candidates * columns);
    const Table to{out.data(), c.type.dtype, columns};
    kernels.forward(net, batch, 0, middle, scratch, to);
    kernels.forward(net, batch, middle, c.candidates, scratch, to);
    intact = out.report("out");
  } else {
    const Stored compute = c.type.dtype == Dtype::f64 ? c.type : Stored{Dtype::f32, 4};
    const std::vector<char> grad = random_values(c.type, c.candidates * columns);
    Output grad_feed(compute, users * c.time * d0), grad_params(c.type, c.candidates * width);
    // Users must not span the two halves; the ops handle users that do.
    Gradients to{{grad.data(), c.type.dtype, columns, nullptr},
                 grad_feed.data(),
                 nullptr,
                 {grad_params.data(), c.type.dtype, width}};
    const bool straddles = middle > 0 && middle < c.candidates && of[middle] == of[middle - 1];
    Output first(compute, c.time * d0);
    kernels.backward(net, batch, to, 0, middle, scratch);
    to.first = straddles ? first.data() : nullptr;
    kernels.backward(net, batch, to, middle, c.candidates, scratch);
    intact = grad_feed.report("grad_feed");
    intact = grad_params.report("grad_params") && intact;
    if (straddles) intact = first.report("first") && intact;
  }
  ::operator delete(scratch, line);
  return intact;
}

std::vector<int64_t> parse_dims(const std::string& text) {
  std::vector<int64_t> dims{0};
  for (char digit : text) {
    if (digit == '-')
      dims.push_back(0);
    else
      dims.back() = dims.back() * 10 + (digit - '0');
  }
  return dims;
}

}  // namespace
}  // namespace recops::coaction

int main(int argc, char** argv) {
  using namespace recops::coaction;
  if (argc < 7) {
    std::fprintf(stderr,
                 "usage: %s forward|backward CANDIDATES USERS TIME DIMS ORDERS [tanh|selu|relu|none] [plain|full] "
                 "[f32|bf16|f16|f64]\n",
                 argv[0]);
    return 2;
  }
  const std::string activation = argc > 7 ? argv[7] : "tanh";
  const Activation kind = activation == "selu"   ? Activation::selu
                          : activation == "relu" ? Activation::relu
                          : activation == "none" ? Activation::none
                                                 : Activation::tanh;
  return run({argv[1], std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]), parse_dims(argv[5]),
              std::atoll(argv[6]), kind, argc > 8 && std::string(argv[8]) == "full",
              stored(argc > 9 ? argv[9] : "f32")})
             ? 0
             : 1;
}
