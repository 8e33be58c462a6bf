// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
#include "balance_assignment/kernel.h"
#include "simd.h"

namespace recops::balance_assignment::RECOPS_ISA {
namespace {

template <class T>
T squared_distance(const T* row, const T* codeword, int64_t dim) {
  Vec<T> sum[2] = {};
  int64_t d = 0;
  for (; d + 2 * kLanes<T> <= dim; d += 2 * kLanes<T>)
    for (int u = 0; u < 2; ++u) {
      const Vec<T> difference = load(row + d + u * kLanes<T>) - load(codeword + d + u * kLanes<T>);
      sum[u] += difference * difference;
    }
  for (; d < dim; d += kLanes<T>) {
    const Vec<T> difference = load_as_compute(row + d, dim - d) - load_as_compute(codeword + d, dim - d);
    sum[0] += difference * difference;
  }
  return reduce_add<T>(sum[0] + sum[1]);
}

template <class T>
void distances_of(const Space& space, int64_t row, const int32_t* codes, int64_t count, double* out) {
  const T* from = static_cast<const T*>(space.rows) + row * space.dim;
  for (int64_t i = 0; i < count; ++i)
    out[i] = squared_distance(from, static_cast<const T*>(space.codewords) + codes[i] * space.dim, space.dim);
}

void squared_distances(const Space& space, int64_t row, const int32_t* codes, int64_t count, double* out) {
  space.wide ? distances_of<double>(space, row, codes, count, out) : distances_of<float>(space, row, codes, count, out);
}

}  // namespace

extern const Kernels kernels = {squared_distances};

}  // namespace recops::balance_assignment::RECOPS_ISA
