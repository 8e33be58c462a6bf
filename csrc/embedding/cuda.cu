// Launchers of the CUDA kernels for embedding bags. cuda.h has their contract.
#include "embedding/cuda.h"

#include <algorithm>

#include "common/launch.h"
#include "embedding/cuda_gradient.h"
#include "embedding/cuda_sum_bags.h"
#include "embedding/cuda_update.h"

namespace recops::embedding::cuda {
namespace {

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t size_of(Dtype dtype) { return dtype == Dtype::f32 ? 4 : 2; }

bool is_multiple_of_16(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

// Whether 16-byte reads and writes fit each row of a matrix and the columns from `column` on.
bool is_aligned(const void* data, int64_t stride, int64_t column, int64_t width, int64_t size) {
  return is_multiple_of_16(data) && stride * size % 16 == 0 && column * size % 16 == 0 && width * size % 16 == 0;
}

template <class S>
DeviceFeature<S> device_feature(const BagsCall& call, const Feature& feature) {
  const int64_t size = sizeof(S);
  DeviceFeature<S> result{};
  result.ids = device_integers(feature.ids, call.count * feature.each);
  result.table = device_pointer(static_cast<const S*>(feature.table), feature.num_rows * feature.width);
  result.num_rows = feature.num_rows;
  result.padding = call.padding;
  result.each = static_cast<int>(feature.each);
  result.width = static_cast<int>(feature.width);
  result.column = static_cast<int>(feature.column);
  result.is_aligned = is_aligned(feature.table, feature.width, 0, feature.width, size) &&
                      is_aligned(call.values, call.stride, feature.column, feature.width, size);
  result.lanes = lanes_of(feature.width, result.is_aligned ? kPerWords16<S> : 1);
  return result;
}

template <class S>
cudaError_t launch_bags(const BagsCall& call, int64_t first, int64_t count, cudaStream_t stream) {
  BagsArguments<S> a{};
  int lanes = 1;
  for (int64_t f = 0; f < count; ++f) {
    a.features[f] = device_feature<S>(call, call.features[first + f]);
    lanes = std::max(lanes, a.features[f].lanes);
  }
  a.values = device_pointer(static_cast<S*>(call.values), call.count * call.stride);
  a.count = call.count;
  a.stride = call.stride;
  const dim3 grid(static_cast<unsigned>(divided_up(call.count * lanes, kBagThreads)), static_cast<unsigned>(count));
  return launch(sum_bags_kernel<S>, grid, kBagThreads, 0, stream, a);
}

Sources sources_of(const GradientCall& call) {
  Sources sources{};
  for (int64_t f = 0; f < call.num_features; ++f) {
    const Feature& feature = call.features[f];
    sources.sources[f] = {device_integers(feature.ids, call.count * feature.each), sources.total,
                          static_cast<int>(feature.each), static_cast<int>(feature.column)};
    sources.total += call.count * feature.each;
  }
  sources.count = static_cast<int>(call.num_features);
  return sources;
}

bool is_aligned(const GradientCall& call, const void* gradient) {
  const int64_t size = size_of(call.dtype);
  bool result = is_aligned(gradient, call.width, 0, call.width, size);
  for (int64_t f = 0; f < call.num_features; ++f)
    result &= is_aligned(call.values, call.stride, call.features[f].column, call.width, size);
  return result;
}

template <class S>
RunArguments<S> run_arguments(const GradientCall& call, const int32_t* keys, const int64_t* order, void* workspace) {
  RunArguments<S> a{};
  a.sources = sources_of(call);
  a.values = device_pointer(static_cast<const S*>(call.values),
                            call.count > 0 ? (call.count - 1) * call.stride + call.columns : 0);
  a.stride = call.stride;
  a.keys = device_pointer(keys, a.sources.total);
  a.order = device_pointer(order, a.sources.total);
  a.chunks = divided_up(a.sources.total, kChunk);
  a.parts = device_pointer(static_cast<float*>(workspace), a.chunks * 2 * call.width);
  a.num_rows = static_cast<int>(call.num_rows);
  a.width = static_cast<int>(call.width);
  return a;
}

// Launches a kernel for all chunks, and then one that joins them.
template <class Kernel, class Arguments>
cudaError_t launch_chunks(Kernel* sum, Kernel* join, const Arguments& a, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(divided_up(a.chunks * a.lanes, kChunkThreads));
  const cudaError_t error = launch(sum, blocks, kChunkThreads, 0, stream, a);
  return error != cudaSuccess ? error : launch(join, blocks, kChunkThreads, 0, stream, a);
}

template <class S, int count>
cudaError_t launch_gradient(GradientArguments<S> a, cudaStream_t stream) {
  a.lanes = lanes_of(a.width, count);
  return launch_chunks(sum_chunks<S, count>, join_chunks<S, count>, a, stream);
}

template <class S, int count>
cudaError_t launch_update(UpdateArguments<S> a, cudaStream_t stream) {
  a.lanes = lanes_of(a.width, count);
  if (a.optimizer == Optimizer::rowwise_adagrad) {
    const cudaError_t error = launch_chunks(square_chunks<S, count>, square_joins<S, count>, a, stream);
    if (error != cudaSuccess) return error;
  }
  return launch_chunks(update_chunks<S, count>, update_joins<S, count>, a, stream);
}

}  // namespace

bool supports_bags(const BagsCall& call) {
  bool fits = call.dtype != Dtype::f64 && call.count < kMostBags && call.stride <= INT32_MAX;
  for (int64_t f = 0; f < call.num_features; ++f)
    fits &= call.features[f].each <= kMostEach && call.features[f].width <= kMostWidth;
  return fits;
}

int sum_bags(const BagsCall& call, void* stream) {
  for (int64_t first = 0; first < call.num_features; first += kMostFeatures) {
    const int64_t count = std::min<int64_t>(kMostFeatures, call.num_features - first);
    const cudaError_t error = with_device_type(call.dtype, [&](auto s) {
      return launch_bags<decltype(s)>(call, first, count, static_cast<cudaStream_t>(stream));
    });
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

bool supports_gradient(const GradientCall& call) {
  bool fits = call.dtype != Dtype::f64 && call.num_features <= kMostFeatures && call.num_rows <= kMostRows &&
              call.width <= kMostWidth && call.count < kMostBags && call.stride <= INT32_MAX &&
              count_occurrences(call) < kMostOccurrences;
  for (int64_t f = 0; f < call.num_features; ++f) fits &= call.features[f].each <= kMostEach;
  return fits;
}

int64_t count_occurrences(const GradientCall& call) {
  int64_t each = 0;
  for (int64_t f = 0; f < call.num_features; ++f) each += call.features[f].each;
  return call.count * each;
}

int write_keys(const GradientCall& call, int32_t* keys, void* stream) {
  const Sources sources = sources_of(call);
  return launch(find_keys, static_cast<unsigned>(divided_up(sources.total, kKeyThreads)), kKeyThreads, 0,
                static_cast<cudaStream_t>(stream), sources, call.num_rows, call.padding,
                device_pointer(keys, sources.total));
}

int64_t gradient_workspace_bytes(const GradientCall& call) {
  return divided_up(count_occurrences(call), kChunk) * 2 * call.width * int64_t{sizeof(float)};
}

int sum_by_row(const GradientCall& call, const int32_t* keys, const int64_t* order, void* workspace, void* gradient,
               void* stream) {
  return with_device_type(call.dtype, [&](auto s) -> int {
    using S = decltype(s);
    GradientArguments<S> a{run_arguments<S>(call, keys, order, workspace),
                           device_pointer(static_cast<S*>(gradient), call.num_rows * call.width)};
    const auto on = static_cast<cudaStream_t>(stream);
    return is_aligned(call, gradient) ? launch_gradient<S, kPerWords16<S>>(a, on) : launch_gradient<S, 1>(a, on);
  });
}

int update_rows(const UpdateCall& call, const int32_t* keys, const int64_t* order, void* workspace, void* stream) {
  const GradientCall& gradient = call.gradient;
  const UpdateRule& rule = call.rule;
  const int64_t state_width = rule.optimizer == Optimizer::adagrad ? gradient.width : 1;
  return with_device_type(gradient.dtype, [&](auto s) -> int {
    using S = decltype(s);
    const UpdateArguments<S> a{run_arguments<S>(gradient, keys, order, workspace),
                               device_pointer(static_cast<S*>(call.table), gradient.num_rows * gradient.width),
                               device_pointer(call.state, gradient.num_rows * state_width),
                               rule.optimizer,
                               static_cast<float>(rule.lr),
                               static_cast<float>(rule.eps),
                               static_cast<float>(rule.weight_decay)};
    const auto on = static_cast<cudaStream_t>(stream);
    return is_aligned(gradient, call.table) ? launch_update<S, kPerWords16<S>>(a, on) : launch_update<S, 1>(a, on);
  });
}

}  // namespace recops::embedding::cuda
