// Runs one residual quantization kernel on synthetic data without torch and Python, for sanitizers and callgrind.
//
//   residual_quantization KERNEL ROWS DIM LEVELS CODES [K] [DTYPE]
//
// KERNEL is encode, encode-unpacked, encode-grid8, encode-grid16, beams, beams-table, beams-coarse, nearest, decode or
// accumulate. K is the k of nearest, or the beam width. DTYPE is f32 (default), bf16, f16 or f64. The data is the same
// in every run. Outputs are filled with NaN (or −2) and surrounded by guard values first. Exit code 1 means an
// unwritten output or an overwritten guard value. Checksums on stdout allow comparison between runs.
//
// AddressSanitizer of GCC < 14 misaligns 64-byte vectors on its fake stack (GCC bug 110027). With AVX-512, run it with
// ASAN_OPTIONS=detect_stack_use_after_return=0.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "output.h"
#include "random.h"
#include "residual_quantization/kernel.h"

namespace recops::residual_quantization {
namespace {

// Random numbers of about unit size, in their storage types.
struct Bf16 {
  uint16_t bits;
  static Bf16 random() { return {static_cast<uint16_t>((next_bits() & 0x807f) | 0x3f00)}; }
};
struct F16 {
  uint16_t bits;
  static F16 random() { return {static_cast<uint16_t>((next_bits() & 0x83ff) | 0x3800)}; }
};
template <class S>
S random_value() {
  if constexpr (std::is_floating_point_v<S>)
    return static_cast<S>(static_cast<int32_t>(next_bits())) / static_cast<S>(1u << 31);
  else
    return S::random();
}

template <class S>
std::vector<S> random_values(int64_t count) {
  std::vector<S> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(random_value<S>());
  return values;
}

// Allocates 64-byte aligned scratch, as the op does.
std::unique_ptr<void, decltype(&std::free)> aligned_bytes(int64_t bytes) {
  return {std::aligned_alloc(64, (bytes + 63) / 64 * 64), &std::free};
}

struct Shape {
  int64_t rows, dim, levels, codes, k;
};

// S is the storage type, T the compute type, and Stored the type for reading decoded values.
template <class S, class T, class Stored>
bool run(const std::string& kernel, Dtype dtype, const Shape& s) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const std::vector<S> x = random_values<S>(s.rows * s.dim), words = random_values<S>(s.levels * s.codes * s.dim);
  std::vector<int64_t> offsets;
  for (int64_t l = 0; l <= s.levels; ++l) offsets.push_back(l * s.codes);
  const Matrix rows{x.data(), dtype, s.rows, s.dim};
  const Codebooks books{{words.data(), dtype, s.levels * s.codes, s.dim}, offsets.data(), s.levels};
  std::vector<int32_t> random_codes;
  for (int64_t i = 0; i < s.rows * s.levels; ++i)
    random_codes.push_back(static_cast<int32_t>(next_bits() % static_cast<uint32_t>(s.codes + 1)) - 1);
  const Indices codes{random_codes.data(), false};

  auto packed = aligned_bytes(kernels.num_panels(books) * kernels.panel_bytes(books));
  kernels.pack(books, 0, kernels.num_panels(books), packed.get());

