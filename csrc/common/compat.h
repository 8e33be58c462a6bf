// The only file that uses torch's stable ABI. Op files access torch only through it.
//
// An op file (csrc/<family>/op.cpp) includes this header, checks arguments, allocates outputs and calls a kernel on raw
// pointers. Errors in data are std::invalid_argument (ValueError in Python) or std::out_of_range (IndexError). They
// must be thrown outside parallel_for, which loses the message of an exception.
#pragma once

#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/cuda_device.h"
#include "common/dtype.h"
#include "common/huge_pages.h"
#include "common/indices.h"

namespace recops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Type of a `str` argument of an op. With std::string, every call would leak 48 bytes: the torch headers 2.10 to 2.13
// convert with a `new` whose string is copied and never deleted.
struct Text : std::string {
  using std::string::string;
};

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// require_value(k >= 1, "rq_encode: beam must be ...") raises a ValueError, require_index an IndexError.
template <class... Parts>
void require_value(bool condition, const Parts&... message) {
  if (!condition) [[unlikely]]
    throw std::invalid_argument(concat(message...));
}

template <class... Parts>
void require_index(bool condition, const Parts&... message) {
  if (!condition) [[unlikely]]
    throw std::out_of_range(concat(message...));
}

// Error message for a failed allocation. torch's allocator prints the reason to standard error and returns only a code.
inline std::string no_room(std::span<const int64_t> sizes) {
  std::ostringstream out;
  out << "recops: no memory for a tensor of shape [";
  for (size_t i = 0; i < sizes.size(); ++i) out << (i == 0 ? "" : ", ") << sizes[i];
  out << ']';
  return out.str();
}

inline Tensor contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline Tensor copy(const Tensor& tensor) { return torch::stable::clone(tensor); }

// Copies the values of `from` to `to`, which has the same shape.
inline void assign(Tensor to, const Tensor& from) { torch::stable::copy_(to, from); }

// Type of a `Tensor?` argument of an op.
using Maybe = std::optional<Tensor>;

// Device of a tensor. `type` is a code of torch's.
struct Device {
  int32_t type, index;
  bool operator==(const Device&) const = default;
};

inline Device device_of(const Tensor& tensor) {
  Device device;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(tensor.get(), &device.type));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(tensor.get(), &device.index));
  return device;
}

// The dispatcher ignores tensors in an optional list. For other arguments it checks the device and resolves negative
// views; for these lists, resolved() does both. Their device must be that of `like`.
using MaybeTensors = std::optional<std::vector<Tensor>>;

inline std::vector<Tensor> resolved(const char* op, const char* name, const MaybeTensors& list, const Tensor& like) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; list && i < list->size(); ++i) {
    const Device device = device_of(like);
    require_value(device_of((*list)[i]) == device, op, ": ", name, " must be on the ",
                  device.type == aoti_torch_device_type_cpu() ? "CPU" : "device of the other arguments", ", got ", name,
                  "[", i, "] on another device");
    std::array<StableIValue, 1> stack{torch::stable::detail::from((*list)[i])};
    TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::resolve_neg", "", stack.data(), TORCH_ABI_VERSION));
    tensors.push_back(torch::stable::detail::to<Tensor>(stack[0]));
  }
  return tensors;
}

inline Dtype dtype_of(const char* op, const char* name, const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return Dtype::f32;
    case ScalarType::BFloat16: return Dtype::bf16;
    case ScalarType::Half: return Dtype::f16;
    case ScalarType::Double: return Dtype::f64;
    default:
      throw std::invalid_argument(concat(op, ": ", name, " must be float32, bfloat16, float16 or float64, got torch's ",
                                         torch::headeronly::toString(tensor.scalar_type())));
  }
}

// Type in which values of a dtype are computed and accumulated.
inline ScalarType compute_type(Dtype dtype) { return dtype == Dtype::f64 ? ScalarType::Double : ScalarType::Float; }

inline Indices indices(const char* op, const char* name, const Tensor& tensor) {
  const bool wide = tensor.scalar_type() == ScalarType::Long;
  require_value(wide || tensor.scalar_type() == ScalarType::Int, op, ": ", name,
                " must be int32 or int64, got torch's ", torch::headeronly::toString(tensor.scalar_type()));
  return {tensor.data_ptr(), wide};
}

// Returns an uninitialized contiguous tensor on the device of `like`. Calls the allocator directly because the
// dispatcher is slower, mostly with cold caches, and some ops take only microseconds.
inline Tensor empty(std::span<const int64_t> sizes, ScalarType dtype, const Tensor& like) {
  std::array<int64_t, 64> strides;  // torch's maximum number of dimensions
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides.at(i) = stride;
    stride *= std::max<int64_t>(sizes[i], 1);
  }
  const Device device = device_of(like);
  AtenTensorHandle tensor;
  const auto dtype_code = torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype));
  const auto failed = aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(),
                                               dtype_code, device.type, device.index, &tensor);
  if (failed != 0) [[unlikely]]
    throw std::runtime_error(no_room(sizes));
  Tensor result(tensor);
  if (device.type == aoti_torch_device_type_cpu())
    advise_huge_pages(result.data_ptr(), static_cast<size_t>(result.numel()) * result.element_size());
  return result;
}

inline Tensor empty(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  return empty(std::span(sizes.begin(), sizes.size()), dtype, like);
}

// Calls f(begin, end) over [0, size) in chunks of at least `grain` on torch's threads. A single chunk runs inline, so
// that small inputs start no threads.
template <class F>
void parallel_for(int64_t size, int64_t grain, const F& f) {
  if (size <= 0) return;
  if (size <= grain)
    f(int64_t{0}, size);
  else
    torch::stable::parallel_for(0, size, grain, f);
}

