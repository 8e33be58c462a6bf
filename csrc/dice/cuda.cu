// Dice with given statistics: one pass over x, one thread per value and grid stride.
#include "dice/cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

namespace recops::dice {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kMostBlocks = 1 << 16;  // more values per thread instead of more blocks

template <class S>
struct ComputeOf {
  using Type = float;
};
template <>
struct ComputeOf<double> {
  using Type = double;
};

// alpha, mean, var [columns]; x, out [rows, columns].
template <class S>
__global__ void __launch_bounds__(kBlock)
    forward_kernel(int64_t values, int64_t columns, double eps, const S* x, const typename ComputeOf<S>::Type* alpha,
                   const typename ComputeOf<S>::Type* mean, const typename ComputeOf<S>::Type* var, S* out) {
  using T = typename ComputeOf<S>::Type;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kBlock;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kBlock + threadIdx.x; i < values; i += stride) {
    const int64_t column = i % columns;
    const T value = static_cast<T>(x[i]), scale = T{1} / sqrt(var[column] + static_cast<T>(eps));
    const T p = T{1} / (T{1} + exp(-(value - mean[column]) * scale));
    out[i] = static_cast<S>(value * (alpha[column] + (T{1} - alpha[column]) * p));
  }
}

template <class S>
cudaError_t launch_forward(const Problem& problem, const void* mean, const void* var, void* out, void* stream) {
  using T = typename ComputeOf<S>::Type;
  const int64_t values = problem.rows * problem.columns;
  if (values == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>(std::min((values + kBlock - 1) / kBlock, kMostBlocks));
  forward_kernel<S><<<blocks, kBlock, 0, static_cast<cudaStream_t>(stream)>>>(
      values, problem.columns, problem.eps, static_cast<const S*>(problem.x), static_cast<const T*>(problem.alpha),
      static_cast<const T*>(mean), static_cast<const T*>(var), static_cast<S*>(out));
  return cudaGetLastError();
}

}  // namespace

int forward_cuda(const Problem& problem, const void* mean, const void* var, void* out, void* stream) {
  switch (problem.dtype) {
    case Dtype::bf16: return launch_forward<__nv_bfloat16>(problem, mean, var, out, stream);
    case Dtype::f16: return launch_forward<__half>(problem, mean, var, out, stream);
    case Dtype::f64: return launch_forward<double>(problem, mean, var, out, stream);
    default: return launch_forward<float>(problem, mean, var, out, stream);
  }
}

}  // namespace recops::dice