  if (kernel.starts_with("encode")) {
    Output<int32_t> out(s.rows * s.levels);
    Output<T> error(s.rows);
    const int bits = kernel == "encode-grid8" ? 8 : 16;
    const bool by_grid = kernel.starts_with("encode-grid");
    auto grid = aligned_bytes(kernels.num_panels(books) * kernels.grid_panel_bytes(books, bits));
    if (by_grid) kernels.pack_grid(books, packed.get(), bits, 0, kernels.num_panels(books), grid.get());
    const Grids grids{{by_grid && bits == 8 ? grid.get() : nullptr, by_grid && bits == 16 ? grid.get() : nullptr},
                      true};
    auto scratch = aligned_bytes(kernels.encode_scratch(books, s.rows, by_grid));
    kernels.encode(rows, books, kernel == "encode-unpacked" ? nullptr : packed.get(), grids, 0, s.rows, out.data(),
                   error.data(), scratch.get());
    const bool intact = out.report("codes");
    return error.report("sq_error") && intact;
  }
  if (kernel.starts_with("beams")) {
    const bool with_table = kernel != "beams",
               by_integers = kernel == "beams-coarse" && kernels.coarse_bytes(books) > 0;
    Output<int32_t> out(s.rows * s.k * s.levels);
    Output<T> error(s.rows * s.k);
    auto table = aligned_bytes(kernels.table_bytes(books)), spare = aligned_bytes(kernels.table_scratch(books));
    auto coarse = aligned_bytes(kernels.coarse_bytes(books));
    auto grid = aligned_bytes(kernels.num_panels(books) * kernels.grid_panel_bytes(books, 16));
    if (by_integers) kernels.pack_grid(books, packed.get(), 16, 0, kernels.num_panels(books), grid.get());
    const BeamTables tables{with_table ? table.get() : nullptr, by_integers ? coarse.get() : nullptr, grid.get()};
    if (with_table)
      kernels.fill_table(books, packed.get(), 0, kernels.table_pieces(books), table.get(),
                         by_integers ? coarse.get() : nullptr, spare.get());
    auto scratch = aligned_bytes(kernels.beam_scratch(books, s.k, tables));
    kernels.encode_beams(rows, books, packed.get(), tables, s.k, s.k, 0, s.rows, out.data(), error.data(),
                         scratch.get());
    const bool intact = out.report("codes");
    return error.report("sq_error") && intact;
  }
  if (kernel == "flips") {
    Output<int64_t> flips(s.levels + 1);
    const std::vector<double> sigma(s.levels, 0.5);
    auto scratch = aligned_bytes(kernels.flip_scratch(books));
    kernels.count_flips(rows, books, packed.get(), sigma.data(), s.k, 1, 0, s.rows, flips.data(), scratch.get());
    return flips.report("flips");
  }
  if (kernel == "nearest") {
    Output<int32_t> index(s.rows * s.k);
    Output<T> distance(s.rows * s.k);
    const Codebooks first{{words.data(), dtype, s.codes, s.dim}, offsets.data(), 1};
    auto scratch = aligned_bytes(kernels.nearest_scratch(first, s.k));
    kernels.nearest(rows, first, packed.get(), s.k, 0, s.rows, index.data(), distance.data(), scratch.get());
    const bool intact = index.report("index");
    return distance.report("sq_distance") && intact;
  }
  if (kernel == "decode") {
    Output<Stored> out(s.rows * s.dim);
    kernels.decode(codes, books, 0, s.rows, out.data());
    return out.report("decoded");
  }
  if (kernel == "accumulate") {
    Output<T> sums(s.levels * s.codes * s.dim);
    kernels.accumulate(rows, codes, nullptr, offsets.data(), s.levels, 0, s.dim, sums.data());
    Output<double> weights(s.codes);
    kernels.accumulate_weight(codes, nullptr, dtype, s.rows, s.codes, weights.data());
    const bool intact = sums.report("sums");
    return weights.report("weights") && intact;
  }
  std::fprintf(stderr, "no kernel is called %s\n", kernel.c_str());
  return false;
}

bool run(const std::string& kernel, const std::string& dtype, const Shape& shape) {
  if (dtype == "bf16") return run<Bf16, float, uint16_t>(kernel, Dtype::bf16, shape);
  if (dtype == "f16") return run<F16, float, uint16_t>(kernel, Dtype::f16, shape);
  if (dtype == "f64") return run<double, double, double>(kernel, Dtype::f64, shape);
  return run<float, float, float>(kernel, Dtype::f32, shape);
}

}  // namespace
}  // namespace recops::residual_quantization

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: %s KERNEL ROWS DIM LEVELS CODES [K] [f32|bf16|f16|f64]\n", argv[0]);
    return 2;
  }
  const auto number = [&](int i) { return i < argc ? std::atoll(argv[i]) : 1; };
  const recops::residual_quantization::Shape shape{number(2), number(3), number(4), number(5), number(6)};
  return recops::residual_quantization::run(argv[1], argc > 7 ? argv[7] : "f32", shape) ? 0 : 1;
}