inline void fill_zeros(const Tensor& tensor) { TORCH_ERROR_CODE_CHECK(aoti_torch_zero_(tensor.get())); }

// Returns a contiguous tensor of zeros on the device of `like`.
inline Tensor zeros(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  Tensor out = empty(sizes, dtype, like);
  fill_zeros(out);
  return out;
}

// Returns the values [n] in ascending order, and the position of each before. Equal values keep their order.
inline std::pair<Tensor, Tensor> sorted(const Tensor& values) {
  std::array<StableIValue, 4> stack{torch::stable::detail::from(values),
                                    torch::stable::detail::from(std::optional<bool>(true)),
                                    torch::stable::detail::from(int64_t{0}), torch::stable::detail::from(false)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::sort", "stable", stack.data(), TORCH_ABI_VERSION));
  return {torch::stable::detail::to<Tensor>(stack[0]), torch::stable::detail::to<Tensor>(stack[1])};
}

// Reads int64 values from a device, for which the host waits.
inline std::vector<int64_t> read_values(const Tensor& values) {
  std::vector<int64_t> result(values.numel());
  const int64_t size = values.numel(), stride = 1;
  AtenTensorHandle host;
  TORCH_ERROR_CODE_CHECK(aoti_torch_create_tensor_from_blob(
      result.data(), 1, &size, &stride, 0,
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(ScalarType::Long)), aoti_torch_device_type_cpu(),
      0, &host));
  assign(Tensor(host), values);
  return result;
}

inline int64_t num_threads() { return torch::stable::get_num_threads(); }

// Makes a tensor's GPU the current device within a scope.
class DeviceGuard {
 public:
  // A device without code for the kernels runs composites, which choose their device themselves.
  explicit DeviceGuard(const Tensor& tensor) {
    const int32_t device = device_of(tensor).index;
    if (has_code_for(device)) guard_.emplace(device);
  }

 private:
  std::optional<torch::stable::accelerator::DeviceGuard> guard_;
};

// Returns the current stream (a cudaStream_t) on the GPU of a tensor. torch 2.13 gives it for every kind of
// accelerator. Older versions have a function for CUDA only. It is looked up in the loaded libtorch_cuda, so that this
// library does not depend on that one and loads into a torch without CUDA.
inline void* current_stream(const Tensor& tensor) {
  using Handle = AOTITorchError (*)(StreamHandle, void**);
  using OfCuda = AOTITorchError (*)(int32_t, void**);
  static const auto native_handle = reinterpret_cast<Handle>(dlsym(RTLD_DEFAULT, "torch_stream_native_handle"));
  const int32_t device = device_of(tensor).index;
  void* stream = nullptr;
  if (native_handle != nullptr) {
    StreamHandle handle;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_stream(device, &handle));
    const AOTITorchError failed = native_handle(handle, &stream);
    TORCH_ERROR_CODE_CHECK(aoti_torch_delete_stream(handle));
    TORCH_ERROR_CODE_CHECK(failed);
    return stream;
  }
  static const auto of_cuda = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    return library == nullptr ? nullptr
                              : reinterpret_cast<OfCuda>(dlsym(library, "aoti_torch_get_current_cuda_stream"));
  }();
  if (of_cuda == nullptr) throw std::runtime_error("recops: this torch has no CUDA streams; install a CUDA build");
  TORCH_ERROR_CODE_CHECK(of_cuda(device, &stream));
  return stream;
}

// Throws the error of the last failed call of an op, as Python's exception says, without its traceback. torch before
// 2.13 only prints it.
[[noreturn]] inline void throw_error_of(const char* op) {
  using What = const char* (*)();
  static const auto what = reinterpret_cast<What>(dlsym(RTLD_DEFAULT, "torch_exception_get_what_without_backtrace"));
  const std::string message = what == nullptr ? "" : what();
  const auto colon = message.find(": ");
  const std::string type = message.substr(0, colon), line = message.substr(0, message.find("\n\nAt:\n"));
  const std::string text = line.substr(colon == std::string::npos ? 0 : colon + 2);
  if (type == "ValueError") throw std::invalid_argument(text);
  if (type == "IndexError") throw std::out_of_range(text);
  throw std::runtime_error(message.empty() ? concat(op, ": failed; torch printed the error") : message);
}

// Runs the composite of an op, for inputs beyond the limits of its GPU kernel.
template <class... Results, class... Args>
std::tuple<Results...> call_composite(const char* op, const Args&... args) {
  std::array<StableIValue, std::max(sizeof...(Args), sizeof...(Results))> stack{torch::stable::detail::from(args)...};
  const auto failed =
      torch_call_dispatcher(concat("recops_composite::", op).c_str(), "", stack.data(), TORCH_ABI_VERSION);
  if (failed != 0) [[unlikely]]
    throw_error_of(op);
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return std::tuple<Results...>{torch::stable::detail::to<Results>(stack[I])...};
  }(std::index_sequence_for<Results...>());
}

}  // namespace recops

template <>
struct torch::stable::detail::ToImpl<recops::Text> {
  static recops::Text call(StableIValue value, uint64_t, bool) {
    const auto handle = to<StringHandle>(value);
    size_t length;
    const char* data;
    TORCH_ERROR_CODE_CHECK(torch_string_length(handle, &length));
    TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
    recops::Text text(data, length);
    TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
    return text;
  }
};

template <>
struct torch::stable::detail::FromImpl<recops::Text> {
  static StableIValue call(const recops::Text& text, uint64_t version, bool is_internal) {
    return FromImpl<std::string>::call(text, version, is_internal);
  }
};
