// Runs the codebook overlap kernels without torch and Python, for sanitizers and callgrind.
//
//   codebook_overlap KERNEL SIZE DIM [bhattacharyya|product|minimum] [f32|f64]
//
// KERNEL is forward or backward. The data is the same in every run. Outputs and scratch are filled with NaN and
// surrounded by guard values first. Exit code 1 means an unwritten output or an overwritten guard value. Checksums on
// stdout allow comparison between runs.
#include "codebook_overlap/kernel.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "output.h"
#include "random.h"

namespace recops::codebook_overlap {
namespace {

template <class T>
std::vector<T> random_values(int64_t count) {
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<T>(static_cast<int32_t>(next_bits())) / static_cast<T>(1u << 31));
  return values;
}

template <class T>
bool run(const std::string& kernel, int64_t size, int64_t dim, Overlap kind) {
  const Kernels& kernels = RECOPS_SELECT_KERNELS();
  const std::vector<T> codewords = random_values<T>(size * dim), usage = random_values<T>(size);
  const Codebook book{codewords.data(), usage.data(), sizeof(T) == 8, size, dim};
  if (kernels.find_not_finite(codewords.data(), book.wide, size * dim) >= 0) return false;
  const int64_t panels = kernels.num_panels(book), middle = panels / 2;
  std::vector<char> scratch(panels * kernels.panel_bytes(book), '\xff');
  if (kernel == "forward") {
    Output<T> sums(size);
    kernels.row_sums(book, kind, 0.7, 0, middle, scratch.data(), sums.data());
    kernels.row_sums(book, kind, 0.7, middle, panels, scratch.data(), sums.data());
    std::printf("overlap %.9g\n", kernels.overlap(book, sums.data()));
    return sums.report("row_sums");
  }
  Output<T> grad_codewords(size * dim), grad_usage(size);
  const std::vector<T> h = random_values<T>(size);
  const T g{1};
  for (const auto& [begin, end] : {std::pair{int64_t{0}, middle}, std::pair{middle, panels}})
    kernels.backward(book, kind, 0.7, &g, h.data(), begin, end, scratch.data(), grad_codewords.data(),
                     grad_usage.data());
  const bool intact = grad_codewords.report("grad_codewords");
  return grad_usage.report("grad_usage") && intact;
}

}  // namespace
}  // namespace recops::codebook_overlap

int main(int argc, char** argv) {
  using namespace recops::codebook_overlap;
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s forward|backward SIZE DIM [bhattacharyya|product|minimum] [f32|f64]\n", argv[0]);
    return 2;
  }
  const std::string name = argc > 4 ? argv[4] : "bhattacharyya";
  const Overlap kind = name == "minimum"   ? Overlap::minimum
                       : name == "product" ? Overlap::product
                                           : Overlap::bhattacharyya;
  const int64_t size = std::atoll(argv[2]), dim = std::atoll(argv[3]);
  const bool wide = argc > 5 && std::string(argv[5]) == "f64";
  return (wide ? run<double> : run<float>)(argv[1], size, dim, kind) ? 0 : 1;
}
